"""The figure of the AUROC of all detectors: panels, lines, markers, whiskers."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from matplotlib.container import ErrorbarContainer

from sdd_eval import plugins
from sdd_eval.figures.detector_auroc import detector_auroc, lines_of
from sdd_eval.figures.points import tooltips_of
from sdd_eval.figures.style import DOUBLE, SINGLE, house_style
from sdd_eval.records import Measurement

SETS = ("textures", "scenes", "average")
RATES: tuple[dict[str, Any], ...] = (
    {"detector": "msp"},
    {"detector": "knn", "k": 50},
    {"detector": "knn", "k": 200},
)


def table(synthetic: ModuleType, seeds: int, places: tuple[dict[str, Any], ...] = RATES) -> Any:
    """Return a table of two methods with AUROC .6 + .01 · detector + .02 · seed."""
    runs = []
    for network in synthetic.pair(seeds=seeds):
        rows = []
        for index, folder in enumerate(places):
            for outliers in SETS:
                value = 0.6 + 0.01 * index + 0.02 * network.recipe.seed
                at = {**folder, "outliers": outliers}
                rows.append(
                    Measurement("auroc", value, "fraction", at, "AUROC", value - 0.03, value + 0.01)
                )
        runs.append(synthetic.run_of(network, "ood", rows))
    return synthetic.table(runs)


def marks(axes: Any) -> list[tuple[float, float, float]]:
    """Return value and ends of the whisker of each marker in a panel."""
    rows = []
    for bars in axes.containers:
        assert isinstance(bars, ErrorbarContainer)
        for value, segment in zip(
            bars.lines[0].get_xdata(), bars.lines[2][0].get_segments(), strict=True
        ):
            rows.append((value, segment[0][0], segment[1][0]))
    return rows


@pytest.mark.parametrize("width", [SINGLE, DOUBLE])
def test_an_ood_set_has_a_panel_and_a_detector_with_its_setting_a_line(
    synthetic: ModuleType, width: float
) -> None:
    assert plugins.load("figures", "detector_auroc") is detector_auroc
    with house_style(width=width):
        drawn = detector_auroc(*table(synthetic, 1))
    assert drawn is not None
    assert drawn.get_figwidth() == width
    panels = [axes for axes in drawn.axes if axes.axison]
    assert [axes.get_title() for axes in panels] == ["Textures", "Scenes", "Average"]
    assert [item.get_text() for item in panels[0].get_yticklabels()] == [
        "MSP",
        "KNN k 50",
        "KNN k 200",
    ]
    assert panels[0].get_ylim()[0] > panels[0].get_ylim()[1], "the first detector is on top"
    assert [len(marks(axes)) for axes in panels] == [2 * 3] * 3


def test_one_network_has_its_interval_and_several_seeds_their_standard_deviation(
    synthetic: ModuleType,
) -> None:
    one, three = (detector_auroc(*table(synthetic, seeds)) for seeds in (1, 3))
    assert one is not None
    assert three is not None
    assert marks(one.axes[0])[0] == pytest.approx((0.6, 0.57, 0.61))
    assert marks(three.axes[0])[0] == pytest.approx((0.62, 0.60, 0.64))


def test_a_tooltip_has_group_detector_and_value(synthetic: ModuleType) -> None:
    drawn = detector_auroc(*table(synthetic, 1))
    assert drawn is not None
    drawn.draw_without_rendering()
    words = [value.text for value in tooltips_of(drawn)]
    assert any("CE, KNN k 200: 62.0 % [59.0 to 63.0]" in word for word in words), words


def test_only_the_first_three_settings_of_a_detector_are_drawn(synthetic: ModuleType) -> None:
    grid = tuple({"detector": "odin", "epsilon": 0.001 * n} for n in range(5))
    results, _ = table(synthetic, 1, (*RATES, *grid))
    assert [line[0] for line in lines_of(results)] == ["msp", "knn", "knn", "odin", "odin", "odin"]


def test_labels_have_only_the_settings_that_differ(synthetic: ModuleType) -> None:
    grid = tuple({"detector": "odin", "temperature": 1000.0, "epsilon": e} for e in (0.0, 0.002))
    drawn = detector_auroc(*table(synthetic, 1, grid))
    assert drawn is not None
    labels = [item.get_text() for item in drawn.axes[0].get_yticklabels()]
    assert labels == ["ODIN ε 0", "ODIN ε 0.002"]


def test_the_means_over_many_ood_sets_are_drawn(synthetic: ModuleType) -> None:
    import pandas

    results, _ = table(synthetic, 1)
    more = [results.assign(outliers=name) for name in ("lsun", "isun", "average:near")]
    drawn = detector_auroc(pandas.concat([results, *more]))
    assert drawn is not None
    titles = [axes.get_title() for axes in drawn.axes if axes.axison]
    assert titles == ["Average", "Average, near OOD"]


def test_more_than_six_groups_are_not_drawn(
    synthetic: ModuleType,
) -> None:
    nets = [synthetic.network(weight / 10, 0) for weight in range(7)]
    six, seven = (synthetic.table([synthetic.ood_run(net) for net in nets[:n]]) for n in (6, 7))
    assert detector_auroc(*six) is not None
    assert detector_auroc(*seven) is None


def test_results_of_odin_alone_have_no_detector_figure(synthetic: ModuleType) -> None:
    runs = [synthetic.odin_run(network) for network in synthetic.pair(seeds=1)]
    assert detector_auroc(*synthetic.table(runs)) is None
