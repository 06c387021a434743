"""The figures of scores: histograms, ROC, precision–recall and risk–coverage curves."""

from __future__ import annotations

import dataclasses
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import pytest
from matplotlib.figure import Figure

from sdd_eval.arrays import Arrays
from sdd_eval.figures.ood import (
    RATES,
    few_ticks,
    mean_curve,
    pr_at,
    pr_curves,
    roc_at,
    roc_curves,
    score_histograms,
    scores_of,
)
from sdd_eval.figures.points import points_of
from sdd_eval.figures.risk_coverage import NAMES, risk_coverage
from sdd_eval.figures.selection import where
from sdd_eval.metrics.ranking import roc_curve


def test_histograms_show_the_lowest_seed_and_the_threshold(whole: tuple[Any, Any]) -> None:
    results, arrays = whole
    drawn = score_histograms(results, arrays)
    assert drawn is not None
    row = where(results, group="CE", seed=0, metric="auroc", outliers="uniform").iloc[0]
    inside, _ = scores_of(arrays[row["run"]], row["detector"], row["outliers"])
    axes = next(axis for axis in drawn.axes if axis.get_title() == "Uniform noise")
    threshold = axes.get_lines()[0].get_xdata()[0]
    assert (inside >= threshold).mean() >= 0.95
    assert (inside > threshold).mean() < 0.95
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert len(set(labels)) == len(labels) >= 2, "ticks have digits enough to differ"


@pytest.mark.parametrize(("low", "high"), [(0.1, 0.1000043), (0.01, 0.0101), (-31, 7)])
def test_a_narrow_histogram_has_two_distinct_ticks(low: float, high: float) -> None:
    axes = Figure(figsize=(1, 1)).subplots()
    axes.set_xlim(low, high)
    few_ticks(axes, 1.1)
    ticks = [float(item.get_text().replace("−", "-")) for item in axes.get_xticklabels()]
    assert len(ticks) == 2
    assert low <= ticks[0] < ticks[1] <= high


def test_risk_curves_do_not_reach_the_legend(whole: tuple[Any, Any]) -> None:
    drawn = risk_coverage(*whole)
    assert drawn is not None
    highest = max(line.get_ydata().max() for axes in drawn.axes for line in axes.lines)
    assert drawn.axes[0].get_ylim()[1] > 1.25 * highest


def test_constant_scores_have_a_histogram(synthetic: ModuleType) -> None:
    run = synthetic.odin_run(synthetic.network(0.0, 0))
    flat = Arrays(dataclasses.replace(e, values=np.full(9, 0.1)) for e in run.arrays.entries)
    assert score_histograms(*synthetic.table([dataclasses.replace(run, arrays=flat)])) is not None


def test_the_area_below_the_roc_curve_is_the_auroc_of_the_legend(synthetic: ModuleType) -> None:
    run = synthetic.odin_run(synthetic.network(0.0, 0))
    results, arrays = synthetic.table([run])
    rows = where(results, metric="auroc", outliers="uniform")
    curve = mean_curve(rows, arrays, roc_at)
    inside, outside = scores_of(arrays[rows["run"].iloc[0]], "odin", "uniform")
    pairs = (inside[:, None] > outside).mean() + 0.5 * (inside[:, None] == outside).mean()
    assert ((curve[1:] + curve[:-1]) / 2).mean() == pytest.approx(pairs, abs=0.005)
    drawn = roc_curves(results, arrays)
    assert drawn is not None
    legend = drawn.axes[1].get_legend()
    assert legend is not None
    assert legend.get_texts()[0].get_text() == f"{100 * rows['value'].iloc[0]:.1f}"


def test_curves_of_two_settings_are_not_mixed(synthetic: ModuleType) -> None:
    net = synthetic.network(0.0, 0)
    run = synthetic.odin_run(net)
    other = tuple(
        msgspec.structs.replace(item, at={**item.at, "epsilon": 0.0})
        for item in run.measurements[:3]
    )
    results, arrays = synthetic.table([run, dataclasses.replace(run, measurements=other)])
    drawn = roc_curves(results, arrays)
    assert drawn is not None
    assert "ε = 0.0028" in drawn.get_supxlabel()
    assert len(drawn.axes[0].get_lines()) == 3


