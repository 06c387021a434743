from __future__ import annotations

import dataclasses
import functools
import io
import itertools
import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pandas
import pytest
from matplotlib.collections import LineCollection
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.text import Text

from sdd_eval import plugins
from sdd_eval.figures.attack_curves import attack_curves
from sdd_eval.figures.audit_curves import audit_curves
from sdd_eval.figures.confidence_lines import confidence_lines
from sdd_eval.figures.corruption_bars import corruption_bars
from sdd_eval.figures.corruption_differences import corruption_differences, differences
from sdd_eval.figures.corruption_heatmap import corruption_heatmap
from sdd_eval.figures.detector_auroc import detector_auroc
from sdd_eval.figures.fgsm_bars import fgsm_bars
from sdd_eval.figures.fgsm_curve import fgsm_curve
from sdd_eval.figures.ood_curves import RATES, mean_curve
from sdd_eval.figures.points import tooltips_of
from sdd_eval.figures.pr_curves import pr_at, pr_curves
from sdd_eval.figures.reliability import pooled_band, pooled_bins, reliability
from sdd_eval.figures.risk_coverage import NAMES, risk_coverage
from sdd_eval.figures.roc_curves import roc_at, roc_curves
from sdd_eval.figures.score_histograms import few_ticks, score_histograms
from sdd_eval.figures.selection import where
from sdd_eval.figures.style import DOUBLE, SINGLE, SMALL, figure_bytes, group_styles, house_style
from sdd_eval.report.tables.csv_file import to_csv

BUILT_IN = {
    "reliability": reliability,
    "fgsm_curve": fgsm_curve,
    "corruption_heatmap": corruption_heatmap,
    "corruption_bars": corruption_bars,
    "score_histograms": score_histograms,
    "roc_curves": roc_curves,
    "pr_curves": pr_curves,
    "risk_coverage": risk_coverage,
    "detector_auroc": detector_auroc,
    "corruption_differences": corruption_differences,
    "attack_curves": attack_curves,
    "audit_curves": audit_curves,
    "confidence_lines": confidence_lines,
    "fgsm_bars": fgsm_bars,
}
WIDTHS = (SINGLE, DOUBLE)


@pytest.fixture(scope="module")
def whole(synthetic: ModuleType) -> tuple[Any, Any]:
    """The results table and the arrays of two methods × two seeds."""
    return synthetic.table(synthetic.whole(seeds=2))  # type: ignore[no-any-return]


def at_width(name: str, width: float, table: tuple[Any, Any]) -> Any:
    """Return a figure with the width of one or two columns."""
    with house_style(width=width):
        return BUILT_IN[name](*table)


@pytest.fixture(scope="module")
def laid_out(whole: tuple[Any, Any]) -> Callable[[str, float], Any]:
    """A figure of the whole table, drawn and laid out only once."""

    @functools.cache
    def draw(name: str, width: float) -> Any:
        drawn = at_width(name, width, whole)
        drawn.draw_without_rendering()
        return drawn

    return draw


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_a_figure_is_a_plugin_of_print_width_with_readable_text(
    name: str, width: float, laid_out: Callable[[str, float], Any]
) -> None:
    assert plugins.load("figures", name) is BUILT_IN[name]
    drawn = laid_out(name, width)
    assert drawn.get_figwidth() == width
    assert drawn.get_figheight() < 9.2, "it fits a page"
    shown = [text for text in drawn.findobj(Text) if text.get_visible() and text.get_text()]
    assert min(text.get_fontsize() for text in shown) >= SMALL


def labels_beyond_limits(axes: Any) -> list[Text]:
    """Return labels of ticks beyond the limits, which matplotlib does not draw."""
    found = []
    for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        for tick in axis.get_major_ticks():
            if not min(low, high) <= tick.get_loc() <= max(low, high):
                found.append(tick.label1)
    return found


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_text_stays_inside_the_figure_and_labels_do_not_overlap(
    name: str, width: float, laid_out: Callable[[str, float], Any]
) -> None:
    drawn = laid_out(name, width)
    width, height = drawn.bbox.size
    unseen = {id(label) for axes in drawn.axes for label in labels_beyond_limits(axes)}
    for text in drawn.findobj(Text):
        if text.get_visible() and text.get_text() and id(text) not in unseen:
            box = text.get_window_extent()
            assert box.x0 > -1, text.get_text()
            assert box.y0 > -1, text.get_text()
            assert box.x1 < width + 1, text.get_text()
            assert box.y1 < height + 1, text.get_text()
    for axes in drawn.axes:
        for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
            level = [label for label in labels if label.get_text() and not label.get_rotation()]
            boxes = [label.get_window_extent() for label in level if label.get_visible()]
            for first, second in itertools.pairwise(boxes):
                assert not first.overlaps(second), name
    titles = [axes.title.get_window_extent() for axes in drawn.axes if axes.get_title()]
    for first, second in itertools.combinations(titles, 2):
        assert not first.overlaps(second), name


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_without_data_there_is_no_figure(name: str, synthetic: ModuleType) -> None:
    results, arrays = synthetic.table([synthetic.accuracy_run(synthetic.network(0.0, 0))])
    assert BUILT_IN[name](results, arrays) is None
    assert BUILT_IN[name](results.head(0), None) is None


