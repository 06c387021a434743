"""One side against others: groups of seeds where there are several, else network by network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from sdd_eval.comparison.families import study_families
from sdd_eval.comparison.matching import StoredRun, has_runs, load_runs
from sdd_eval.comparison.paired import McNemars, compare_networks
from sdd_eval.comparison.seeds import compare_groups, grouped
from sdd_eval.comparison.store import (
    PLANNED,
    ComparisonSet,
    cached_pair,
    comparison_name,
    load_comparisons,
    save_comparison,
)
from sdd_eval.errors import InputError
from sdd_eval.progress import Progress

#: Names of checkpoints on either side.
Sides = tuple[tuple[str, ...], tuple[str, ...]]


def compare(
    study: Path,
    checkpoints: Sequence[str],
    *,
    test: McNemars = "mid-p",
    progress: Progress | None = None,
) -> ComparisonSet:
    """The first checkpoint, with its other seeds among those named, against all others.

    Checkpoints that are seeds of one recipe are one group. Two groups of at least two seeds are
    compared over seeds, others network by network. Holm's adjustment is over all of them together.

    Raises:
        InputError: fewer than two checkpoints, one named twice, one without runs, or all of them
            seeds of one recipe.
    """
    if len(checkpoints) < 2 or len(set(checkpoints)) < len(checkpoints):
        raise InputError("name a base and at least one other checkpoint, each once")
    base, *others = grouped({name: load_runs(study, name) for name in checkpoints})
    if not others:  # seeds of one recipe: network against network
        base, others = base[:1], [(name,) for name in base[1:]]
    sides = [pair for other in others for pair in _sides(base, other)]
    return _compared(study, comparison_name(checkpoints), sides, (), test, progress)


def compare_planned(
    study: Path, *, test: McNemars = "mid-p", progress: Progress | None = None
) -> ComparisonSet:
    """All pairs that the study's file names, Holm's adjustment over all of them together.

    What has no run yet, as where a training failed, is left out and said to be.

    Raises:
        InputError: the study's file names no pair, or none of them has runs.
    """
    sides, without = planned_sides(study)
    if not sides and not without:
        raise InputError(
            f"{study.name} has no pairs to compare: name checkpoints, or put [[compare]] into its "
            "file and run `sdd-eval batch FILE`"
        )
    if not sides:
        raise InputError(f"no pair of {study.name} has runs on both sides; evaluate them first")
    return _compared(study, PLANNED, sides, without, test, progress)


def planned_sides(study: Path) -> tuple[list[Sides], list[str]]:
    """What the study's file has compared of what has runs, and a line for each that has none."""
    pairs = _planned_pairs(study)
    names = dict.fromkeys(name for pair in pairs for side in pair for name in side)
    missing = [name for name in names if not has_runs(study, name)]
    there = [[tuple(n for n in side if n not in missing) for side in pair] for pair in pairs]
    sides = [each for base, other in there if base and other for each in _sides(base, other)]
    return sides, [f"{name} has no run" for name in missing]


def planned_is_current(study: Path) -> bool:
    """Whether what the study's file has compared lies there, made of the runs as they are."""
    sides, without = planned_sides(study)
    found, _ = load_comparisons(study)
    return any(
        each.planned
        and not each.outdated
        and list(each.without) == without
        and [(pair.base, pair.others) for pair in each.pairs] == sides
        for each in found
    )


def _planned_pairs(study: Path) -> list[Sides]:
    """The pairs that the study's file came down to; none where nothing says so."""
    try:
        said = json.loads((study / "study.json").read_text(encoding="utf-8"))["pairs"]
        return [(tuple(map(str, each["base"])), tuple(map(str, each["other"]))) for each in said]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _compared(
    study: Path,
    name: str,
    sides: Sequence[Sides],
    without: Sequence[str],
    test: McNemars,
    progress: Progress | None,
) -> ComparisonSet:
    """Each pair as it lies in the study, or made now; then all of them together."""
    families = study_families(study)
    networks: dict[str, tuple[StoredRun, ...]] = {}
    files = []
    for pair in sides:
        for each in (*pair[0], *pair[1]):
            networks[each] = networks.get(each) or load_runs(study, each)
        base, other = ([networks[each] for each in side] for side in pair)
        one_each = partial(compare_networks, base[0], other[0], families, pairs=len(sides))
        work = (
            partial(compare_groups, base, other, families, progress=progress)
            if len(base) > 1
            else partial(one_each, test=test, progress=progress)
        )
        files.append(cached_pair(study, (base, other), (families, len(sides), test), work))
    return save_comparison(study, name, files, without)


def _sides(base: tuple[str, ...], other: tuple[str, ...]) -> list[Sides]:
    """What is compared of two groups: both whole, or each network of one with each of the other."""
    if min(len(base), len(other)) > 1:
        return [(base, other)]
    return [((one,), (two,)) for one in base for two in other]