def test_cells_of_a_grid_are_not_drawn_as_roc_curves(synthetic: ModuleType) -> None:
    run = synthetic.odin_run(synthetic.network(0.0, 0))
    cells = tuple(
        msgspec.structs.replace(
            measurement, at={**measurement.at, "temperature": 1.0, "grid": kind}
        )
        for kind in ("cell", "best")
        for measurement in run.measurements
    )
    results, arrays = synthetic.table(
        [dataclasses.replace(run, measurements=(*cells, *run.measurements))]
    )
    drawn = roc_curves(results, arrays)
    assert drawn is not None
    assert "T = 1000" in drawn.get_supxlabel()
    assert len(drawn.axes[0].get_lines()) == 3


def test_the_area_below_the_precision_recall_curve_is_the_average_precision(
    synthetic: ModuleType,
) -> None:
    from sdd_eval.metrics.ranking import ood_metrics, precision_recall_curve

    run = synthetic.odin_run(synthetic.network(0.0, 0))
    own = run.arrays.where(detector="odin")
    scores = own["scores"], own.where(outliers="gaussian")["scores"]
    inside, outside = (item.round(5) for item in scores)
    recall, precision = precision_recall_curve(inside, outside)
    area = float(np.diff(recall, prepend=0) @ precision)
    assert area == pytest.approx(ood_metrics(inside, outside)["aupr_in"])
    assert pr_at(inside, outside)[1:].mean() == pytest.approx(area, abs=0.01)
    drawn = pr_curves(*synthetic.table([run]))
    assert drawn is not None
    line = next(item for item in drawn.axes[2].get_lines() if item.get_label() == "CE")
    heights = pr_at(*scores)
    assert line.get_ydata() == pytest.approx(heights)
    chance = drawn.axes[0].get_lines()[0].get_ydata()[0]
    assert chance == pytest.approx(360 / 660)


def test_risk_at_full_coverage_is_the_error_and_the_area_is_aurc(synthetic: ModuleType) -> None:
    runs = [synthetic.selective_run(synthetic.network(0.0, seed)) for seed in (0, 1)]
    results, arrays = synthetic.table(runs)
    drawn = risk_coverage(results, arrays)
    assert drawn is not None
    line = drawn.axes[1].get_lines()[0]
    errors = [1 - run.arrays["correct"].mean() for run in runs]
    assert line.get_ydata()[-1] == pytest.approx(np.mean(errors))
    aurc = where(results, metric="aurc", score="max_logit")["value"]
    assert line.get_ydata().mean() == pytest.approx(aurc.mean(), abs=0.005)
    legend = drawn.axes[1].get_legend()
    assert legend is not None
    assert legend.get_texts()[0].get_text() == f"{1000 * aurc.mean():.1f} ± {1000 * aurc.std():.1f}"


def test_tied_scores_are_accepted_in_random_order() -> None:
    from sdd_eval.metrics.ranking import risk_coverage_curve as curve
    from sdd_eval.metrics.selective import selective_metrics

    correct = np.array([0, 1, 1, 1, 0, 1])
    _, risk = curve(np.zeros(6), correct)
    assert risk == pytest.approx([1 / 3] * 6)
    scores = np.array([3, 2, 2, 2, 1, 0])
    aurc = selective_metrics(scores, correct)["aurc"]
    assert curve(scores, correct)[1].mean() == pytest.approx(aurc)


def test_rates_range_from_0_to_1() -> None:
    assert (RATES[0], RATES[-1]) == (0, 1)


def test_confidence_scores_are_in_the_order_of_the_evaluator() -> None:
    from sdd_eval.metrics.selective import SCORES

    assert tuple(NAMES) == tuple(SCORES)


def test_a_report_computes_the_curves_of_a_run_once_for_all_figures_and_widths(
    whole: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    results, arrays = whole
    remaining = {name: stored.at() for name, stored in arrays.items()}
    for stored in remaining.values():
        stored.derived = {}
    computed: list[int] = []

    def counted(*scores: Any) -> Any:
        computed.append(len(scores[0]))
        return roc_curve(*scores)

    monkeypatch.setattr("sdd_eval.figures.ood.roc_curve", counted)
    first = points_of(roc_curves(results, remaining))
    for figure in (roc_curves, pr_curves):
        figure(results, remaining)
    rows = where(results, evaluator="odin", metric="auroc")
    assert len(computed) == len(rows[rows["outliers"] != "average"])
    assert first.equals(points_of(roc_curves(results, arrays)))