@pytest.mark.parametrize("name", ["reliability", "corruption_bars"])
def test_files_are_reproducible_and_embed_truetype_fonts(name: str, whole: tuple[Any, Any]) -> None:
    first, second = (BUILT_IN[name](*whole) for _ in range(2))
    for kind in ("pdf", "svg"):
        content = figure_bytes(first, kind)  # type: ignore[arg-type]
        assert content == figure_bytes(second, kind)  # type: ignore[arg-type]
        assert not re.search(rb"CreationDate|dc:date|Matplotlib v", content)
        if kind == "pdf":
            assert b"/Subtype /Type0" in content or b"/Subtype /TrueType" in content
            assert b"/Type3" not in content
            assert b"/FontFile2" in content


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_a_figure_ignores_equally_named_metrics_of_other_evaluators(
    name: str, whole: tuple[Any, Any]
) -> None:
    import pandas

    results, arrays = whole
    own = where(results, evaluator=BUILT_IN[name].evaluator)  # type: ignore[attr-defined]
    assert len(own) > 0
    other = own.assign(evaluator="stranger", run="stranger", value=0.123, low=0.12, high=0.13)
    both = pandas.concat([own, other, other.assign(corruption="fog", severity=1)])
    alone, beside = (BUILT_IN[name](rows, arrays) for rows in (own, both))
    assert figure_bytes(beside, "svg") == figure_bytes(alone, "svg")  # type: ignore[arg-type]


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
    seeds: int, width: float, synthetic: ModuleType
) -> None:
    results, arrays = synthetic.table(synthetic.whole(seeds=seeds))
    ece = results["metric"] == "ece"
    results.loc[ece, "low"] = results.loc[ece, "high"] = results.loc[ece, "value"]
    drawn = at_width("reliability", width, (results, arrays))
    drawn.draw_without_rendering()
    first, second = (each.title for each in drawn.axes if each.get_title())
    assert "n 2" in first.get_text() if seeds == 2 else first.get_text().endswith("]")
    gap = second.get_window_extent().x0 - first.get_window_extent().x1
    assert gap > 0.6 * first.get_fontsize() * drawn.dpi / 72


def test_each_bin_has_a_bracket_over_its_consistency_band(
    whole: tuple[Any, Any],
) -> None:
    results, _ = whole
    drawn = reliability(results)
    assert drawn is not None
    rows = where(results, group="CE", metric="bin_accuracy_calibrated")
    means = rows.groupby("bin")[["low", "high"]].mean()  # the seeds have equal counts
    brackets = [each for each in drawn.axes[0].collections if isinstance(each, LineCollection)]
    assert len(brackets) == 2, "light beneath dark"
    for each in brackets:
        ends = np.array(each.get_segments())[:, :, 1]
        assert ends == pytest.approx(means.to_numpy())


