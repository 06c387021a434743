"""The table of all points of a figure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from sdd_eval.figures.adversarial import fgsm_curve
from sdd_eval.figures.calibration import reliability
from sdd_eval.figures.corruption import corruption_bars, corruption_differences, corruption_heatmap
from sdd_eval.figures.ood import roc_at, roc_curves, score_histograms, scores_of
from sdd_eval.figures.points import COLUMNS, points_of
from sdd_eval.figures.risk_coverage import risk_coverage
from sdd_eval.figures.selection import where


def points(figure: Figure | None) -> Any:
    assert figure is not None
    figure.draw_without_rendering()
    table = points_of(figure)
    assert list(table.columns) == list(COLUMNS)
    return table


def test_all_points_of_a_curve_are_listed(
    whole: tuple[Any, Any],
) -> None:
    results, arrays = whole
    table = points(roc_curves(results, arrays))
    own = table[(table["panel"] == "Photo patches") & (table["series"] == "CE")]
    runs = where(results, group="CE", evaluator="odin", metric="auroc", outliers="photo_patches")
    curves = [
        roc_at(*scores_of(arrays[row["run"]], row["detector"], row["outliers"]))
        for row in runs.to_dict("records")
    ]
    assert len(own) == len(curves[0]) > 100
    assert own["y"].tolist() == pytest.approx(np.mean(curves, axis=0), rel=1e-5)
    assert own["x"].iloc[[0, -1]].tolist() == [0.0, 1.0]


def test_risk_is_listed_at_every_coverage(whole: tuple[Any, Any]) -> None:
    table = points(risk_coverage(*whole))
    assert table.groupby(["panel", "series"]).size().unique().tolist() == [200]


def test_bars_have_the_names_of_their_ticks_and_their_error_bars(
    whole: tuple[Any, Any],
) -> None:
    results, _ = whole
    fog = where(results, group="CE", corruption="fog", severity=None)["value"]
    table = points(corruption_bars(results))
    (row,) = table[(table["series"] == "CE") & (table["x"] == "Fog")].itertuples()
    assert row.y == pytest.approx(fog.mean(), rel=1e-5)
    assert (row.low, row.high) == pytest.approx(
        (fog.mean() - fog.std(), fog.mean() + fog.std()), rel=1e-5
    )


def test_series_of_equal_means_keep_their_own_error_bars() -> None:
    figure = Figure()
    lines, bars = figure.subplots(1, 2)
    for name, length in (("a", 0.1), ("b", 0.02)):
        lines.errorbar([1], [0.5], yerr=[length], label=name)
        bars.bar([1], [0.5], yerr=[length], label=name)
    table = points(figure)
    assert table["series"].tolist() == ["a", "b"] * 2
    assert table["high"].tolist() == pytest.approx([0.6, 0.52] * 2)


def test_cells_have_corruption_and_severity(whole: tuple[Any, Any]) -> None:
    results, _ = whole
    table = points(corruption_heatmap(results))
    third = where(results, group="CE", corruption="fog", severity=3)["value"].mean()
    own = table[(table["panel"] == "CE") & (table["series"] == "Fog")]
    assert own["x"].tolist() == [1, 2, 3, 4, 5]
    assert own["y"].iloc[2] == pytest.approx(100 * third, rel=1e-5)


def test_categories_have_the_numbers_of_their_tick_labels(whole: tuple[Any, Any]) -> None:
    results, _ = whole
    epsilons = set(where(results, metric="fgsm_accuracy", variant="pixel")["epsilon"].dropna())
    table = points(fgsm_curve(results))
    for _, own in table.groupby("panel"):
        assert {*epsilons} <= set(own["x"])


def test_bins_of_a_histogram_have_both_edges_and_sum_to_one(whole: tuple[Any, Any]) -> None:
    table = points(score_histograms(*whole))
    for _, own in table.groupby(["panel", "series"]):
        assert own["x_end"].tolist()[:-1] == own["x"].tolist()[1:]
        assert own["y"].sum() == pytest.approx(1, abs=1e-4)


def test_marks_with_a_custom_text_show_it_as_tooltip(whole: tuple[Any, Any]) -> None:
    results, _ = whole
    table = points(corruption_differences(results))
    fog = table[table["words"].str.contains("Fog")]
    assert fog["series"].tolist() == ["CE + SD-Dropout λ 0.1 against CE"]
    assert "95 % interval" in fog["words"].iloc[0]
    bins = points(reliability(*whole))
    assert bins["words"].dropna().str.contains("images").all()


def test_labels_that_matplotlib_generates_are_empty() -> None:
    figure = Figure()
    axes = figure.subplots()
    (line,) = axes.plot([1, 2], [3, 4])
    line.format_cursor_data = lambda index: f"point {index}"  # type: ignore[attr-defined]
    axes.plot([0, 1], [0, 1])
    table = points(figure)
    assert table[["series", "words"]].to_numpy().tolist() == [["", "point 0"], ["", "point 1"]]
