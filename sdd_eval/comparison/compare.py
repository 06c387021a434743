"""Compare checkpoints of a study: over seeds if both sides have several, else pair by pair."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from sdd_eval.comparison.differences import McNemarVariant
from sdd_eval.comparison.families import study_families
from sdd_eval.comparison.matching import StoredRun, has_runs, load_runs
from sdd_eval.comparison.paired import compare_networks
from sdd_eval.comparison.seeds import compare_groups, group_by_recipe
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

#: The checkpoints of both sides.
Sides = tuple[tuple[str, ...], tuple[str, ...]]


def compare(
    study: Path,
    checkpoints: Sequence[str],
    *,
    test: McNemarVariant = "mid-p",
    progress: Progress | None = None,
) -> ComparisonSet:
    """Compare the first checkpoint, along with its other seeds among those named, to all others.

    Checkpoints that are seeds of one recipe form a group. Two groups with at least two seeds each
    are compared over seeds, others network by network. The Holm–Bonferroni adjustment covers all
    comparisons together. Raise InputError for fewer than two checkpoints, a repeated checkpoint, or
    one without runs.
    """
    if len(checkpoints) < 2 or len(set(checkpoints)) < len(checkpoints):
        raise InputError("name a base and at least one other checkpoint, each once")
    base, *others = group_by_recipe({name: load_runs(study, name) for name in checkpoints})
    if not others:  # all are seeds of one recipe: compare them network by network
        base, others = base[:1], [(name,) for name in base[1:]]
    sides = [pair for other in others for pair in _sides(base, other)]
    return _compare_all(study, comparison_name(checkpoints), sides, (), test, progress)


def compare_planned(
    study: Path, *, test: McNemarVariant = "mid-p", progress: Progress | None = None
) -> ComparisonSet:
    """Compare all pairs in the study file, adjusting p-values over all of them together.

    Checkpoints without runs, e.g. after a failed training, are omitted and listed in `without`.
    Raise InputError if the study file defines no pairs, or no pair has runs on both sides.
    """
    sides, without = planned_sides(study)
    if not sides and not without:
        raise InputError(
            f"{study.name} has no pairs to compare: name checkpoints, or put [[compare]] into its "
            "file and run `sdd-eval batch FILE`"
        )
    if not sides:
        raise InputError(f"no pair of {study.name} has runs on both sides; evaluate them first")
    return _compare_all(study, PLANNED, sides, without, test, progress)


def planned_sides(study: Path) -> tuple[list[Sides], list[str]]:
    """Return the planned comparisons that have runs, and a line for each checkpoint without."""
    pairs = _planned_pairs(study)
    names = dict.fromkeys(name for pair in pairs for side in pair for name in side)
    missing = [name for name in names if not has_runs(study, name)]
    evaluated = [
        tuple(tuple(name for name in side if name not in missing) for side in pair)
        for pair in pairs
    ]
    sides = [one for base, other in evaluated if base and other for one in _sides(base, other)]
    return sides, [f"{name} has no run" for name in missing]


def planned_is_current(study: Path) -> bool:
    """Whether the planned comparison is stored and matches the current runs."""
    sides, without = planned_sides(study)
    comparisons, _ = load_comparisons(study)
    return any(
        comparison.planned
        and not comparison.outdated
        and list(comparison.without) == without
        and [(pair.base, pair.others) for pair in comparison.pairs] == sides
        for comparison in comparisons
    )


def _planned_pairs(study: Path) -> list[Sides]:
    """Return the pairs of checkpoints that the study file resolved to."""
    try:
        pairs = json.loads((study / "study.json").read_text(encoding="utf-8"))["pairs"]
        return [(tuple(map(str, pair["base"])), tuple(map(str, pair["other"]))) for pair in pairs]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _compare_all(
    study: Path,
    name: str,
    sides: Sequence[Sides],
    without: Sequence[str],
    test: McNemarVariant,
    progress: Progress | None,
) -> ComparisonSet:
    """Compare each pair that is not yet stored, and store all of them as one comparison."""
    families = study_families(study)
    runs: dict[str, tuple[StoredRun, ...]] = {}
    files = []
    for pair in sides:
        for checkpoint in (*pair[0], *pair[1]):
            runs[checkpoint] = runs.get(checkpoint) or load_runs(study, checkpoint)
        base, other = ([runs[checkpoint] for checkpoint in side] for side in pair)
        compute = partial(compare_groups, base, other, families, progress=progress)
        if len(base) == 1:
            networks = partial(compare_networks, base[0], other[0], families, progress=progress)
            compute = partial(networks, pairs=len(sides), test=test)
        files.append(cached_pair(study, (base, other), (families, len(sides), test), compute))
    return save_comparison(study, name, files, without)


def _sides(base: tuple[str, ...], other: tuple[str, ...]) -> list[Sides]:
    """Return two groups unchanged if both have several seeds, else all pairs of networks."""
    if min(len(base), len(other)) > 1:
        return [(base, other)]
    return [((one,), (two,)) for one in base for two in other]