def test_a_run_without_a_consistency_band_is_drawn_without_brackets(whole: tuple[Any, Any]) -> None:
    results, _ = whole
    drawn = reliability(results[results["metric"] != "bin_accuracy_calibrated"])
    assert drawn is not None
    (legend,) = drawn.legends
    assert len(legend.get_texts()) == 3


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
        found = [
            Measurement("bin_count", count, "images", {"bins": 2, "bin": 2}),
            Measurement("bin_confidence", 0.8, "fraction", {"bins": 2, "bin": 2}),
            Measurement("bin_accuracy", accuracy, "fraction", {"bins": 2, "bin": 2}),
            Measurement(
                "bin_accuracy_calibrated", 0.8, "fraction", {"bins": 2, "bin": 2}, "", 0.6, accuracy
            ),
        ]
        runs.append(synthetic.run_of(synthetic.network(0.0, seed), "calibration", found))
    counts, confidence, accuracy = pooled_bins(synthetic.table(runs)[0], 2)
    assert counts.tolist() == [0, 40]
    assert confidence == pytest.approx([0, 0.8])
    assert accuracy == pytest.approx([0, 0.75])
    place, low, high = pooled_band(synthetic.table(runs)[0], 2)
    assert place == pytest.approx([0.8])
    assert low == pytest.approx([0.6])
    assert high == pytest.approx([0.75])


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
        dataclasses.replace(each, value=0.0, at={**each.at, "constants": "paper"})
        for each in run.measurements
        if each.at["variant"] == "authors" and each.at.get("epsilon") == 0.2
    )
    results, _ = synthetic.table(
        [dataclasses.replace(run, measurements=(*run.measurements, *paper))]
    )
    drawn = fgsm_curve(results)
    assert drawn is not None
    assert min(drawn.axes[0].containers[0].lines[0].get_ydata()) > 0.4


def test_fgsm_bars_do_not_mix_standardisation_constants(synthetic: ModuleType) -> None:
    own, paper = (synthetic.fgsm_run(synthetic.network(0.0, 0)) for _ in range(2))
    moved = [
        dataclasses.replace(each, value=each.value - 0.2, at={**each.at, "constants": "paper"})
        for each in paper.measurements
        if "constants" in each.at
    ]
    paper = dataclasses.replace(paper, measurements=tuple(moved), settings={"constants": "paper"})
    alone, both = (fgsm_bars(synthetic.table(runs)[0]) for runs in ([own], [own, paper]))
    heights = [
        [bar.get_height() for bar in drawn.axes[0].patches][1:3] for drawn in (alone, both) if drawn
    ]
    assert heights[0] == pytest.approx(heights[1])
    assert not any("±" in words for words in tooltips(both))


def test_every_cell_of_the_heat_map_is_in_the_row_of_its_corruption(whole: tuple[Any, Any]) -> None:
    results, _ = whole
    drawn = corruption_heatmap(results)
    assert drawn is not None
    assert [axes.get_title() for axes in drawn.axes][-1] == "Δ with SD-Dropout"
    axes = drawn.axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[0] == "gaussian noise"
    assert len(labels) == 15
    row, column = labels.index("fog"), 4
    rows = where(results, group="CE", corruption="fog", severity=5)
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert axes.get_yticks()[row] == row + 0.5
    assert written[column + 0.5, row + 0.5] == f"{100 * rows['value'].mean():.0f}"
    assert axes.get_ylim() == (15, 0)


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
    row = [label.get_text() for label in drawn.axes[0].get_yticklabels()].index("fog")
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
    row = labels.index("fog") + 0.5
    assert {t.get_text() for t in drawn.axes[0].texts if t.get_position()[1] == row} == {"–"}


def test_bars_are_the_means_over_severities(whole: tuple[Any, Any]) -> None:
    results, _ = whole
    drawn = corruption_bars(results)
    assert drawn is not None
    axes = drawn.axes[0]
    labels = [label.get_text() for label in axes.get_xticklabels()]
    bars = next(c for c in axes.containers if c.get_label() == "CE")
    expected = where(results, group="CE", corruption="frost", severity=None)["value"].mean()
    assert bars[labels.index("frost")].get_height() == pytest.approx(expected)
    hatches = {bar.get_hatch() for c in axes.containers if hasattr(c, "patches") for bar in c}
    assert len(hatches) == 2, "the groups can be tooltips apart in grey"


@pytest.mark.parametrize("draw", [corruption_bars, fgsm_bars])
def test_a_single_network_has_no_whiskers(draw: Any, synthetic: ModuleType) -> None:
    runs = [make(synthetic.network(0.0, 0)) for make in synthetic.MAKERS.values()]
    drawn = draw(synthetic.table(runs)[0])
    assert drawn is not None
    drawn.draw_without_rendering()
    bars = [c for c in drawn.axes[0].containers if isinstance(c, BarContainer)]
    assert bars
    for each in bars:
        _, caps, (lines,) = each.errorbar.lines
        assert not any(len(segment) for segment in lines.get_segments())
        assert all(np.isnan(np.asarray(cap.get_ydata(), float)).all() for cap in caps)
    assert not [text for text in tooltips(drawn) if "±" in text]


