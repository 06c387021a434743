"""The house style: print sizes, colours for colour blindness and greyscale, embedded fonts."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdd_eval.errors import InputError
from sdd_eval.figures.fonts import reduced_font
from sdd_eval.figures.selection import group_names, with_sd_dropout
from sdd_eval.metrics.names import display_name

if TYPE_CHECKING:
    import pandas

#: Width in inches of one and of two columns of a conference paper.
SINGLE, DOUBLE = 3.3, 6.9
#: Maximum height in inches of a figure of two columns, and of one.
PAGE, COLUMN = 8.6, 4.0

#: Text, secondary text, lines behind the data, background; reports map each to a dark colour.
INK, MUTED, GRID, PAPER = "#1a1a1a", "#595959", "#d9d9d9", "#ffffff"
#: Okabe and Ito (2008) without yellow and black, in the order of contrast.
COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = ("o", "s", "^", "D", "v", "P")
#: Straight lines only: dots and circles make an SVG file several times as large.
HATCHES = ("", "////", "----", "xxxx", "\\\\\\\\", "++++")
#: The fallback font for letters that another one lacks.
FALLBACK = "DejaVu Sans"
#: The smallest text size of any figure, in points.
SMALL = 7

_SALT = "sdd_eval"
_RC: dict[Any, Any] = {
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
class GroupStyle:
    """Colour, marker, line style and hatch of a group of checkpoints in every figure."""

    colour: str
    marker: str
    line: str
    hatch: str


def styles_of(results: pandas.DataFrame) -> dict[str, GroupStyle]:
    """Return the style of every group of a results table."""
    return group_styles(group_names(results), with_sd_dropout(results))


def group_styles(groups: list[str], sd_dropout: dict[str, bool]) -> dict[str, GroupStyle]:
    """Return a style per group, with solid lines if trained with SD-Dropout, else dashed.

    Among up to 36 groups, no two share colour, marker and line style. If there are more groups than
    colours, a method (the beginning of a label) has the same colour with and without SD-Dropout,
    provided that groups stay distinct.
    """
    styles = {}
    colours = _colours(groups, sd_dropout)
    for index, group in enumerate(groups):
        turn = (index + index // len(COLOURS)) % len(COLOURS)
        line = "-" if sd_dropout.get(group) else "--"
        styles[group] = GroupStyle(colours[index], MARKERS[turn], line, HATCHES[turn])
    return styles


def _colours(groups: list[str], sd_dropout: dict[str, bool]) -> list[str]:
    """Return a colour per group, or per method if there are too few colours."""
    methods = [group.partition(" + ")[0] for group in groups]
    pairs = {(m, bool(sd_dropout.get(g))) for m, g in zip(methods, groups, strict=True)}
    distinct = list(dict.fromkeys(methods))
    if len(groups) <= len(COLOURS) or len(pairs) < len(groups) or len(distinct) > len(COLOURS):
        return [COLOURS[index % len(COLOURS)] for index in range(len(groups))]
    return [COLOURS[distinct.index(method)] for method in methods]


@contextlib.contextmanager
def house_style(style: Path | None = None, width: float | None = None) -> Iterator[None]:
    """Set matplotlib's parameters to the house style, plus a user's style file.

    Inside another `house_style` only the width (in inches) changes, so that the outer style file
    stays active. Raise InputError if the style file does not exist or is invalid.
    """
    import matplotlib
    import matplotlib.style

    nested = style is None and matplotlib.rcParams["svg.hashsalt"] == _SALT
    with matplotlib.rc_context({} if nested else _RC | PRESETS["plain"].parameters):
        if style is not None:
            matplotlib.rcParams.update(read_style(style))
        if width is not None:
            matplotlib.rcParams["figure.figsize"] = (width, 0.45 * width)
        yield


@dataclass(frozen=True)
class Preset:
    """Widths in inches of one and two columns, the font, and sizes of text and of small text."""

    single: float
    double: float
    family: str
    size: int
    small: int

    @property
    def parameters(self) -> dict[Any, Any]:
        """Matplotlib's parameters."""
        normal = (
            "font.size",
            "axes.titlesize",
            "axes.labelsize",
            "figure.titlesize",
            "figure.labelsize",
        )
        small = ("xtick.labelsize", "ytick.labelsize", "legend.fontsize", "legend.title_fontsize")
        return {
            "font.family": list(dict.fromkeys([reduced_font(self.family), self.family, FALLBACK])),
            "mathtext.fontset": "stix" if "STIX" in self.family else "dejavusans",
            **dict.fromkeys(normal, self.size),
            **dict.fromkeys(small, self.small),
        }


#: Column widths and fonts of conferences; STIX has the letter shapes of Times.
PRESETS = {
    "plain": Preset(SINGLE, DOUBLE, "DejaVu Sans", 8, SMALL),
    "cvpr": Preset(3.25, 6.875, "STIXGeneral", 9, 8),
    "icml": Preset(3.25, 6.75, "STIXGeneral", 9, 8),
    "neurips": Preset(2.7, 5.5, "STIXGeneral", 9, 8),
}


def widths(style: Path | None = None) -> dict[str, float]:
    """Return the widths of figures in inches, by the suffix of their files."""
    preset = PRESETS.get(str(style), PRESETS["plain"])
    return {"": preset.double, "-single": preset.single}


def read_style(path: Path) -> dict[Any, Any]:
    """Return the parameters of a matplotlib style file, or of a preset.

    Raises:
        InputError: it does not exist, or matplotlib would ignore or reject one of its lines.
    """
    import matplotlib

    if not path.is_file() and str(path) in PRESETS:
        return PRESETS[str(path)].parameters
    if not path.is_file():
        raise InputError(
            f"--style {path} is not a file; give {', '.join(PRESETS)} or a matplotlib style file"
        )
    ignored, values = _Messages(), dict[Any, Any]()
    logger = logging.getLogger("matplotlib")
    logger.addHandler(ignored)
    try:
        values.update(
            matplotlib.rc_params_from_file(path, fail_on_error=True, use_default_template=False)
        )
    except Exception as error:  # matplotlib raises several kinds
        ignored.messages.append(str(error))
    finally:
        logger.removeHandler(ignored)
    if ignored.messages:
        reason = " ".join(ignored.messages[0].split()).partition(" You probably need")[0]
        raise InputError(f"--style {path} is not a matplotlib style file: {reason}")
    return values


class _Messages(logging.Handler):
    """Collects warnings: matplotlib only logs the lines of a style file that it ignores."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the message of a warning."""
        self.messages.append(record.getMessage())


def plain_text(text: object, longest: int = 48) -> str:
    """Return text for matplotlib on one line, truncated, and with mathematics disabled."""
    words = " ".join(str(text).split())
    short = words if len(words) <= longest else f"{words[: longest - 1]}…"
    return short.replace("$", r"\$")


def group_title(group: str, longest: int) -> str:
    """Return the name of a group for matplotlib, on as few lines of this length as it needs.

    >>> group_title("CE + SD-Dropout λ 0.1", 18).splitlines()
    ['CE', '+ SD-Dropout λ 0.1']
    """
    words = group
    for separator in (" + ", " λ"):
        if max(map(len, words.splitlines()), default=0) > longest:
            words = words.replace(separator, f"\n{separator.lstrip()}")
    return "\n".join(plain_text(line, longest) for line in words.splitlines())


def written_name(name: object, longest: int = 48) -> str:
    """Return the name of a data set, corruption, attack or detector as people write it."""
    return plain_text(display_name(name), longest)
