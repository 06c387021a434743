"""The figures of corruptions: heat map, bars, differences."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from matplotlib.container import BarContainer

from sdd_eval.figures.adversarial import fgsm_bars
from sdd_eval.figures.corruption import (
    corruption_bars,
    corruption_differences,
    corruption_heatmap,
    differences,
)
from sdd_eval.figures.selection import where
from sdd_eval.metrics.names import display_name


def test_every_cell_of_the_heat_map_is_in_the_row_of_its_corruption(whole: tuple[Any, Any]) -> None:
    results, _ = whole
    drawn = corruption_heatmap(results)
    assert drawn is not None
    assert [axes.get_title() for axes in drawn.axes][-1] == "Δ with SD-Dropout"
    axes = drawn.axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[0] == "Gaussian noise"
    assert len(labels) == 15
    row, column = labels.index("Fog"), 4
    rows = where(results, group="CE", corruption="fog", severity=5)
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert axes.get_yticks()[row] == row + 0.5
    assert written[column + 0.5, row + 0.5] == f"{100 * rows['value'].mean():.0f}"
    assert axes.get_ylim() == (15, 0)


def test_colours_of_the_heat_map_span_the_values(whole: tuple[Any, Any]) -> None:
    results, _ = whole
    drawn = corruption_heatmap(results)
    assert drawn is not None
    meshes = [axes.collections[0] for axes in drawn.axes]
    values = np.concatenate([np.ravel(mesh.get_array()) for mesh in meshes[:-1]])
    for mesh in meshes[:-1]:
        assert mesh.get_clim() == pytest.approx((values.min(), values.max()))
    low, high = meshes[-1].get_clim()
    assert low == -high == -max(1, abs(np.ravel(meshes[-1].get_array())).max())


def test_the_difference_is_with_minus_without_sd_dropout_in_points(whole: tuple[Any, Any]) -> None:
    results, _ = whole
    drawn = corruption_heatmap(results)
    assert drawn is not None
    cells = where(results, corruption="snow", severity=1).groupby("group")["value"].mean()
    change = 100 * (cells["CE + SD-Dropout λ 0.1"] - cells["CE"])
    written = {text.get_position(): text.get_text() for text in drawn.axes[-1].texts}
    assert written[0.5, 7.5] == f"{change:+.1f}"


def test_an_unmeasured_cell_is_empty(whole: tuple[Any, Any]) -> None:
    results, _ = whole
    missing = (results["corruption"] == "fog") & (results["severity"] == 2)
    drawn = corruption_heatmap(results[~missing & (results["sd_dropout"] == 0)])
    assert drawn is not None
    row = [label.get_text() for label in drawn.axes[0].get_yticklabels()].index("Fog")
    written = {text.get_position(): text.get_text() for text in drawn.axes[0].texts}
    assert written[1.5, row + 0.5] == "–"


def test_a_corruption_without_a_file_is_a_row_of_empty_cells(whole: tuple[Any, Any]) -> None:
    results, _ = whole
    results = results[(results["sd_dropout"] == 0) & (results["evaluator"] == "corruption")]
    rows = results[results["corruption"] != "fog"].copy()
    last = rows.index[-1]
    rows.loc[last, ["metric", "corruption", "severity", "value"]] = ["missing", "fog", None, 5]
    drawn = corruption_heatmap(rows)
    assert drawn is not None
    labels = [label.get_text() for label in drawn.axes[0].get_yticklabels()]
    assert len(labels) == 15
    row = labels.index("Fog") + 0.5
    assert {t.get_text() for t in drawn.axes[0].texts if t.get_position()[1] == row} == {"–"}


def test_bars_are_the_means_over_severities(whole: tuple[Any, Any]) -> None:
    results, _ = whole
    drawn = corruption_bars(results)
    assert drawn is not None
    axes = drawn.axes[0]
    labels = [label.get_text() for label in axes.get_xticklabels()]
    bars = next(c for c in axes.containers if c.get_label() == "CE")
    expected = where(results, group="CE", corruption="frost", severity=None)["value"].mean()
    assert bars[labels.index("Frost")].get_height() == pytest.approx(expected)
    hatches = {bar.get_hatch() for c in axes.containers if hasattr(c, "patches") for bar in c}
    assert len(hatches) == 2, "the groups can be distinguished in grey"


@pytest.mark.parametrize("draw", [corruption_bars, fgsm_bars])
def test_a_single_network_has_no_whiskers(
    draw: Any, synthetic: ModuleType, tooltips: Callable[[Any], list[str]]
) -> None:
    runs = [make(synthetic.network(0.0, 0)) for make in synthetic.MAKERS.values()]
    drawn = draw(synthetic.table(runs)[0])
    assert drawn is not None
    drawn.draw_without_rendering()
    bars = [c for c in drawn.axes[0].containers if isinstance(c, BarContainer)]
    assert bars
    for bar in bars:
        _, caps, (lines,) = bar.errorbar.lines
        assert not any(len(segment) for segment in lines.get_segments())
        assert all(np.isnan(np.asarray(cap.get_ydata(), float)).all() for cap in caps)
    assert not [text for text in tooltips(drawn) if "±" in text]


def test_nineteen_corruptions_and_unknown_ones_fit(synthetic: ModuleType) -> None:
    extra = ["saturate", "spatter", "gaussian_blur", "speckle_noise", "my_own_one"]
    runs = [synthetic.corruption_run(net, [*synthetic.FIFTEEN, *extra]) for net in synthetic.pair()]
    drawn = corruption_bars(synthetic.table(runs)[0])
    assert drawn is not None
    labels = [label.get_text() for label in drawn.axes[0].get_xticklabels()]
    assert labels[15:] == ["Speckle noise", "Gaussian blur", "Spatter", "Saturate", "My own one"]


def test_a_difference_has_its_interval_and_is_filled_if_it_is_significant(
    synthetic: ModuleType,
) -> None:
    nets = synthetic.pair(0.02)
    results, _ = synthetic.table([synthetic.corruption_run(net) for net in nets])
    drawn = corruption_differences(results)
    assert drawn is not None
    pair = ("CE + SD-Dropout λ 0.1", "CE")
    changes = differences(where(results, severity=None), dict([pair]))[pair]
    by_label = {display_name(name): change for name, change in changes.items()}
    axes = drawn.axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    for container in axes.containers:
        line, _, (bars,) = container.lines
        for (x, y), ends in zip(line.get_xydata(), bars.get_segments(), strict=True):
            change = by_label.pop(labels[round(y)])
            assert x == pytest.approx(change.value)
            assert ends[:, 0] == pytest.approx([change.low, change.high])
            assert (line.get_markerfacecolor() != "#ffffff") == (change.verdict == "higher")
    assert not by_label
    assert corruption_differences(where(results, sd_dropout=0.0)) is None