def test_nineteen_corruptions_and_unknown_ones_fit(synthetic: ModuleType) -> None:
    extra = ["saturate", "spatter", "gaussian_blur", "speckle_noise", "my_own_one"]
    runs = [synthetic.corruption_run(net, [*synthetic.FIFTEEN, *extra]) for net in synthetic.pair()]
    drawn = corruption_bars(synthetic.table(runs)[0])
    assert drawn is not None
    labels = [label.get_text() for label in drawn.axes[0].get_xticklabels()]
    assert labels[15:] == ["speckle noise", "gaussian blur", "spatter", "saturate", "my own one"]


def test_histograms_show_the_lowest_seed_and_the_threshold(whole: tuple[Any, Any]) -> None:
    results, arrays = whole
    drawn = score_histograms(results, arrays)
    assert drawn is not None
    row = where(results, group="CE", seed=0, metric="auroc", outliers="uniform").iloc[0]
    inside = np.asarray(arrays[row["run"]]["scores"])
    axes = next(each for each in drawn.axes if each.get_title() == "uniform")
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
    ticks = [float(each.get_text().replace("−", "-")) for each in axes.get_xticklabels()]
    assert len(ticks) == 2
    assert low <= ticks[0] < ticks[1] <= high


def test_risk_curves_do_not_reach_the_legend(whole: tuple[Any, Any]) -> None:
    drawn = risk_coverage(*whole)
    assert drawn is not None
    highest = max(line.get_ydata().max() for axes in drawn.axes for line in axes.lines)
    assert drawn.axes[0].get_ylim()[1] > 1.25 * highest


def test_constant_scores_have_a_histogram(synthetic: ModuleType) -> None:
    run = synthetic.odin_run(synthetic.network(0.0, 0))
    flat = {name: np.full(9, 0.1) for name in run.arrays}
    assert score_histograms(*synthetic.table([dataclasses.replace(run, arrays=flat)])) is not None


def test_the_area_below_the_roc_curve_is_the_auroc_of_the_legend(synthetic: ModuleType) -> None:
    run = synthetic.odin_run(synthetic.network(0.0, 0))
    results, arrays = synthetic.table([run])
    rows = where(results, metric="auroc", outliers="uniform")
    curve = mean_curve(rows, arrays, roc_at)
    inside, outside = run.arrays["scores"], run.arrays["scores_uniform"]
    pairs = (inside[:, None] > outside).mean() + 0.5 * (inside[:, None] == outside).mean()
    assert ((curve[1:] + curve[:-1]) / 2).mean() == pytest.approx(pairs, abs=0.005)
    drawn = roc_curves(results, arrays)
    assert drawn is not None
    legend = drawn.axes[1].get_legend()
    assert legend is not None
    assert legend.get_texts()[0].get_text() == f"{rows['value'].iloc[0]:.3f}"


def test_curves_of_two_settings_are_not_mixed(synthetic: ModuleType) -> None:
    net = synthetic.network(0.0, 0)
    run = synthetic.odin_run(net)
    other = tuple(
        dataclasses.replace(each, at={**each.at, "epsilon": 0.0}) for each in run.measurements[:3]
    )
    results, arrays = synthetic.table([run, dataclasses.replace(run, measurements=other)])
    drawn = roc_curves(results, arrays)
    assert drawn is not None
    assert "ε = 0.0028" in drawn.get_supxlabel()
    assert len(drawn.axes[0].get_lines()) == 3


def test_cells_of_a_grid_are_not_drawn_as_roc_curves(
    synthetic: ModuleType,
) -> None:
    run = synthetic.odin_run(synthetic.network(0.0, 0))
    cells = tuple(
        dataclasses.replace(each, at={**each.at, "temperature": 1.0, "grid": kind})
        for kind in ("cell", "best")
        for each in run.measurements
    )
    results, arrays = synthetic.table(
        [dataclasses.replace(run, measurements=(*cells, *run.measurements))]
    )
    drawn = roc_curves(results, arrays)
    assert drawn is not None
    assert "T = 1000" in drawn.get_supxlabel()
    assert len(drawn.axes[0].get_lines()) == 3


