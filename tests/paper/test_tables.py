"""The paper's numbers, the best of each contest, and the tables of `sdd-eval paper`."""

from __future__ import annotations

import importlib.resources
from collections import Counter

import pandas
import pytest

from sdd_eval.cli import exit_code
from sdd_eval.paper import compare_with_paper, paper_frame, paper_numbers
from sdd_eval.paper.rendering import cells, format_conditions, format_number
from sdd_eval.paper.tables import best_values, wrongly_bold
from sdd_eval.report.latex.layout import table_tex
from sdd_eval.report.latex.printed import printed_table

NUMBERS = paper_numbers()
COLUMNS = ["checkpoint", "evaluator", "metric", "note", "interval_id", "corruption", "bins"]


def unmeasured(table):
    own = [number for number in NUMBERS if number.table == table]
    return compare_with_paper(pandas.DataFrame([], columns=COLUMNS), {}, numbers=own)


def test_all_numbers_of_the_fourteen_tables_are_included():
    counts = Counter(number.table for number in paper_numbers())
    assert counts == {
        **{1: 36, 2: 10, 3: 4, 4: 8, 5: 6, 6: 32, 7: 50, 8: 9},
        **{9: 12, 10: 6, 11: 12, 12: 5, 13: 2, 14: 20},
    }
    assert len(paper_frame()) == 212


def test_rates_are_fractions_with_their_rounding():
    first = paper_numbers()[0]
    assert (first.value, first.percent) == (pytest.approx(0.748), True)
    assert first.rounding == pytest.approx(0.0005)
    grid = next(n for n in paper_numbers() if n.at == {"lambda": 2.0, "drop": 0.5})
    assert (grid.value, grid.rounding) == (pytest.approx(0.7707), pytest.approx(0.00005))
    ece = next(n for n in paper_numbers() if n.metric == "ece")
    assert (ece.value, ece.unit, ece.rounding) == (0.12, "fraction", pytest.approx(0.005))


def test_lower_errors_are_better_and_assumptions_have_no_direction():
    directions = {number.metric: number.better for number in paper_numbers()}
    assert [m for m, better in directions.items() if better == "lower"] == [
        *("ece", "fpr_at_95_tpr", "detection_error")
    ]
    assert {m for m, better in directions.items() if not better} == {
        *("p_assumption_1", "assumption_2_r", "assumption_2_r1")
    }


def test_tables_csv_is_part_of_the_package():
    assert (importlib.resources.files("sdd_eval.paper") / "tables.csv").is_file()


def test_seven_cells_of_table_7_are_wrongly_bold():
    wrong = [(number.at["outliers"], number.metric) for number in wrongly_bold(NUMBERS)]
    assert wrong == [
        *(("isun", "aupr_in"), ("dtd", "auroc"), ("dtd", "aupr_in")),
        *(("svhn", "detection_error"), ("svhn", "auroc"), ("svhn", "aupr_in")),
        ("average", "aupr_in"),
    ]
    marked = [cell for cell in cells(unmeasured(7)) if cell.wrongly_bold]
    assert len(marked) == 7
    assert not any(cell.paper_best for cell in marked)


def test_methods_compete_with_themselves_in_table_1_and_with_all_in_table_9():
    best = best_values(NUMBERS, {i: number.value for i, number in enumerate(NUMBERS)})
    first = [n for i, n in enumerate(NUMBERS) if i in best and n.table == 1]
    assert len(first) == 18
    assert [n.method for n in first if not n.sd_dropout] == ["dml"]
    ninth = [n.at["direction"] for i, n in enumerate(NUMBERS) if i in best and n.table == 9]
    assert ninth == ["both"] * 3
    (grid,) = [n.at for i, n in enumerate(NUMBERS) if i in best and n.table == 14]
    assert grid == {"lambda": 1.0, "drop": 0.5}


