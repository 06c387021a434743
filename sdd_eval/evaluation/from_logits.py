"""Evaluate logits computed elsewhere, without the network."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from sdd_eval import plugins
from sdd_eval.checkpoints.checkpoint import Checkpoint
from sdd_eval.data.images import ImageSet, from_arrays
from sdd_eval.errors import InputError
from sdd_eval.evaluation.on_disk import evaluate_inputs
from sdd_eval.evaluation.request import DataSets, Inputs, Outputs, Request, validated, with_sets
from sdd_eval.evaluation.run import run
from sdd_eval.progress import Progress
from sdd_eval.records import ModelSpec, Run


class LogitsTable(nn.Module):
    """A network that looks up the logits of an image by the row number in its four pixels."""

    logits: Tensor
    places: Tensor

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.register_buffer("logits", logits)
        self.register_buffer("places", 256 ** torch.arange(4), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the logits (n, classes) of pixels (n, 1, 2, 2) in [0, 1].

        Row numbers wrap around, because a network is also checked on images without a row.
        """
        digits = (255 * pixels).round().long().flatten(1)
        rows = (digits * self.places).sum(1) % len(self.logits)
        return self.logits[rows]


@dataclass(frozen=True)
class _GivenSets(DataSets):
    """OOD sets by name, for which only logits are given."""

    given: Mapping[str, ImageSet]

    def lazy(self, name: str, split: str = "test") -> ImageSet:
        """Return a given set."""
        return self.given[name]


def evaluate_logits(
    logits: ArrayLike,
    labels: ArrayLike,
    evaluator: Any,
    *,
    outliers: Mapping[str, ArrayLike] | None = None,
    name: str = "logits",
    dataset: str = "labels",
    class_names: Sequence[str] = (),
    outputs: Outputs | None = None,
    limit: int | None = None,
    seed: int = 0,
    study: Path | None = None,
    command: str = "",
    progress: Progress | None = None,
) -> Run:
    """Evaluate the logits of a network with an evaluator that needs nothing else from it.

    Args:
        logits: finite (images, classes), or probabilities if `outputs` says so.
        labels: class indices (images,).
        evaluator: an evaluator that sets `from_logits`, or its name: accuracy, calibration,
            selective, or ood with logit-based detectors.
        outliers: logits (images, classes) of OOD sets by name, for ood.
        name: the network's name in the run.
        dataset: the test set's name in the run. Runs of several networks are comparable if the
            labels and the number of images agree; all logits must be of the same images in the same
            order.
        class_names: names of the classes.
        outputs: "logits", or "probabilities", of which the log is taken; by default logits, with an
            error if they look like probabilities.
        limit: evaluate at most this many images (seeded, balanced by class).
        seed: seed of the subset and of all randomness in the evaluator.
        study: folder of the study in which the run is stored; a stored run is not repeated.
        command: the command line recorded in the run's provenance.
        progress: receives progress updates.

    Raises:
        InputError: arrays of an unexpected shape or type, or an evaluator that needs the network.
    """
    if isinstance(evaluator, str):
        evaluator = plugins.load("evaluators", evaluator)()
    given = {}
    if hasattr(evaluator, "outliers"):
        given = {of: _logits(rows, f"the logits of {of}") for of, rows in (outliers or {}).items()}
        evaluator = dataclasses.replace(evaluator, outliers=tuple(given))
    _require_logits(evaluator, given, name)
    table = [_logits(logits, f"the logits of {name}"), *given.values()]
    classes = sorted({rows.shape[1] for rows in table})
    if len(classes) > 1:
        raise InputError(f"all logits must have as many classes, not {classes[0]} and {classes[1]}")
    starts = np.cumsum([0, *map(len, table)])
    images = _numbered(dataset, starts[0], starts[1], labels, class_names)
    sets = {n: _numbered(n, *ends) for n, *ends in zip(given, starts[1:], starts[2:], strict=False)}
    checkpoint = _checkpoint(table, [*given], name)
    options: dict[str, Any] = {"limit": limit, "seed": seed, "outputs": outputs, "fold": False}
    request = validated(Request(evaluator, study or Path(), Path(), command=command, **options))
    inputs = with_sets(request, images, _GivenSets(checkpoint, Path(), sets))
    request = dataclasses.replace(request, limit=inputs.limit(request.limit))
    return _evaluated(checkpoint, inputs, request, progress)


def _require_logits(evaluator: Any, outliers: Mapping[str, Any], name: str) -> None:
    """Raise InputError if an evaluator needs more than the given arrays."""
    if not getattr(evaluator, "from_logits", False):
        raise InputError(
            f"{evaluator.name} needs the network, but only the logits {name} are given"
        )
    if hasattr(evaluator, "outliers") and not outliers:
        raise InputError(f"{evaluator.name} needs logits of OOD sets, but none are given")


def _evaluated(
    checkpoint: Checkpoint, inputs: Inputs, request: Request, progress: Progress | None
) -> Run:
    if request.study == Path():
        return run(checkpoint, inputs, request, progress)
    return evaluate_inputs(checkpoint, inputs, request, progress).run


def _logits(array: ArrayLike, where: str) -> NDArray[np.float32]:
    """Return logits as float32; raise InputError for a wrong shape, NaN or infinite values."""
    values = np.asarray(array)
    if values.ndim != 2 or values.shape[1] < 2 or not len(values) or values.dtype.kind not in "fiu":
        raise InputError(
            f"{where} are {values.dtype} {values.shape}, not numbers (images, classes), 2 or more"
        )
    if not np.isfinite(values).all():
        raise InputError(f"{where} contain NaN or infinite values; they must be finite")
    return values.astype(np.float32)


def _numbered(
    name: str, start: int, stop: int, labels: Any = None, class_names: Sequence[str] = ()
) -> ImageSet:
    """Return images of 2 × 2 pixels whose bytes encode the row numbers from `start` to `stop`."""
    pixels = np.arange(start, stop, dtype="<u4").view(np.uint8).reshape(-1, 2, 2)
    return from_arrays(
        pixels, labels, name=name, class_names=class_names, provenance="logits given"
    )


def _checkpoint(
    table: Sequence[NDArray[np.float32]], outliers: Sequence[str], name: str
) -> Checkpoint:
    """Return a checkpoint that stands for logits; those of the test set come first.

    The logits of the test set identify its weights, so that all runs belong to one network; the
    others identify its specification, which distinguishes runs with different OOD logits.
    """
    own, *others = (hashlib.sha256(rows.tobytes()).hexdigest() for rows in table)
    options = dict(zip(outliers, others, strict=True))
    spec = ModelSpec("logits", table[0].shape[1], (0.0,), (1.0,), 2, options)
    module = LogitsTable(torch.from_numpy(np.concatenate(table)))
    checkpoint = Checkpoint.in_memory(module, spec)
    card = dataclasses.replace(checkpoint.card, name=name, weights_sha256=own)
    return dataclasses.replace(checkpoint, folder=Path(name), card=card)