def test_many_groups_and_sets_with_long_and_unusual_names_are_drawn(synthetic: ModuleType) -> None:
    methods = ["ce", "ls", "$\\frac{1}$ a method with <b>a very long name</b> that runs on"]
    nets = [synthetic.network(weight, 0, method=method) for method in methods for weight in (0, 1)]
    sets = (*(f"outliers_{index}_$x^" for index in range(4)), "photo_patches")
    runs = [make(net) for net in nets for name, make in synthetic.MAKERS.items() if name != "odin"]
    runs += [synthetic.odin_run(net, sets) for net in nets]
    table = synthetic.table(runs)
    for plot in BUILT_IN.values():
        drawn = plot(*table)
        assert drawn is not None
        drawn.draw_without_rendering()
        shown = " ".join(text.get_text() for text in drawn.findobj(Text))
        assert "frac{1}" in shown


def test_the_area_below_the_precision_recall_curve_is_the_average_precision(
    synthetic: ModuleType,
) -> None:
    from sdd_eval.metrics.ranking import ood_metrics, precision_recall_curve

    run = synthetic.odin_run(synthetic.network(0.0, 0))
    inside, outside = run.arrays["scores"].round(5), run.arrays["scores_gaussian"].round(5)
    recall, precision = precision_recall_curve(inside, outside)
    area = float(np.diff(recall, prepend=0) @ precision)
    assert area == pytest.approx(ood_metrics(inside, outside)["aupr_in"])
    assert pr_at(inside, outside)[1:].mean() == pytest.approx(area, abs=0.01)
    drawn = pr_curves(*synthetic.table([run]))
    assert drawn is not None
    line = next(each for each in drawn.axes[2].get_lines() if each.get_label() == "CE")
    heights = pr_at(run.arrays["scores"], run.arrays["scores_gaussian"])
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


def test_a_difference_has_its_interval_and_is_filled_if_that_excludes_zero(
    synthetic: ModuleType,
) -> None:
    nets = synthetic.pair(0.02)
    results, _ = synthetic.table([synthetic.corruption_run(net) for net in nets])
    drawn = corruption_differences(results)
    assert drawn is not None
    changes = differences(where(results, severity=None), "CE", "CE + SD-Dropout λ 0.1")
    axes = drawn.axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    for container in axes.containers:
        line, _, (bars,) = container.lines
        ((x, y),) = line.get_xydata()
        change = changes[labels[round(y)].replace(" ", "_")]
        assert x == pytest.approx(change.value)
        assert bars.get_segments()[0][:, 0] == pytest.approx([change.low, change.high])
        assert (line.get_markerfacecolor() != "white") == change.excludes_zero
    assert len(axes.containers) == 15
    assert corruption_differences(where(results, sd_dropout=0.0)) is None


def test_attacks_with_different_settings_have_different_panels(synthetic: ModuleType) -> None:
    net = synthetic.network(0.0, 0)
    run = synthetic.attack_run(net)
    other = tuple(
        dataclasses.replace(each, at={**each.at, "steps": 50}, value=0.1)
        for each in run.measurements
    )
    results, _ = synthetic.table([run, dataclasses.replace(run, measurements=other)])
    drawn = attack_curves(results)
    assert drawn is not None
    assert [axes.get_title() for axes in drawn.axes][:2] == ["PGD, 10 steps", "PGD, 50 steps"]
    line = drawn.axes[0].containers[0].lines[0]
    assert line.get_xdata() == pytest.approx([0, 1, 4, 8])
    assert line.get_ydata() == pytest.approx([0.95, *(0.95 * np.exp(-np.array([1, 4, 8]) / 4))])


def test_the_audit_shows_every_attack_the_worst_case_and_the_flags(
    synthetic: ModuleType,
) -> None:
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


def tooltips(drawn: Any) -> list[str]:
    drawn.draw_without_rendering()
    return [value.text for value in tooltips_of(drawn)]


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_every_figure_has_tooltips_inside_the_figure(name: str, whole: tuple[Any, Any]) -> None:
    drawn = BUILT_IN[name](*whole)
    assert drawn is not None
    drawn.draw_without_rendering()
    values = tooltips_of(drawn)
    assert len(values) >= 8
    for value in values:
        assert value.width > 0
        assert value.height >= 0
        assert -5 < value.x < 72 * drawn.get_figwidth()
        assert -5 < value.y < 72 * drawn.get_figheight()
        assert re.search(r"\d", value.text)


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_a_table_read_from_results_csv_makes_the_same_figure(
    name: str, whole: tuple[Any, Any], laid_out: Callable[[str, float], Any]
) -> None:
    results, arrays = whole
    read = pandas.read_csv(io.StringIO(to_csv(results)), low_memory=False)
    drawn = at_width(name, DOUBLE, (read, arrays))
    drawn.draw_without_rendering()
    assert tooltips_of(drawn) == tooltips_of(laid_out(name, DOUBLE))