def test_the_lowest_error_is_best_and_ties_are_shared():
    ece = [n for n in NUMBERS if n.table == 2][:2]
    assert best_values(ece, {0: 0.1, 1: 0.2}) == {0}
    assert best_values(ece, {0: 0.1, 1: 0.1}) == {0, 1}
    assert best_values(ece, {0: 0.1}) == set()
    assert not any(cell.paper_best for cell in cells(unmeasured(8)))


def test_numbers_have_the_paper_s_digits():
    accuracy, ece = NUMBERS[0], next(n for n in NUMBERS if n.metric == "ece")
    assert format_number(accuracy, 0.7483) == "74.8"
    assert format_number(accuracy, -0.01234, sign=True) == "−1.2"
    assert format_number(ece, float("nan")) == "—"
    assert format_number(next(n for n in NUMBERS if n.metric == "mca"), 0.47494) == "47.49"
    assert format_conditions(next(n for n in NUMBERS if n.table == 14)) == "λ 0.1, drop 0.1"


@pytest.mark.parametrize("table", range(1, 15))
def test_the_latex_of_every_table_has_all_its_numbers(table):
    built = printed_table(table, unmeasured(table))
    cells = [cell for row in built.sections[0].rows for cell in row.cells]
    expected = [n for n in NUMBERS if n.table == table]
    assert len(cells) == len(built.sections[0].rows) * len(built.columns)
    assert [cell.below for cell in cells].count("—") == len(expected)
    assert sorted(cell.text for cell in cells if cell.text) == sorted(
        format_number(number, number.value) for number in expected
    )
    assert all(format_number(n, n.value) in table_tex(built) for n in expected)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDD_EVAL_DATA", str(tmp_path / "data"))
    return tmp_path


def test_without_measurements_only_the_paper_s_numbers_are_printed(here, capsys):
    assert exit_code(["paper", "--tables", "7"]) == 0
    output = capsys.readouterr().out
    assert "where CE is better: isun aupr_in, dtd auroc" in output
    assert output.count("not measured") == 50
    assert len((here / "reports/paper/table-7.csv").read_text().splitlines()) == 51
    assert r"\begin{table*}" in (here / "reports/paper/table-7-wide.tex").read_text()
    assert exit_code(["paper", "--tables", "7", "--complete"]) == 1
    assert "50 cells are empty: table 7" in capsys.readouterr().out


@pytest.mark.usefixtures("one_figure")
def test_a_small_study_fills_its_table_without_reproducing_it(here, capsys):
    assert exit_code(["batch", "paper/table-13", "--small", "--limit", "60"]) == 0
    capsys.readouterr()
    assert exit_code(["paper", "paper-table-13-small", "--complete"]) == 0
    output = capsys.readouterr().out
    assert "note: small: digits stands for cifar100" in output
    assert output.count("not comparable") >= 2
    assert " reproduced" not in output
    assert "dataset digits, not cifar100" in output
    written = pandas.read_csv(here / "reports/paper-table-13-small/paper/table-13.csv")
    assert list(written["seeds"]) == [1, 1]
    assert written["measured"].between(0, 1).all()
    assert list(written["verdict"]) == ["not comparable"] * 2
    assert exit_code(["paper", "paper-table-13-small", "--tables", "1", "--complete"]) == 1


@pytest.mark.usefixtures("here")
def test_a_table_states_how_it_is_interpreted(capsys):
    assert exit_code(["paper", "--tables", "10", "11"]) == 0
    lines = [
        line for line in capsys.readouterr().out.splitlines() if line.startswith("interpreted as: ")
    ]
    assert len(lines) == 1
    assert "here it is CE(clean) + λ CE(dropped)" in lines[0]
    (note,) = (text for text in printed_table(11, unmeasured(11)).notes if "Interpreted" in text)
    assert note.startswith("Interpreted as: the row with a dagger")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["nowhere"], "there is no study nowhere in reports"), (["--tables", "15"], "has 15")],
)
def test_an_unknown_study_or_table_is_refused(arguments, message, capsys):
    assert exit_code(["paper", *arguments]) == 2
    assert message in capsys.readouterr().err
