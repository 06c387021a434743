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
    from matplotlib.text import Text

#: How many methods stand beside each other.
ACROSS = 2
#: Where the columns of boxes stand, in a panel of 12.4 × 5.4: the right edge of inputs, the middle
#: of networks and of what hangs on their layers, the left edge of terms.
_INPUTS, _NETWORKS, _BRANCHES, _TERMS = 3.1, 4.4, 7.1, 9.4
_NETWORK, _MASKS = "network", "masks u, v"


class Method(Protocol):
    """What is drawn of a method: words only."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """What it looks at."""

    @property
    def parts(self) -> tuple[str, ...]:
        """What is trained beside the network and left behind; a layer's name is a branch of it."""

    @property
    def terms(self) -> Mapping[str, tuple[str, ...]]:
        """The terms of its loss, each with those that learn from it: "network", parts."""


def draw_methods(methods: Mapping[str, Method]) -> Figure:
    """A panel a method, by its title."""
    from matplotlib.figure import Figure

    down = -(-len(methods) // ACROSS)
    with house_style():
        drawn = Figure(figsize=(DOUBLE, 1.15 * down), layout="constrained")
        panels = drawn.subplots(down, ACROSS, squeeze=False).flatten()
        for axes in panels:
            axes.set(xlim=(0, 12.4), ylim=(0.3, 5.7))
            axes.set_axis_off()
        for axes, (title, method) in zip(panels, methods.items(), strict=False):
            axes.set_title(title)
            _panel(axes, method)
    return drawn


def _panel(axes: Axes, method: Method) -> None:
    """One method: boxes, and arrows from what feeds what."""
    branches = {name: f"branch {name}" for name in method.parts if name.startswith("layer")}
    others = [name for name in method.parts if name not in branches]
    masks = {_MASKS: _MASKS} if "sd_dropout" in method.terms else {}
    below = len(branches) + len(masks)  # what hangs on the network leaves its own way free
    inputs = _boxes(axes, _named(method.inputs), _INPUTS, MUTED, align="right", below=below)
    names = _named([_NETWORK, *others])
    networks = _boxes(axes, names, _NETWORKS, COLOURS[1], added=others, below=below)
    hanging = _boxes(
        axes, {**branches, **masks}, _BRANCHES, COLOURS[0], added=list(branches), above=1
    )
    terms = _boxes(axes, {t: t.replace("_", " ") for t in method.terms}, _TERMS, INK, align="left")
    for box in inputs.values():
        _arrow(axes, box, networks[_NETWORK])
    for name in others:
        _arrow(axes, inputs[method.inputs[0]], networks[name])
    for box in hanging.values():
        _arrow(axes, networks[_NETWORK], box)
    for term, learners in method.terms.items():
        for learner in [_MASKS] if term == "sd_dropout" else learners:
            _arrow(axes, {**networks, **hanging}[learner], terms[term])


def _named(names: Sequence[str]) -> dict[str, str]:
    """Boxes that bear their own names."""
    return {name: name for name in names}


def _boxes(
    axes: Axes,
    words: Mapping[str, str],
    x: float,
    colour: str,
    *,
    added: Sequence[str] = (),
    align: str = "center",
    above: int = 0,
    below: int = 0,
) -> dict[str, Text]:
    """Words in frames, one below the other; dashed is what training adds and leaves behind."""
    boxes, step = {}, 5.2 / max(1, above + len(words) + below)
    for index, (name, word) in enumerate(words.items(), start=above):
        edge = {"edgecolor": COLOURS[4], "linestyle": "--"} if name in added else {}
        frame = {
            **{"boxstyle": "round,pad=0.25", "facecolor": PAPER, "edgecolor": colour},
            **{"linewidth": 0.8, "linestyle": "-", **edge},
        }
        place = (x, 5.6 - step * (index + 0.5))
        boxes[name] = axes.text(
            *place, word, ha=align, va="center", fontsize=SMALL, color=INK, bbox=frame, zorder=3
        )
    return boxes


def _arrow(axes: Axes, begin: Text, end: Text) -> None:
    """From one box's right edge to another's left, wherever their words end."""
    style = {"arrowstyle": "-|>", "color": MUTED, "linewidth": 0.6, "shrinkA": 2.5, "shrinkB": 2.5}
    axes.annotate(
        "",
        xy=(0, 0.5),
        xycoords=end,
        xytext=(1, 0.5),
        textcoords=begin,
        arrowprops={**style, "mutation_scale": 7},
        zorder=1,
    )
