"""Example images of a run, stored in its arrays as small pictures for the page of a report.

They show the most confident mistakes, accepted OOD images, and one test image under each corruption
and attack. No number depends on them, and runs from earlier versions do not have any.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sdd_eval.arrays import Array, Arrays, as_numpy
from sdd_eval.errors import InputError
from sdd_eval.metrics.classification import confidence_and_correct

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from sdd_eval.data.images import ImageSet
    from sdd_eval.evaluators.subject import Subject

Kind = Literal["mistakes", "outliers", "corruption", "attack"]

#: Maximum side of a picture in pixels; larger images are downscaled.
SIDE = 64
#: Maximum number of pictures of mistakes, and of each OOD set.
MISTAKES, OUTLIERS = 12, 6
#: The severity of the pictures of corruptions.
SEVERITY = 3
#: The name of the unchanged image among the pictures of corruptions and attacks.
CLEAN = "clean"
#: The true positive rate at which OOD images count as accepted.
ACCEPTED = 0.95


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture, the image it shows, and the network's prediction for it.

    `condition` is the OOD set, the corruption or the attack; `row` is the row of the image in its
    set, `label` its true class (None for an OOD image). `pixels` are uint8 (height, width,
    channels).
    """

    kind: Kind
    condition: str
    row: int
    label: int | None
    predicted: int
    confidence: float
    pixels: NDArray[np.uint8]


def mistakes(subject: Subject, logits: NDArray[np.float32], labels: NDArray[np.int64]) -> Arrays:
    """Return pictures of mistakes, the most confident first; empty if there are none.

    `logits` (n, classes) and `labels` (n,) are those of `subject.indices()`.
    """
    if not subject.pictures:
        return Arrays()
    confidence, correct = confidence_and_correct(logits, labels)
    wrong = np.flatnonzero(~np.asarray(correct, dtype=bool))
    surest = wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES]
    rows = subject.indices()[surest]
    return of_images(subject, "mistakes", "", subject.data, rows, labels[surest])


def accepted(
    subject: Subject, name: str, scores: NDArray[np.float64], inside: NDArray[np.float64]
) -> Arrays:
    """Return pictures of OOD images that a detector accepts, highest scores first.

    `scores` (n,) are those of the set, `inside` (m,) those of the test set; images are accepted if
    they reach the highest threshold that 95 % of the test images reach.
    """
    if not subject.pictures:
        return Arrays()
    threshold = np.sort(inside)[int((1 - ACCEPTED) * len(inside))]
    highest = np.argsort(-scores, kind="stable")[:OUTLIERS]
    highest = highest[scores[highest] >= threshold]
    images = subject.sets[name]
    return of_images(subject, "outliers", name, images, subject.indices(images)[highest])


def of_images(
    subject: Subject,
    kind: Kind,
    condition: str,
    images: ImageSet,
    rows: NDArray[np.int64],
    labels: NDArray[np.int64] | None = None,
) -> Arrays:
    """Return pictures of some rows of a set, with their labels if they have any."""
    import torch

    if not len(rows):
        return Arrays()
    pixels = torch.cat([*subject.pixels(images, rows)])
    return of_pixels(subject, kind, condition, pixels, rows, labels)


def first_image(subject: Subject) -> tuple[torch.Tensor, NDArray[np.int64], NDArray[np.int64]]:
    """Return the first test image as pixels (1, channels, side, side), its row and its label."""
    rows = subject.indices()[:1]
    return next(subject.pixels(subject.data, rows)), rows, subject.labels()[:1]


def of_pixels(
    subject: Subject,
    kind: Kind,
    condition: str,
    pixels: torch.Tensor,
    rows: NDArray[np.int64],
    labels: NDArray[np.int64] | None = None,
) -> Arrays:
    """Return pictures of pixels (n, channels, side, side) in [0, 1], such as attacked ones."""
    import torch

    with torch.inference_mode():
        logits = torch.cat(
            [subject.model(part) for part in torch.split(pixels, subject.batch_size)]
        )
        surest = logits.double().softmax(dim=1).max(dim=1)
        small = torch.nn.functional.adaptive_avg_pool2d(pixels, min(SIDE, pixels.shape[-1]))
        stored = (small.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1)
    values: Mapping[str, Any] = {
        "picture_rows": rows,
        "picture_labels": np.full(len(rows), -1) if labels is None else labels,
        "picture_predicted": as_numpy(surest.indices),
        "picture_confidence": as_numpy(surest.values).astype(np.float32),
    }
    at = {"kind": kind, "condition": condition}
    axes = ("pictures", "height", "width", "channels")
    return Arrays(
        [
            Array("pictures", as_numpy(stored), axes, at),
            *(Array(name, array, axes[:1], at) for name, array in values.items()),
        ]
    )


def stored_pictures(arrays: Arrays, kind: Kind) -> Iterator[Picture]:
    """Yield the pictures of a kind in the arrays of a run; damaged ones are skipped."""
    for entry in arrays.entries:
        if entry.name == "pictures" and entry.at.get("kind") == kind:
            with contextlib.suppress(InputError, KeyError, ValueError, TypeError):
                yield from _pictures_of(entry, arrays.where(**entry.at))


def _pictures_of(entry: Array, own: Arrays) -> list[Picture]:
    """Return the pictures of an array; ValueError, KeyError or TypeError if it is damaged."""
    stored = entry.read()
    if stored.dtype != np.uint8 or stored.ndim != 4 or stored.shape[-1] not in (1, 3):
        raise ValueError(f"pictures are {stored.dtype} {stored.shape}")
    if min(stored.shape) < 1 or max(stored.shape[1:3]) > SIDE:
        raise ValueError(f"pictures are {stored.shape}")
    columns = [own[f"picture_{name}"] for name in ("rows", "labels", "predicted", "confidence")]
    return [
        Picture(
            kind=entry.at["kind"],
            condition=str(entry.at["condition"]),
            row=int(row),
            label=None if label < 0 else int(label),
            predicted=int(predicted),
            confidence=float(confidence),
            pixels=pixels,
        )
        for pixels, row, label, predicted, confidence in zip(stored, *columns, strict=True)
    ]
