"""Evaluate on as many images as a given precision requires."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from sdd_eval import evaluation, store
from sdd_eval.comparison.families import is_headline
from sdd_eval.errors import InputError
from sdd_eval.metrics.registry import metric
from sdd_eval.progress import Progress
from sdd_eval.records import Measurement, Run

#: Number of images of the first evaluation.
FIRST = 500
#: Margin on the number of images that an interval's width suggests, which is itself an estimate.
MARGIN = 1.05


def evaluate_until(
    checkpoint: Path,
    request: evaluation.Request,
    until: float,
    progress: Progress | None = None,
    others: Sequence[Path] = (),
) -> evaluation.Outcome:
    """Evaluate on more and more images, until the 95 % half-width of each rate is below `until`.

    Rates are the numbers in percent that summarise the network. Other checkpoints are evaluated on
    the same images, so that all can be compared, unless they cannot be evaluated. Runs that this
    call made on fewer images are deleted. It ends with all images, or the request's limit, if fewer
    do not suffice.
    """
    most, others = request.limit, [other for other in others if other != checkpoint]
    limit = max(_stored_limit(folder, request) for folder in (checkpoint, *others)) or FIRST
    while True:
        tried = dataclasses.replace(request, limit=min(limit, most or limit))
        outcome = evaluation.evaluate_checkpoint(checkpoint, tried, progress)
        outcomes = [outcome, *_of_others(others, tried, progress)]
        limit = max(images_needed(one.run, until) or 0 for one in outcomes)
        if not limit or tried.limit == most:
            return outcome
        for one in outcomes:
            if one.evaluated:
                one.path.unlink()
                one.path.with_suffix(".npz").unlink(missing_ok=True)


def _of_others(
    others: Sequence[Path], request: evaluation.Request, progress: Progress | None
) -> Iterator[evaluation.Outcome]:
    """Yield the outcomes of the checkpoints that can be evaluated."""
    for folder in others:
        with contextlib.suppress(InputError):
            yield evaluation.evaluate_checkpoint(folder, request, progress)


def images_needed(run: Run, until: float) -> int | None:
    """Return the number of images at which all rates would be precise enough; None if they are.

    Half-widths shrink as 1 / sqrt(images). Also None if the run is on all images.
    """
    rates = (number for number in run.measurements if _is_rate(number, run))
    widths = ((m.high - m.low) / 2 for m in rates if m.low is not None and m.high is not None)
    widest = max(widths, default=0.0)
    if widest < until or run.limit is None:
        return None
    return max(run.n + 1, math.ceil(MARGIN * run.n * (widest / until) ** 2))


def _is_rate(number: Measurement, run: Run) -> bool:
    return metric(number.metric, number.unit).percent and is_headline(number.at, run.settings)


def _stored_limit(checkpoint: Path, request: evaluation.Request) -> int:
    """Return the largest limit of a stored run of the request; 0 if there is none."""
    name, limits = getattr(request.evaluator, "name", ""), set[int]()
    folder = request.study / "runs" / checkpoint.resolve().name
    for _, run in store.readable_runs(folder.glob(f"{name}-*.json")):
        limits |= {run.limit} if run.evaluator == name and run.limit else set()
    with contextlib.suppress(InputError):  # its own evaluation reports why it fails
        for limit in sorted(limits, reverse=True):
            if evaluation.is_measured(checkpoint, dataclasses.replace(request, limit=limit)):
                return limit
    return 0
