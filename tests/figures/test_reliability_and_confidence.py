"""Reliability diagrams and confidence lines: bins, brackets, titles."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import LineCollection

from sdd_eval.figures.calibration import pooled_band, pooled_bins, reliability
from sdd_eval.figures.selection import where
from sdd_eval.figures.style import DOUBLE, SINGLE

WIDTHS = (SINGLE, DOUBLE)


def test_reliability_draws_the_pooled_bins_and_the_mean_ece(whole: tuple[Any, Any]) -> None:
    results, _ = whole
    drawn = reliability(results)
    assert drawn is not None
    upper = [axes for axes in drawn.axes if axes.get_title()]
    names = [axes.get_title().splitlines()[0] for axes in upper]
    assert names == ["CE", "CE + SD-Dropout λ 0.1"]
    counts, _, accuracy = pooled_bins(where(results, group="CE"), 10)
    heights = [patch.get_height() for patch in upper[0].containers[0]]
    assert heights == pytest.approx(accuracy[counts > 0].tolist())
    assert counts.sum() == 2 * 360
    values = where(results, group="CE", metric="ece", temperature=None)["value"]
    expected = f"ECE {values.mean():.3f} ± {values.std():.3f}, n 2"
    assert upper[0].get_title().splitlines()[1] == expected
    assert upper[0].get_xlim() == upper[0].get_ylim() == (0, 1)


@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize("width", WIDTHS)
def test_titles_of_neighbouring_reliability_diagrams_do_not_touch(
    seeds: int, width: float, synthetic: ModuleType, at_width: Callable[..., Any]
) -> None:
    results, arrays = synthetic.table(synthetic.whole(seeds=seeds))
    ece = results["metric"] == "ece"
    results.loc[ece, "low"] = results.loc[ece, "high"] = results.loc[ece, "value"]
    drawn = at_width("reliability", width, (results, arrays))
    drawn.draw_without_rendering()
    first, second = (axis.title for axis in drawn.axes if axis.get_title())
    assert "n 2" in first.get_text() if seeds == 2 else first.get_text().endswith("]")
    gap = second.get_window_extent().x0 - first.get_window_extent().x1
    assert gap > 0.6 * first.get_fontsize() * drawn.dpi / 72


def test_each_bin_has_a_whisker_over_its_consistency_band(whole: tuple[Any, Any]) -> None:
    results, _ = whole
    drawn = reliability(results)
    assert drawn is not None
    rows = where(results, group="CE", metric="bin_accuracy_calibrated")
    means = rows.groupby("bin")[["low", "high"]].mean()  # the seeds have equal counts
    (item,) = [item for item in drawn.axes[0].collections if isinstance(item, LineCollection)]
    assert np.array(item.get_segments())[:, :, 1] == pytest.approx(means.to_numpy())


def test_a_run_without_a_consistency_band_is_drawn_without_whiskers(whole: tuple[Any, Any]) -> None:
    results, _ = whole
    drawn = reliability(results[results["metric"] != "bin_accuracy_calibrated"])
    assert drawn is not None
    (legend,) = drawn.legends
    assert len(legend.get_texts()) == 4


def test_bars_of_few_images_are_pale_and_histograms_count_images_per_network(
    whole: tuple[Any, Any],
) -> None:
    results, _ = whole
    drawn = reliability(results)
    assert drawn is not None
    counts = pooled_bins(where(results, group="CE"), 10)[0] / 2
    pale = [bar.get_alpha() < 0.5 for bar in drawn.axes[0].containers[0]]
    assert pale == (counts[counts > 0] < 10).tolist()
    assert {True, False} == set(pale)
    histogram = next(axes for axes in drawn.axes if axes.get_yscale() == "symlog")
    assert histogram.patches[0].get_data().values == pytest.approx(counts)


@pytest.mark.parametrize("width", WIDTHS)
def test_confidence_lines_have_no_empty_strip_above_them(
    width: float, laid_out: Callable[[str, float], Any]
) -> None:
    drawn = laid_out("confidence_lines", width)
    (axes,) = drawn.axes
    top = axes.get_window_extent().y1
    assert drawn.bbox.height - top < 0.04 * drawn.bbox.height


def test_bins_are_pooled_with_their_counts_as_weights(synthetic: ModuleType) -> None:
    from sdd_eval.records import Measurement

    runs = []
    for seed, (count, accuracy) in enumerate([(30, 1.0), (10, 0.0)]):
        measurements = [
            Measurement("bin_count", count, "images", {"bins": 2, "bin": 2}),
            Measurement("bin_confidence", 0.8, "fraction", {"bins": 2, "bin": 2}),
            Measurement("bin_accuracy", accuracy, "fraction", {"bins": 2, "bin": 2}),
            Measurement(
                "bin_accuracy_calibrated", 0.8, "fraction", {"bins": 2, "bin": 2}, "", 0.6, accuracy
            ),
        ]
        runs.append(synthetic.run_of(synthetic.network(0.0, seed), "calibration", measurements))
    counts, confidence, accuracy = pooled_bins(synthetic.table(runs)[0], 2)
    assert counts.tolist() == [0, 40]
    assert confidence == pytest.approx([0, 0.8])
    assert accuracy == pytest.approx([0, 0.75])
    folder, low, high = pooled_band(synthetic.table(runs)[0], 2)
    assert folder == pytest.approx([0.8])
    assert low == pytest.approx([0.6])
    assert high == pytest.approx([0.75])
