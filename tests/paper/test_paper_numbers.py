"""The paper's numbers in the package, and which way each is better."""

from __future__ import annotations

import importlib.resources
from collections import Counter

import pytest

from sdd_eval.paper import paper_frame, paper_numbers


def test_every_number_of_the_fourteen_tables_is_there():
    counts = Counter(number.table for number in paper_numbers())
    assert counts == {
        **{1: 36, 2: 10, 3: 4, 4: 8, 5: 6, 6: 32, 7: 50, 8: 9},
        **{9: 12, 10: 6, 11: 12, 12: 5, 13: 2, 14: 20},
    }
    assert len(paper_frame()) == 212


def test_rates_are_fractions_and_carry_their_rounding():
    first = paper_numbers()[0]
    assert (first.value, first.percent) == (pytest.approx(0.748), True)
    assert first.rounding == pytest.approx(0.0005)
    grid = next(n for n in paper_numbers() if n.at == {"lambda": 2.0, "drop": 0.5})
    assert (grid.value, grid.rounding) == (pytest.approx(0.7707), pytest.approx(0.00005))
    ece = next(n for n in paper_numbers() if n.metric == "ece")
    assert (ece.value, ece.unit, ece.rounding) == (0.12, "fraction", pytest.approx(0.005))


def test_errors_are_better_when_low_and_probabilities_of_assumptions_neither_way():
    ways = {number.metric: number.higher_is_better for number in paper_numbers()}
    assert [m for m, way in ways.items() if way is False] == [
        *("ece", "fpr_at_95_tpr", "detection_error")
    ]
    assert {m for m, way in ways.items() if way is None} == {
        *("p_assumption_1", "assumption_2_r", "assumption_2_r1")
    }


def test_the_file_of_numbers_is_part_of_the_package():
    assert (importlib.resources.files("sdd_eval.paper") / "tables.csv").is_file()