def test_tooltips_have_the_values_of_the_table(whole: tuple[Any, Any]) -> None:
    results, arrays = whole
    fog = where(results, group="CE", corruption="fog", severity=None)["value"]
    bars, cells = corruption_bars(results), corruption_heatmap(results)
    curve = fgsm_curve(results)
    assert f"CE, fog: {100 * fog.mean():.1f} % ± {100 * fog.std():.1f} %" in tooltips(bars)
    third = where(results, group="CE", corruption="fog", severity=3)["value"].mean()
    assert f"CE, fog, Severity 3: {100 * third:.1f} %" in tooltips(cells)
    attacked = where(
        results,
        group="CE",
        metric="fgsm_accuracy",
        variant="pixel",
        epsilon=0.05,
        gradient="stable",
        temperature=1.0,
    )["value"].mean()
    assert any(
        text.startswith(f"Pixel space, CE, ε 0.05: {100 * attacked:.1f} %")
        for text in tooltips(curve)
    )
    counts = where(results, group="CE", metric="bin_count", bin=10)["value"].sum()
    bins = tooltips(reliability(results))
    assert any(text.endswith(f", {counts:,.0f} images") for text in bins)
    for group in ("CE", "CE + SD-Dropout λ 0.1"):
        assert any(
            text.startswith(f"{group}, fraction of images, Confidence 0.95: ") for text in bins
        )
    hist = tooltips(score_histograms(results, arrays))
    assert any("in-distribution" in text and "OOD" in text for text in hist)


def test_a_figure_without_this_package_has_tooltips_too() -> None:
    from matplotlib.figure import Figure

    drawn = Figure()
    axes = drawn.subplots()
    axes.plot([1, 2], [3.5, 4.25], "o", label="mine")
    axes.set_xlabel("Depth")
    assert tooltips(drawn) == ["mine, Depth 1: 3.5", "mine, Depth 2: 4.25"]


@pytest.mark.parametrize("name", ["risk_coverage", "attack_curves"])
def test_png_files_are_reproducible_at_300_dpi(name: str, whole: tuple[Any, Any]) -> None:
    first, second = (figure_bytes(at_width(name, SINGLE, whole), "png") for _ in range(2))
    assert first == second
    assert int.from_bytes(first[16:20], "big") == round(300 * SINGLE)
    assert b"Software" not in first


def test_rates_range_from_0_to_1() -> None:
    assert (RATES[0], RATES[-1]) == (0, 1)


def test_confidence_scores_are_in_the_order_of_the_evaluator() -> None:
    from sdd_eval.metrics.selective import SCORES

    assert tuple(NAMES) == tuple(SCORES)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["roc_curves", "pr_curves", "risk_coverage"])
def test_a_legend_of_ten_groups_leaves_room_for_curves(name: str, synthetic: ModuleType) -> None:
    methods = ["ce", "ls", "byot", "dml", "ddgsd"]
    nets = [synthetic.network(weight, 0, method=each) for each in methods for weight in (0.0, 0.1)]
    make = synthetic.selective_run if name == "risk_coverage" else synthetic.odin_run
    drawn = at_width(name, SINGLE, synthetic.table([make(net) for net in nets]))
    drawn.draw_without_rendering()
    assert drawn.axes[0].get_legend() is None
    assert drawn.axes[0].get_position().height > 0.15


def test_twelve_groups_have_distinct_styles_and_one_colour_per_method() -> None:
    methods = ["CE", "LS", "CS-KD", "DDGSD", "BYOT", "DML"]
    groups = [f"{name}{end}" for name in methods for end in ("", " + SD-Dropout λ 0.1")]
    found = group_styles(groups, {group: "SD-Dropout" in group for group in groups})
    assert len({(look.colour, look.marker, look.line) for look in found.values()}) == 12
    assert len({(look.colour, look.hatch) for look in found.values()}) == 12
    for name in methods:
        assert found[name].colour == found[f"{name} + SD-Dropout λ 0.1"].colour
    grid = [f"CE + SD-Dropout λ {weight}" for weight in range(20)]
    weights = group_styles(grid, dict.fromkeys(grid, True))
    assert len({(look.colour, look.marker) for look in weights.values()}) == 20
    few = group_styles(groups[:6], {})
    assert len({look.colour for look in few.values()}) == 6
