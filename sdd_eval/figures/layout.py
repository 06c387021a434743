"""A figure's legend beside its panels: in as many columns as fit, and never too wide."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Points of print that a letter takes at most on average, that the mark before a text takes with
#: the room between columns, and that a line takes.
LETTER, MARK, LINE = 4.1, 34.0, 11.0


def legend(
    figure: Figure,
    handles: Sequence[Any],
    labels: Sequence[str],
    side: Literal["upper", "lower"] = "lower",
) -> None:
    """Put the legend above or below the panels, and make the figure as much higher.

    A text that is wider than the figure is cut.
    """
    width = 72 * figure.get_figwidth()
    most = math.floor((width - MARK) / LETTER)
    texts = [each if len(each) <= most else f"{each[: most - 1]}…" for each in labels]
    longest = max((len(each) for each in texts), default=1)
    columns = max(1, min(len(texts), math.floor(width / (LETTER * longest + MARK))))
    lines = math.ceil(len(texts) / columns)
    figure.set_figheight(figure.get_figheight() + (LINE * lines + 8) / 72)
    place: Any = f"outside {side} center"
    figure.legend(handles, texts, loc=place, ncols=columns, frameon=False)
