"""Training methods side by side: inputs, network, training-only parts, terms of the loss.

The paper's Figure 1, drawn from what each method declares; nothing here knows a method by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from sdd_eval.figures.style import COLOURS, DOUBLE, INK, MUTED, PAPER, SMALL, house_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: How many methods stand beside each other.
ACROSS = 2
#: Where the columns of boxes stand, in a panel of 11.3 × 6: the right edge of inputs, the middle of
#: networks and of what hangs on their layers, the left edge of terms.
_INPUTS, _NETWORKS, _BRANCHES, _TERMS = 3.1, 4.6, 6.9, 8.7
#: Half the width of a network's box and of a branch's, and the room that a frame takes.
_HALF, _BRANCH_HALF, _FRAME = 0.6, 1.0, 0.2
_NETWORK, _MASKS = "network", "masks u, v"

Place = tuple[float, float]


class Method(Protocol):
    """What is drawn of a method: words only."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """What it looks at."""

    @property
    def parts(self) -> tuple[str, ...]:
        """What is trained beside the network and left behind; a layer's name is a branch of it."""

    @property
    def terms(self) -> tuple[str, ...]:
        """The terms of its loss."""


def draw_methods(methods: Mapping[str, Method]) -> Figure:
    """A panel a method, by its title."""
    from matplotlib.figure import Figure

    down = -(-len(methods) // ACROSS)
    with house_style():
        drawn = Figure(figsize=(DOUBLE, 1.15 * down), layout="constrained")
        panels = drawn.subplots(down, ACROSS, squeeze=False).flatten()
        for axes in panels:
            axes.set(xlim=(0, 11.3), ylim=(0, 6))
            axes.set_axis_off()
        for axes, (title, method) in zip(panels, methods.items(), strict=False):
            axes.set_title(title)
            _panel(axes, method)
    return drawn


def _panel(axes: Axes, method: Method) -> None:
    """One method: boxes, and arrows from what feeds what."""
    branches = [name for name in method.parts if name.startswith("layer")]
    others = [name for name in method.parts if name not in branches]
    hanging = [f"branch {name}" for name in branches]
    hanging += [_MASKS] if "sd_dropout" in method.terms else []
    inputs, terms = _column(method.inputs, _INPUTS), _column(method.terms, _TERMS)
    networks = _column([_NETWORK, *others], _NETWORKS)
    middle = _column(["", *hanging], _BRANCHES) if hanging else {}
    for name, place in inputs.items():
        _box(axes, name, place, MUTED, align="right")
        _arrow(axes, _right(place, 0), _left(networks[_NETWORK]))
    for name in others:
        _arrow(axes, _right(inputs[method.inputs[0]], 0), _left(networks[name]))
    for name, place in networks.items():
        _box(axes, name, place, COLOURS[1 if name == _NETWORK else 4], dashed=name != _NETWORK)
    for name in hanging:
        _box(axes, name, middle[name], COLOURS[0 if name == _MASKS else 4], dashed=name != _MASKS)
        _arrow(axes, _right(networks[_NETWORK]), _left(middle[name], _BRANCH_HALF))
    for name, place in terms.items():
        _box(axes, name.replace("_", " "), place, INK, align="left")
        begin = _right(networks[_NETWORK])
        if name == "sd_dropout":
            begin = _right(middle[_MASKS], _BRANCH_HALF)
        elif name.partition("_")[0] in others:  # a term that bears its part's name
            begin = _right(networks[name.partition("_")[0]])
        _arrow(axes, begin, (place[0] - _FRAME, place[1]))


def _right(place: Place, half: float = _HALF) -> Place:
    """The right edge of a box."""
    return place[0] + half + _FRAME, place[1]


def _left(place: Place, half: float = _HALF) -> Place:
    """The left edge of a box."""
    return place[0] - half - _FRAME, place[1]


def _column(names: Sequence[str], x: float) -> dict[str, Place]:
    """Places one below the other, the first on top."""
    step = 5.2 / max(1, len(names))
    return {name: (x, 5.6 - step * (index + 0.5)) for index, name in enumerate(names)}


def _box(
    axes: Axes, text: str, place: Place, colour: str, dashed: bool = False, align: str = "center"
) -> None:
    """A word in a frame; dashed is what training leaves behind."""
    frame = {
        **{"boxstyle": "round,pad=0.25", "facecolor": PAPER, "edgecolor": colour},
        **{"linewidth": 0.8, "linestyle": "--" if dashed else "-"},
    }
    axes.text(*place, text, ha=align, va="center", fontsize=SMALL, color=INK, bbox=frame, zorder=3)


def _arrow(axes: Axes, begin: Place, end: Place) -> None:
    """From the edge of one box to that of another."""
    style = {"arrowstyle": "-|>", "color": MUTED, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", xy=end, xytext=begin, arrowprops=style, zorder=1)
