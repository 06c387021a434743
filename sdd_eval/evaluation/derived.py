"""Accuracy runs derived from the stored logits of other evaluators' runs.

A run that measures calibration also determines accuracy: the logits and labels are the same. A
derived run is computed when a study is read, and is not stored.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from msgspec import structs

from sdd_eval import plugins
from sdd_eval.errors import InputError
from sdd_eval.evaluators.accuracy import Accuracy
from sdd_eval.evaluators.evaluator import score
from sdd_eval.evaluators.settings import from_stored
from sdd_eval.records import Run, encode

#: The images of a run: all of them, or a subset given by its size and seed.
Subset = tuple[int | None, int | None]


def derived_runs(runs: Sequence[Run]) -> Iterator[tuple[int, Run]]:
    """Yield missing accuracy runs, each with the index of the run that it is derived from.

    A run is derived from one whose evaluator's attribute `stores_logits` is true, if no other run
    measured the accuracy of the same weights on as many of the same images. Among several such
    runs, the newest is used. Its provenance names the evaluator in `derived_from`. Runs with
    damaged arrays are skipped.
    """
    measured: dict[tuple[str, ...], set[Subset]] = {}
    for run in runs:
        if run.evaluator == Accuracy.name:
            measured.setdefault(_network_and_data(run), set()).add(_subset(run))
    candidates = [(i, run) for i, run in enumerate(runs) if _stores_logits(run)]
    candidates.sort(key=lambda one: one[1].provenance.created, reverse=True)
    candidates.sort(key=lambda one: one[1].limit is not None)
    for index, run in candidates:
        known = measured.setdefault(_network_and_data(run), set())
        if not _contained(_subset(run), known) and (derived := _derived(run)):
            known.add(_subset(run))
            yield index, derived


def _network_and_data(run: Run) -> tuple[str, ...]:
    return run.checkpoint, run.weights_sha256, run.dataset, run.data_fingerprint


def _subset(run: Run) -> Subset:
    return run.limit, None if run.limit is None else run.provenance.seed


def _contained(subset: Subset, known: Iterable[Subset]) -> bool:
    """Return whether at least the images of a subset are known: all, or a subset with its seed."""
    size, seed = subset
    return any(
        most is None or (size is not None and size <= most and seed == other)
        for most, other in known
    )


def _stores_logits(run: Run) -> bool:
    if run.evaluator == Accuracy.name:
        return False
    try:
        kind: Any = plugins.load("evaluators", run.evaluator)
    except InputError:  # training curves, or a package that is not installed
        return False
    return bool(getattr(kind, "stores_logits", False))


def _derived(run: Run) -> Run | None:
    """Return the accuracy from a run's logits; None if its arrays are missing or damaged."""
    evaluator = from_stored(Accuracy, run.settings)
    try:
        measurements = score(evaluator, run.arrays)
    except (InputError, KeyError, ValueError, IndexError, TypeError):
        return None
    return dataclasses.replace(
        run,
        evaluator=evaluator.name,
        evaluator_version=evaluator.version,
        settings=encode(evaluator),
        measurements=measurements,
        provenance=structs.replace(run.provenance, derived_from=run.evaluator, seconds=None),
    )
