"""One pass of a network over a set of images, or what is remembered of an earlier one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from sdd_eval.data.images import ImageSet
from sdd_eval.errors import InputError
from sdd_eval.evaluators.ood.detectors.batch import Batch, Seen

if TYPE_CHECKING:
    from sdd_eval.evaluators.subject import Subject

Rows = NDArray[np.int64]

#: So many images are looked at anew before what is remembered of a set is believed.
PROBED = 2
#: How far their logits may be from those remembered, in units of the largest, if that is above 1:
#: far above what other threads and batches do to rounding, far below what other code does.
BELIEVED = 1e-3


class Memory(Protocol):
    """Where a network's logits and features are kept between evaluations, by images' content."""

    def recall(
        self, images: ImageSet, rows: Rows, features: bool
    ) -> Mapping[str, NDArray[np.float32]] | None:
        """`logits` and perhaps `features` (as asked, always) of some rows of a set, if known."""

    def keep(
        self, images: ImageSet, rows: Rows, found: Mapping[str, NDArray[np.float32]], batch: int
    ) -> None:
        """Remember what a network made of some rows, so many a batch."""

    def has_room(self, size: int) -> bool:
        """Whether so many bytes of one evaluation leave enough for all others."""

    @property
    def recalled(self) -> Sequence[Mapping[str, Any]]:
        """What was recalled so far: which images, and when, on what and how it was computed."""


def batches(
    subject: Subject, images: ImageSet, rows: Rows, *, features: bool = True
) -> Iterator[Batch]:
    """Batches in order; what the network makes of them is computed where somebody asks.

    Where all of them were asked, that is remembered, features only if `features`.
    """

    @functools.cache
    def known() -> Seen | None:
        with_features = _recalled(subject, images, rows, True)
        return with_features or _recalled(subject, images, rows, False)

    stream, collected = _Pixels(subject, images, rows), _Collected(len(rows), features)
    for start in range(0, len(rows), subject.batch_size):
        part = slice(start, start + subject.batch_size)
        batch = Batch(subject.model, partial(stream.at, start), partial(_part, known, part))
        yield batch
        if subject.memory and batch.is_computed:
            collected.add(part, batch.computed)
    _keep(subject, images, rows, collected)


def seen(
    subject: Subject,
    images: ImageSet,
    rows: Rows,
    *,
    features: bool,
    needed: bool = False,
    keep: bool = True,
    note: str = "",
) -> Seen:
    """Logits of some rows of a set, on the device; their features too, if they are asked for.

    `needed`: features must be there, if the network has any; else they are only kept. `keep`: what
    is computed now is remembered. `note` is for the progress.
    """
    if not len(rows):
        raise InputError(f"{images.name} has no images")
    known = _recalled(subject, images, rows, needed)
    if known:
        subject.progress.advance(len(rows), note)
        return known
    collected, start = _Collected(len(rows), features), 0
    for pixels in subject.pixels(images, rows):
        collected.add(slice(start, start + len(pixels)), Batch(subject.model, pixels).computed)
        start += len(pixels)
        subject.progress.advance(len(pixels), note)
    if keep:
        _keep(subject, images, rows, collected)
    return collected.seen()


def cell_logits(subject: Subject, cell: ImageSet, note: str, cells: int) -> torch.Tensor:
    """Logits (n, classes) on the device of one of so many renderings of the test set.

    They are shared as all others are, but only kept where those of all renderings together have
    room: 75 of CIFAR-100's are 300 MB, and of ImageNet's they would drive out all else.
    """
    rows = subject.indices()
    size = 4 * cells * len(rows) * subject.spec.classes
    keep = subject.memory is not None and subject.memory.has_room(size)
    return seen(subject, cell, rows, features=False, keep=keep, note=note).logits


def _part(known: Callable[[], Seen | None], rows: slice) -> Seen | None:
    found = known()
    return found and found.part(rows)


class _Pixels:
    """Pixels batch by batch, read from the first on that is asked for."""

    def __init__(self, subject: Subject, images: ImageSet, rows: Rows) -> None:
        self.subject, self.images, self.rows = subject, images, rows
        self.next = -1
        self.stream: Iterator[torch.Tensor] = iter(())

    def at(self, start: int) -> torch.Tensor:
        """The batch that begins with this row."""
        if start != self.next:
            self.stream = self.subject.pixels(self.images, self.rows[start:])
        pixels = next(self.stream)
        self.next = start + len(pixels)
        return pixels


class _Collected:
    """What has been computed of a set, in place on the device: nothing waits for a copy."""

    def __init__(self, total: int, features: bool) -> None:
        self.total, self.features, self.done = total, features, 0
        self.arrays: dict[str, torch.Tensor] = {}

    def add(self, rows: slice, computed: Seen) -> None:
        """Put a batch in its place."""
        self._put("logits", rows, computed.logits)
        if self.features and computed.features is not None:
            self._put("features", rows, computed.features)
        self.done += len(computed.logits)

    def _put(self, name: str, rows: slice, values: torch.Tensor) -> None:
        if name not in self.arrays:
            self.arrays[name] = values.new_empty(self.total, *values.shape[1:])
        self.arrays[name][rows] = values

    def seen(self) -> Seen:
        """All of it."""
        return Seen(self.arrays["logits"], self.arrays.get("features"))


def _keep(subject: Subject, images: ImageSet, rows: Rows, collected: _Collected) -> None:
    """Remember a pass, if it was a whole one."""
    if subject.memory and collected.done == len(rows):
        found = {name: values.cpu().numpy() for name, values in collected.arrays.items()}
        subject.memory.keep(images, rows, found, subject.batch_size)


def _recalled(subject: Subject, images: ImageSet, rows: Rows, features: bool) -> Seen | None:
    """What is remembered of some rows, if the network still says so of the first of them.

    The key under which it lies holds weights and settings, but not the code of the network.
    """
    arrays = subject.memory.recall(images, rows, features) if subject.memory else None
    if arrays is None:
        return None
    first = next(subject.pixels(images, rows[:PROBED]))
    now = Batch(subject.model, first).computed.logits.cpu().numpy()
    then = arrays["logits"][: len(now)]
    scale = max(1.0, float(np.abs(then).max()))
    if now.shape != then.shape or not np.allclose(now, then, rtol=0, atol=BELIEVED * scale):
        return None
    on_device = {k: torch.from_numpy(each).to(subject.device) for k, each in arrays.items()}
    return Seen(on_device["logits"], on_device.get("features"))
