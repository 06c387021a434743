"""Every built-in figure: width, layout, text, files, and the rows that it uses."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pandas
import pytest
from matplotlib.text import Text

from sdd_eval import plugins
from sdd_eval.figures import figure_files
from sdd_eval.figures.adversarial import attack_curves, audit_curves, fgsm_bars, fgsm_curve
from sdd_eval.figures.calibration import confidence_lines, reliability
from sdd_eval.figures.corruption import corruption_bars, corruption_differences, corruption_heatmap
from sdd_eval.figures.detector_auroc import detector_auroc
from sdd_eval.figures.layout import panel_grid
from sdd_eval.figures.ood import pr_curves, roc_curves, score_histograms
from sdd_eval.figures.points import tooltips_of
from sdd_eval.figures.recording import LOWEST
from sdd_eval.figures.risk_coverage import risk_coverage
from sdd_eval.figures.selection import where
from sdd_eval.figures.style import DOUBLE, PAGE, SINGLE, SMALL, group_styles, house_style
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


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_a_figure_is_a_plugin_of_print_width_with_readable_text(
    name: str, width: float, laid_out: Callable[[str, float], Any]
) -> None:
    assert plugins.load("figures", name) is BUILT_IN[name]
    drawn = laid_out(name, width)
    assert drawn.get_figwidth() == width
    assert drawn.get_figheight() <= (9.2 if width == DOUBLE else 4), "it fits a page"
    shown = [text for text in drawn.findobj(Text) if text.get_visible() and text.get_text()]
    assert min(text.get_fontsize() for text in shown) >= SMALL


def labels_beyond_limits(axes: Any) -> list[Text]:
    """Return labels of ticks beyond the limits, which matplotlib does not draw."""
    hidden = []
    for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        for tick in axis.get_major_ticks():
            if not min(low, high) <= tick.get_loc() <= max(low, high):
                hidden.append(tick.label1)
    return hidden


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
        content = figure_files(first, [kind])[kind]  # type: ignore[arg-type]
        assert content == figure_files(second, [kind])[kind]  # type: ignore[arg-type]
        assert not re.search(rb"CreationDate|dc:date|Matplotlib v", content)
        if kind == "pdf":
            assert b"/Subtype /Type0" in content or b"/Subtype /TrueType" in content
            assert b"/Type3" not in content
            assert b"/FontFile2" in content


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_a_figure_ignores_equally_named_metrics_of_other_evaluators(
    name: str, whole: tuple[Any, Any]
) -> None:
    results, arrays = whole
    own = where(results, evaluator=BUILT_IN[name].evaluator)  # type: ignore[attr-defined]
    assert len(own) > 0
    other = own.assign(evaluator="third_party", run="third_party", value=0.123, low=0.12, high=0.13)
    both = pandas.concat([own, other, other.assign(corruption="fog", severity=1)])
    alone, mixed = (BUILT_IN[name](rows, arrays) for rows in (own, both))
    assert figure_files(mixed, ["svg"])["svg"] == figure_files(alone, ["svg"])["svg"]  # type: ignore[arg-type]


def test_a_figure_whose_titles_leave_no_room_for_its_panels_is_made_higher() -> None:
    with house_style(width=SINGLE):
        drawn, panels = panel_grid(10, narrow=3).figure(4.0)
        for axes in panels:
            axes.set_title("CS-KD\n+ SD-Dropout\nλ 0.1\nflag\nflag")
        written = figure_files(drawn, ["svg"])["svg"]
    assert drawn.get_figwidth() == SINGLE
    assert 4.0 < drawn.get_figheight() <= PAGE
    assert f'height="{72 * drawn.get_figheight():g}pt"'.encode() in written
    shapes = [axes.get_position() for axes in panels]
    assert min(shape.height for shape in shapes) * drawn.get_figheight() >= LOWEST
    assert len({(shape.x0, shape.y0) for shape in shapes}) == len(panels)


def test_a_low_colour_bar_does_not_make_a_figure_higher() -> None:
    with house_style(width=SINGLE):
        drawn, (axes,) = panel_grid(1).figure(2.5)
        image = axes.imshow([[0.0, 1.0]], aspect="auto")
        bar = drawn.colorbar(image, ax=axes, orientation="horizontal", fraction=0.05)
        figure_files(drawn, ["svg"])
    assert bar.ax.get_position().height * 2.5 < LOWEST
    assert drawn.get_figheight() == 2.5


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


@pytest.mark.parametrize(("kind", "start"), [("pdf", b"%PDF"), ("png", b"\x89PNG")])
def test_names_that_the_font_cannot_show_are_written_to_files(
    kind: str, start: bytes, synthetic: ModuleType
) -> None:
    name = "<script>alert('x')</script>\n\"quoted\", $\\frac$ \u202eabc \u6587" + 300 * "n"
    net = synthetic.network(0.0, 0, method=name)
    drawn = reliability(*synthetic.table([synthetic.calibration_run(net)]))
    assert drawn is not None
    assert figure_files(drawn, [kind])[kind].startswith(start)


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_every_figure_has_tooltips_inside_the_figure(
    name: str, laid_out: Callable[[str, float], Any]
) -> None:
    drawn = laid_out(name, DOUBLE)
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
    name: str,
    whole: tuple[Any, Any],
    laid_out: Callable[[str, float], Any],
    at_width: Callable[..., Any],
) -> None:
    results, arrays = whole
    read = pandas.read_csv(io.StringIO(to_csv(results)), low_memory=False)
    drawn = at_width(name, DOUBLE, (read, arrays))
    drawn.draw_without_rendering()
    assert tooltips_of(drawn) == tooltips_of(laid_out(name, DOUBLE))


@pytest.mark.parametrize("name", ["risk_coverage", "attack_curves"])
def test_png_files_are_reproducible_at_300_dpi(
    name: str, whole: tuple[Any, Any], at_width: Callable[..., Any]
) -> None:
    first, second = (figure_files(at_width(name, SINGLE, whole), ["png"])["png"] for _ in range(2))
    assert first == second
    assert int.from_bytes(first[16:20], "big") == round(300 * SINGLE)
    assert b"Software" not in first


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["roc_curves", "pr_curves", "risk_coverage"])
def test_a_legend_of_ten_groups_leaves_room_for_curves(
    name: str, synthetic: ModuleType, at_width: Callable[..., Any]
) -> None:
    methods = ["ce", "ls", "byot", "dml", "ddgsd"]
    nets = [
        synthetic.network(weight, 0, method=method) for method in methods for weight in (0.0, 0.1)
    ]
    make = synthetic.selective_run if name == "risk_coverage" else synthetic.odin_run
    drawn = at_width(name, SINGLE, synthetic.table([make(net) for net in nets]))
    drawn.draw_without_rendering()
    assert drawn.axes[0].get_legend() is None
    assert drawn.axes[0].get_position().height > 0.15


def test_twelve_groups_have_distinct_styles_and_one_colour_per_method() -> None:
    methods = ["CE", "LS", "CS-KD", "DDGSD", "BYOT", "DML"]
    groups = [f"{name}{end}" for name in methods for end in ("", " + SD-Dropout λ 0.1")]
    styles = group_styles(groups, {group: "SD-Dropout" in group for group in groups})
    assert len({(style.colour, style.marker, style.line) for style in styles.values()}) == 12
    assert len({(style.colour, style.hatch) for style in styles.values()}) == 12
    for name in methods:
        assert styles[name].colour == styles[f"{name} + SD-Dropout λ 0.1"].colour
    grid = [f"CE + SD-Dropout λ {weight}" for weight in range(20)]
    weights = group_styles(grid, dict.fromkeys(grid, True))
    assert len({(style.colour, style.marker) for style in weights.values()}) == 20
    few = group_styles(groups[:6], {})
    assert len({style.colour for style in few.values()}) == 6
