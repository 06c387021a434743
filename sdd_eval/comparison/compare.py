"""One side against others: groups of seeds where there are several, else network by network."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from sdd_eval.comparison.families import adjusted, families_of
from sdd_eval.comparison.joining import Evaluated, runs_of
from sdd_eval.comparison.keeping import kept
from sdd_eval.comparison.pairs import McNemars, compare_networks
from sdd_eval.comparison.record import Compared
from sdd_eval.comparison.seeds import compare_groups, grouped
from sdd_eval.errors import InputError
from sdd_eval.progress import Progress

Runs = tuple[Evaluated, ...]


def compare(
    study: Path,
    checkpoints: Sequence[str],
    *,
    test: McNemars = "mid-p",
    progress: Progress | None = None,
) -> list[Compared]:
    """The first checkpoint, with its other seeds among those named, against all others.

    Checkpoints that are seeds of one recipe are one group. Two groups of at least two seeds are
    compared over seeds, others network by network. Holm's adjustment is over all of them together.

    Raises:
        InputError: fewer than two checkpoints, one named twice, one without runs, or all of them
            seeds of one recipe.
    """
    if len(checkpoints) < 2 or len(set(checkpoints)) < len(checkpoints):
        raise InputError("name a base and at least one other checkpoint, each once")
    networks = {name: runs_of(study, name) for name in checkpoints}
    base, *others = grouped(networks)
    if not others:  # seeds of one recipe: network against network
        base, others = base[:1], [(name,) for name in base[1:]]
    families = families_of(study)
    sides = [pair for other in others for pair in _sides(base, other)]
    found = []
    for first, second in sides:
        runs = [networks[name] for name in first], [networks[name] for name in second]
        work = (
            partial(compare_groups, *runs, families, progress=progress)
            if len(first) > 1
            else partial(
                compare_networks,
                *(runs[0][0], runs[1][0], families),
                pairs=len(sides),
                test=test,
                progress=progress,
            )
        )
        found.append(kept(study, runs, (families, len(sides), test), work))
    return _together(found)


def _sides(
    base: tuple[str, ...], other: tuple[str, ...]
) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """What is compared of two groups: both whole, or each network of one with each of the other."""
    if min(len(base), len(other)) > 1:
        return [(base, other)]
    return [((one,), (two,)) for one in base for two in other]


def _together(found: Sequence[Compared]) -> list[Compared]:
    """The comparisons with p-values adjusted over all of them."""
    rows = iter(adjusted([row for each in found for row in each.rows]))
    return [dataclasses.replace(each, rows=tuple(next(rows) for _ in each.rows)) for each in found]
