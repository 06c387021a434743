"""The house style: print sizes, colours that survive colour blindness and grey, embedded fonts."""

from __future__ import annotations

import contextlib
import io
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdd_eval.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Widths in inches of one and of two columns of a conference paper.
SINGLE, DOUBLE = 3.3, 6.9

#: The height in inches of what a page has room for, caption included.
PAGE = 9.2

#: Text, secondary text, lines behind the data, and background; the page gives each a dark twin.
INK, MUTED, GRID, PAPER = "#1a1a1a", "#595959", "#d9d9d9", "#ffffff"

#: Okabe and Ito (2008), without yellow and black, the darkest contrasts first.
COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = ("o", "s", "^", "D", "v", "P")
#: Of straight lines alone: dots and circles make a page's SVG several times as large.
HATCHES = ("", "////", "----", "xxxx", "\\\\\\\\", "++++")

#: The smallest text of any figure, in points.
SMALL = 7

_SALT = "sdd_eval"
_RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "figure.titlesize": 8,
    "figure.dpi": 200,
    "savefig.dpi": 300,
    "figure.figsize": (DOUBLE, 3.0),
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.titlecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.facecolor": PAPER,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "legend.facecolor": PAPER,
    "legend.edgecolor": GRID,
    "legend.framealpha": 0.9,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.5,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.3,
    "lines.markersize": 4,
    "hatch.linewidth": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": _SALT,
    "path.simplify": True,
}


@dataclass(frozen=True)
class Look:
    """How one group of checkpoints is drawn in every figure."""

    colour: str
    marker: str
    line: str
    hatch: str


def looks(groups: list[str], with_sd_dropout: dict[str, bool]) -> dict[str, Look]:
    """A look a group: solid lines with SD-Dropout and dashed ones without it.

    No two of up to 36 share colour, marker and line. Where groups are more than colours, a method
    has one colour with SD-Dropout and without it, if that tells all apart.
    """
    found = {}
    colours = _colours(groups, with_sd_dropout)
    for index, group in enumerate(groups):
        turn = (index + index // len(COLOURS)) % len(COLOURS)
        line = "-" if with_sd_dropout.get(group) else "--"
        found[group] = Look(colours[index], MARKERS[turn], line, HATCHES[turn])
    return found


def _colours(groups: list[str], with_sd_dropout: dict[str, bool]) -> list[str]:
    """A colour a group; by its method, the first word of its label, where colours are too few."""
    in_turn = [COLOURS[index % len(COLOURS)] for index in range(len(groups))]
    methods = [group.partition(" + ")[0] for group in groups]
    kinds = {(m, bool(with_sd_dropout.get(g))) for m, g in zip(methods, groups, strict=True)}
    distinct = list(dict.fromkeys(methods))
    if len(groups) <= len(COLOURS) or len(kinds) < len(groups) or len(distinct) > len(COLOURS):
        return in_turn
    return [COLOURS[distinct.index(method)] for method in methods]


@contextlib.contextmanager
def house_style(style: Path | None = None, width: float | None = None) -> Iterator[None]:
    """matplotlib's settings for a while, then the user's style file on top of them.

    Inside another `house_style` nothing changes but the width, so that the outer one's style file
    holds. `width` is that of the figures, in inches; DOUBLE by default.

    Raises:
        InputError: the style file is not there or not one.
    """
    import matplotlib
    import matplotlib.style

    inside = style is None and matplotlib.rcParams["svg.hashsalt"] == _SALT
    with matplotlib.rc_context({} if inside else _RC):
        if style is not None:
            _use(style)
        if width is not None:
            matplotlib.rcParams["figure.figsize"] = (width, 0.45 * width)
        yield


def room(panels: int, wide: int = 3, narrow: int = 1) -> tuple[float, int, int]:
    """The width in inches that a figure has now, and the columns and lines of its panels.

    A figure is as wide as matplotlib's setting `figure.figsize` says: `wide` panels at most stand
    side by side in two columns of a paper, `narrow` in one.
    """
    import matplotlib

    width = float(matplotlib.rcParams["figure.figsize"][0])
    columns = min(panels, wide if width > (SINGLE + DOUBLE) / 2 else narrow)
    return width, columns, math.ceil(panels / columns)


def percent(axes: Axes, which: str = "y") -> None:
    """Ticks from 0 to 100 % on an axis of fractions; values under the cursor with a decimal."""
    ticks = [0, 0.25, 0.5, 0.75, 1]
    axis = axes.yaxis if which == "y" else axes.xaxis
    axis.set_ticks(ticks, [f"{100 * tick:.0f} %" for tick in ticks])
    setattr(axes, f"fmt_{which}data", lambda value: f"{100 * value:.1f} %")


def _use(style: Path) -> None:
    """Lay a style file over the settings."""
    import matplotlib

    if not style.is_file():
        raise InputError(f"--style {style} is not a file; give a matplotlib style file")
    try:
        matplotlib.rcParams.update(
            matplotlib.rc_params_from_file(style, fail_on_error=True, use_default_template=False)
        )
    except Exception as error:  # matplotlib raises several kinds
        raise InputError(f"--style {style} is not a matplotlib style file: {error}") from error


def plain(text: object, longest: int = 48) -> str:
    """Text from outside as matplotlib shall show it: one line, not too long, no mathematics."""
    words = " ".join(str(text).split())
    short = words if len(words) <= longest else f"{words[: longest - 1]}…"
    return short.replace("$", r"\$")


#: What would make two equal figures differ: when, and by which version.
_SILENT = {
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
}


def figure_bytes(figure: Figure, kind: str) -> bytes:
    """The bytes of a figure as "pdf", "svg" or "png"; call it in the style it was drawn in."""

    buffer = io.BytesIO()
    with house_style(), warnings.catch_warnings():
        # a name in a script that the font lacks is drawn as boxes; the page has it as text
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(buffer, format=kind, metadata=_SILENT[kind])
    return buffer.getvalue()
