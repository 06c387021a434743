"""The figures of FGSM, of other attacks, and of the audit for masked gradients."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import pytest

from sdd_eval.figures.adversarial import attack_curves, audit_curves, fgsm_bars, fgsm_curve
from sdd_eval.figures.selection import where


def test_each_variant_of_fgsm_has_its_panel(whole: tuple[Any, Any]) -> None:
    results, _ = whole
    drawn = fgsm_curve(results)
    assert drawn is not None
    assert [axes.get_title() for axes in drawn.axes] == [
        "Authors' implementation",
        "Standardised space",
        "Pixel space",
    ]
    for axes, variant in zip(drawn.axes, ("authors", "standardised", "pixel"), strict=True):
        line = axes.containers[0].lines[0]
        assert line.get_xdata() == pytest.approx([0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3])
        rows = where(
            results,
            group="CE",
            metric="fgsm_accuracy",
            variant=variant,
            epsilon=0.2,
            gradient="stable",
            temperature=1.0,
        )
        assert len(rows) == 2
        assert line.get_ydata()[5] == pytest.approx(rows["value"].mean())
        assert line.get_ydata()[0] == pytest.approx(0.95)
    assert "pixels" in drawn.axes[2].get_xlabel()
    low, high = drawn.axes[0].get_ylim()
    assert -0.05 < low <= 0
    assert 1 <= high < 1.05, "markers at 100 % are whole"


def test_fgsm_lines_do_not_mix_standardisation_constants(synthetic: ModuleType) -> None:
    run = synthetic.fgsm_run(synthetic.network(0.0, 0))
    paper = tuple(
        msgspec.structs.replace(measurement, value=0.0, at={**measurement.at, "constants": "paper"})
        for measurement in run.measurements
        if measurement.at["variant"] == "authors" and measurement.at.get("epsilon") == 0.2
    )
    results, _ = synthetic.table(
        [dataclasses.replace(run, measurements=(*run.measurements, *paper))]
    )
    drawn = fgsm_curve(results)
    assert drawn is not None
    assert min(drawn.axes[0].containers[0].lines[0].get_ydata()) > 0.4


def test_fgsm_bars_do_not_mix_standardisation_constants(
    synthetic: ModuleType, tooltips: Callable[[Any], list[str]]
) -> None:
    own, paper = (synthetic.fgsm_run(synthetic.network(0.0, 0)) for _ in range(2))
    moved = [
        msgspec.structs.replace(
            measurement, value=measurement.value - 0.2, at={**measurement.at, "constants": "paper"}
        )
        for measurement in paper.measurements
        if "constants" in measurement.at
    ]
    paper = dataclasses.replace(paper, measurements=tuple(moved), settings={"constants": "paper"})
    alone, both = (fgsm_bars(synthetic.table(runs)[0]) for runs in ([own], [own, paper]))
    heights = [
        [bar.get_height() for bar in drawn.axes[0].patches][1:3] for drawn in (alone, both) if drawn
    ]
    assert heights[0] == pytest.approx(heights[1])
    assert not any("±" in words for words in tooltips(both))


def test_attacks_with_different_settings_have_different_panels(synthetic: ModuleType) -> None:
    net = synthetic.network(0.0, 0)
    run = synthetic.attack_run(net)
    other = tuple(
        msgspec.structs.replace(measurement, at={**measurement.at, "steps": 50}, value=0.1)
        for measurement in run.measurements
    )
    results, _ = synthetic.table([run, dataclasses.replace(run, measurements=other)])
    drawn = attack_curves(results)
    assert drawn is not None
    assert [axes.get_title() for axes in drawn.axes][:2] == ["PGD, 10 steps", "PGD, 50 steps"]
    line = drawn.axes[0].containers[0].lines[0]
    assert line.get_xdata() == pytest.approx([0, 1, 4, 8])
    assert line.get_ydata() == pytest.approx([0.95, *(0.95 * np.exp(-np.array([1, 4, 8]) / 4))])


def test_the_audit_shows_every_attack_the_worst_case_and_the_flags(synthetic: ModuleType) -> None:
    runs = [
        synthetic.audit_run(synthetic.network(0.0, 0)),
        synthetic.audit_run(synthetic.network(0.1, 0, 0.02), ("zero_gradients",)),
    ]
    drawn = audit_curves(synthetic.table(runs)[0])
    assert drawn is not None
    titles = [axes.get_title().splitlines()[1] for axes in drawn.axes if axes.get_title()]
    assert titles == ["no flag raised", "zero gradients"]
    lines = {line.get_label(): line for line in drawn.axes[1].get_lines()}
    worst = 0.9 * np.exp(-np.array([0.25, 0.5, 1, 2, 4, 8]) / 3) + 0.02
    assert lines["worst case"].get_ydata() == pytest.approx(worst)
    assert len(lines) == 6
