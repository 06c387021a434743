"""Small pages: short paths, no repeated texts, tables without redundant HTML."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdd_eval.figures import figure_files
from sdd_eval.figures.ood import roc_curves
from sdd_eval.figures.points import Tooltip, tooltips_of
from sdd_eval.figures.style import house_style
from sdd_eval.report import write
from sdd_eval.report.drawing.svg import (
    TOLERANCE,
    SharedSvg,
    inline_svg,
    merge_lines,
    short_path,
    thinned,
    within,
)
from sdd_eval.report.write import write_report

Point = tuple[int, int]
POINTS = st.lists(
    st.tuples(st.integers(-3000, 3000), st.integers(-3000, 3000)), min_size=2, max_size=40
)


def absolute(path: str) -> list[Point]:
    """The points of a path of steps, in tenths of a point of print."""
    numbers_found: list[Point] = []
    x = y = 0
    for command, numbers in re.findall(r"([Mlhv])([^Mlhvz]*)", path):
        values = [round(10 * float(item)) for item in re.findall(r"-?(?:\d*\.)?\d+", numbers)]
        if command == "M":
            x, y = values
        elif command == "l":
            x, y = x + values[0], y + values[1]
        elif command == "h":
            x += values[0]
        else:
            y += values[0]
        numbers_found.append((x, y))
    return numbers_found


def distance(point: Point, first: Point, last: Point) -> float:
    """Return the distance from a point to the segment between two others."""
    along = (last[0] - first[0], last[1] - first[1])
    length = along[0] ** 2 + along[1] ** 2
    dot = (point[0] - first[0]) * along[0] + (point[1] - first[1]) * along[1]
    share = min(1.0, max(0.0, dot / length)) if length else 0.0
    near = (first[0] + share * along[0], first[1] + share * along[1])
    return float(((point[0] - near[0]) ** 2 + (point[1] - near[1]) ** 2) ** 0.5)


@given(POINTS)
def test_thinned_lines_stay_within_the_tolerance(
    points: list[Point],
) -> None:
    remaining = thinned(points)
    assert (remaining[0], remaining[-1]) == (points[0], points[-1])
    folder = 0
    for point in points:
        if folder + 1 < len(remaining) - 1 and point == remaining[folder + 1]:
            folder += 1
        assert (
            distance(point, remaining[folder], remaining[min(folder + 1, len(remaining) - 1)])
            <= TOLERANCE
        )


@given(POINTS)
def test_a_relative_path_visits_the_same_points(points: list[Point]) -> None:
    text = "".join(f"{'L' if n else 'M'} {x / 10} {y / 10} \n" for n, (x, y) in enumerate(points))
    assert absolute(short_path(text)) == thinned(points)


def test_areas_and_curves_keep_all_their_points() -> None:
    area = "M 0 0 \nL 1 0.01 \nL 2 0 \nL 2 5 \nz\n"
    assert short_path(area) == "M0 0h1h1v5z"
    assert short_path("M 1 1 \nQ 2 2 3 1.26 \nz\n") == "M1 1q1 1 2 .3z"
    assert short_path("M 64 128 \nL 0 128 \n", 1 / 64) == "M1 2h-1"


def test_a_path_inside_a_frame_needs_no_clipping() -> None:
    assert within("M 1 1 \nL 9 9 \n", 0, 0, 10, 10)
    assert not within("M 1 1 \nL 11 9 \n", 0, 0, 10, 10)
    assert not within("M 1 1 \nC 1 1 2 2 3 3 \n", 0, 0, 10, 10)


@pytest.fixture(scope="module")
def drawn(synthetic: ModuleType) -> tuple[str, list[Tooltip]]:
    """The ROC curves of ten groups: the SVG file, and the values."""
    methods = ["ce", "ls", "byot", "dml", "ddgsd"]
    nets = [
        synthetic.network(weight, 0, method=method) for method in methods for weight in (0.0, 0.1)
    ]
    table = synthetic.table([synthetic.odin_run(net) for net in nets])
    with house_style():
        figure = roc_curves(*table)
        assert figure is not None
        figure.draw_without_rendering()
        return figure_files(figure, ["svg"])["svg"].decode(), tooltips_of(figure)


def test_merged_axis_lines_have_the_same_end_points(drawn: Any) -> None:
    svg, _ = drawn
    joined = merge_lines(svg)

    def ends(text: str) -> set[tuple[float, float]]:
        grid = "stroke: #d9d9d9; stroke-width: 0.5"
        paths = [
            d for d, look in re.findall(r'd="([^"]*)"[^>]*style="([^"]*)"', text) if grid in look
        ]
        numbers = re.findall(r"[ML] (\S+) (\S+)", " ".join(paths))
        return {(float(x), float(y)) for x, y in numbers}

    assert ends(joined) == ends(svg) != set()
    assert joined.count("<path") < svg.count("<path")
    assert joined.count("<use") < svg.count("<use")


def test_an_inline_figure_is_smaller_than_its_file_and_has_all_values(drawn: Any) -> None:
    svg, values = drawn
    shared = SharedSvg()
    assert len(inline_svg(svg, "f0d", "ROC", (), SharedSvg())) < 0.2 * len(svg)
    page = inline_svg(svg, "f1d", "ROC", values, shared)
    groups = re.findall(r"<g><title>(.*?)</title>(.*?)</g>", page)
    texts = [
        f"{head}, {text}" for head, own in groups for text in re.findall(r"<title>(.*?)</", own)
    ]
    assert texts == [value.text for value in values]
    again = inline_svg(svg, "f1s", "ROC", values, shared, {v.text: n for n, v in enumerate(values)})
    assert "<title>" not in again
    assert "data-of" not in again
    turned = {v.text: len(values) - 1 - n for n, v in enumerate(values)}
    assert f'data-of="{len(values) - 1}"' in inline_svg(svg, "f2s", "ROC", values, shared, turned)


def test_a_page_without_figures_takes_at_most_50_bytes_per_number(
    whole_battery: ModuleType,
    synthetic: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A thousand numbers a network: what a page says of each may cost 50 bytes and no more."""
    monkeypatch.setattr(write, "draw_figures", lambda *_: ([], []))
    runs = list(whole_battery.runs(10, 60))
    page = write_report(synthetic.write_study(tmp_path / "study", runs))
    numbers = sum(len(run.measurements) for run in runs)
    assert numbers > 10_000
    assert page.stat().st_size < 50 * numbers


@pytest.mark.slow
@pytest.mark.usefixtures("only_svg")
def test_the_page_of_a_study_of_twenty_networks_is_below_1_8_mb(
    whole_battery: ModuleType, synthetic: ModuleType, tmp_path: Path
) -> None:
    runs = list(whole_battery.runs(20, 200, 2000))
    page = write_report(synthetic.write_study(tmp_path / "study", runs))
    assert page.stat().st_size < 1_800_000
