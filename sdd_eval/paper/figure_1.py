"""The paper's Figure 1: inputs, networks, training-only parts and loss terms of each method.

It is drawn from each method's declaration; this module is independent of the methods.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sdd_eval.figures.style import COLOURS, DOUBLE, INK, MUTED, PAPER, SMALL, house_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    from sdd_eval.training.analysis.method_summary import MethodSummary

#: Panels per row.
COLUMNS = 2
#: Data coordinates of the columns of boxes in a panel of 12.4 × 5.4: right edge of the inputs,
#: centre of the networks and of the branches, left edge of the loss terms.
_INPUTS, _NETWORKS, _BRANCHES, _TERMS = 3.1, 4.4, 7.1, 9.4
_NETWORK, _MASKS = "network", "masks u, v"


def draw_methods(methods: Mapping[str, MethodSummary]) -> Figure:
    """Draw one panel per method, under its title."""
    from matplotlib.figure import Figure

    rows = -(-len(methods) // COLUMNS)
    with house_style():
        figure = Figure(figsize=(DOUBLE, 1.15 * rows), layout="constrained")
        panels = figure.subplots(rows, COLUMNS, squeeze=False).flatten()
        for axes in panels:
            axes.set(xlim=(0, 12.4), ylim=(0.3, 5.7))
            axes.set_axis_off()
        for axes, (title, method) in zip(panels, methods.items(), strict=False):
            axes.set_title(title)
            _panel(axes, method)
    return figure


def _panel(axes: Axes, method: MethodSummary) -> None:
    branches = {name: f"branch {name}" for name in method.parts if name.startswith("layer")}
    others = [name for name in method.parts if name not in branches]
    masks = {_MASKS: _MASKS} if "sd_dropout" in method.terms else {}
    below = len(branches) + len(masks)  # rows left free for branches of the network
    inputs = _boxes(axes, _same(method.inputs), _INPUTS, MUTED, align="right", below=below)
    names = _same([_NETWORK, *others])
    networks = _boxes(axes, names, _NETWORKS, COLOURS[1], dashed=others, below=below)
    side = _boxes(
        axes, {**branches, **masks}, _BRANCHES, COLOURS[0], dashed=list(branches), above=1
    )
    terms = _boxes(axes, {t: t.replace("_", " ") for t in method.terms}, _TERMS, INK, align="left")
    for box in inputs.values():
        _arrow(axes, box, networks[_NETWORK])
    for name in others:
        _arrow(axes, inputs[method.inputs[0]], networks[name])
    for box in side.values():
        _arrow(axes, networks[_NETWORK], box)
    for term, learners in method.terms.items():
        for learner in [_MASKS] if term == "sd_dropout" else learners:
            _arrow(axes, {**networks, **side}[learner], terms[term])


def _same(names: Sequence[str]) -> dict[str, str]:
    return {name: name for name in names}


def _boxes(
    axes: Axes,
    labels: Mapping[str, str],
    x: float,
    colour: str,
    *,
    dashed: Sequence[str] = (),
    align: str = "center",
    above: int = 0,
    below: int = 0,
) -> dict[str, Text]:
    boxes, step = {}, 5.2 / max(1, above + len(labels) + below)
    for index, (name, label) in enumerate(labels.items(), start=above):
        edge = {"edgecolor": COLOURS[4], "linestyle": "--"} if name in dashed else {}
        frame = {
            **{"boxstyle": "round,pad=0.25", "facecolor": PAPER, "edgecolor": colour},
            **{"linewidth": 0.8, "linestyle": "-", **edge},
        }
        y = 5.6 - step * (index + 0.5)
        boxes[name] = axes.text(
            x, y, label, ha=align, va="center", fontsize=SMALL, color=INK, bbox=frame, zorder=3
        )
    return boxes


def _arrow(axes: Axes, start: Text, end: Text) -> None:
    style = {"arrowstyle": "-|>", "color": MUTED, "linewidth": 0.6, "shrinkA": 2.5, "shrinkB": 2.5}
    axes.annotate(
        "",
        xy=(0, 0.5),
        xycoords=end,
        xytext=(1, 0.5),
        textcoords=start,
        arrowprops={**style, "mutation_scale": 7},
        zorder=1,
    )
