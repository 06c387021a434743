"""The subject of an evaluation: a network, its images, and methods that run the network on them."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sdd_eval.arrays import Arrays
from sdd_eval.checkpoints.checkpoint import Checkpoint
from sdd_eval.data.classes import require_known_labels
from sdd_eval.data.dataset import CorruptedSet
from sdd_eval.data.images import ImageSet, to_device
from sdd_eval.data.splits import subset_indices
from sdd_eval.errors import InputError
from sdd_eval.evaluators.batch import Batch, NetworkOutputs
from sdd_eval.evaluators.cache import OutputFiles
from sdd_eval.models.network import logits_difference
from sdd_eval.progress import NoProgress, Progress
from sdd_eval.randomness import generator
from sdd_eval.records import Card, ModelSpec

Rows = NDArray[np.int64]

#: Number of images that are recomputed before the stored logits of a set are reused.
PROBED = 2
#: Largest accepted difference between their logits, relative to the spread of the logits. Rounding
#: with other threads and batches is far smaller, a change in the network's code far larger.
TOLERANCE = 1e-3


#: A name and a function → the result of the function, or the one stored by an interrupted run.
PartialResults = Callable[[str, Callable[[], Mapping[str, Any]]], Arrays]


@dataclass(frozen=True)
class Subject:
    """A network that maps pixels in [0, 1] to logits, frozen and in eval mode, and its images."""

    model: torch.nn.Module
    spec: ModelSpec
    data: ImageSet
    sets: Mapping[str, Any] = field(default_factory=dict)
    """Additional `ImageSet`s and `CorruptedSet`s by the names used in the settings."""
    networks: Mapping[str, Checkpoint] = field(default_factory=dict)
    """Additional checkpoints by the names used in the settings."""
    card: Card | None = None
    device: str = "cpu"
    batch_size: int = 256
    limit: int | None = None
    seed: int = 0
    progress: Progress = field(default_factory=NoProgress)
    cache: OutputFiles | None = None
    """Store of logits and features shared between evaluations; None stores nothing."""
    partial_results: PartialResults | None = None
    """Store of partial results until this evaluation is finished; None stores nothing."""
    pictures: bool = False
    """Whether evaluators add example images to their arrays."""

    def indices(self, images: ImageSet | None = None) -> Rows:
        """Return the rows to evaluate: all, or a seeded subset of `limit`, balanced by class."""
        images = self.data if images is None else images
        return subset_indices(len(images), self.limit, labels=images.labels, seed=self.seed)

    def labels(self) -> NDArray[np.int64]:
        """Return the images' classes; raise InputError without labels or for too many classes."""
        labels = self.data.labels
        if labels is None:
            raise InputError(f"{self.data.name} has no labels, which this evaluator needs")
        require_known_labels(self.data, self.spec.classes)
        return labels[self.indices()]

    def corrupted(self, name: str) -> CorruptedSet:
        """Return a corrupted version of the test set."""
        corrupted: CorruptedSet = self.sets[name]
        return corrupted

    def cell(self, corrupted: CorruptedSet, name: str, severity: int) -> ImageSet:
        """Return the test set under a corruption; raise InputError if the images do not match."""
        cell, clean = corrupted.cell(name, severity), self.data
        if len(cell) != len(clean):
            raise InputError(
                f"{name} {severity} of {cell.name} has {len(cell)} images, "
                f"{clean.name} has {len(clean)}"
            )
        if cell.labels is not None and not np.array_equal(cell.labels, clean.labels):  # type: ignore[arg-type]
            raise InputError(f"the labels of {cell.name} are not those of {clean.name}")
        return cell

    def pixels(
        self, images: ImageSet | None = None, indices: Rows | None = None
    ) -> Iterator[torch.Tensor]:
        """Yield batches of float32 pixels in [0, 1] on the device.

        `indices` are the rows, by default `self.indices(images)`. Raise InputError if the size or
        the number of channels of the images is not what the network expects.
        """
        images = self.data if images is None else images
        check_shape(images, self.spec)
        rows = self.indices(images) if indices is None else indices
        # If all rows are used in order, slices (views) suffice.
        whole = len(rows) == len(images) and bool((np.diff(rows) == 1).all())
        for batch in images.batches(self.batch_size, None if whole else rows, self.device):
            yield batch.float().div_(255)

    def labelled_pixels(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, slice]]:
        """Yield pixels (n, channels, side, side), labels (n,) and the rows of each batch."""
        labels, done = to_device(self.labels(), self.device), 0
        for pixels in self.pixels():
            rows = slice(done, done + len(pixels))
            yield pixels, labels[rows], rows
            done = rows.stop

    def batches(self, images: ImageSet | None = None) -> Iterator[Batch]:
        """Yield batches of pixels and the network's outputs.

        Logits and features together take one forward pass, or none if they are in the cache.
        """
        images = self.data if images is None else images
        yield from _batches(self, images, self.indices(images))

    def logits(
        self, images: ImageSet | None = None, label: str = "", indices: Rows | None = None
    ) -> NDArray[np.float32]:
        """Return logits (n, classes), from the cache if possible; `indices` is as in `pixels`."""
        images = self.data if images is None else images
        rows = self.indices(images) if indices is None else indices
        self.progress.start(label or images.name, len(rows))
        outputs = outputs_of(self, images, rows, features=images is self.data)
        logits: NDArray[np.float32] = outputs.logits.cpu().numpy()
        return logits

    def cell_logits(self, cell: ImageSet, note: str, cells: int) -> torch.Tensor:
        """Return logits (n, classes) on the device for one of `cells` versions of the test set.

        They are only stored if the cache has room for all cells: 75 cells of CIFAR-100 take
        300 MB, and those of ImageNet would displace everything else.
        """
        rows = self.indices()
        size = 4 * cells * len(rows) * self.spec.classes
        store = self.cache is not None and self.cache.has_room(size)
        return outputs_of(self, cell, rows, features=False, store=store, note=note).logits

    def stored(self, name: str, compute: Callable[[], Mapping[str, Any]]) -> Arrays:
        """Return the result of `compute`, or the one stored by an interrupted run.

        `name` is unique within the evaluation. Because `compute` may not be called, the result must
        depend only on the run and the batch size, not on other state such as that of a random
        generator.
        """
        stored = self.partial_results
        return stored(name, compute) if stored else Arrays.of(compute())

    def kept(self, name: str, compute: Callable[[], Mapping[str, Any]]) -> Arrays:
        """Call `stored`; this is its former name."""
        warnings.warn("Subject.kept is now called stored", DeprecationWarning, stacklevel=2)
        return self.stored(name, compute)

    def generator(self, purpose: str, index: int = 0) -> torch.Generator:
        """Return a random generator on the CPU, seeded by (seed, purpose, index)."""
        return generator(self.seed, purpose, index)


def check_shape(images: ImageSet, spec: ModelSpec) -> None:
    """Raise InputError if the images' size or number of channels does not fit the network."""
    given, expected = (images.channels, images.image_size), (spec.channels, spec.image_size)
    if given != expected:
        raise InputError(
            f"{images.name} has {given[0]}-channel images of {given[1]} pixels, "
            f"the network takes {expected[0]} channels and {expected[1]} pixels"
        )


def _batches(subject: Subject, images: ImageSet, rows: Rows) -> Iterator[Batch]:
    """Yield batches whose outputs are computed on request; they are stored if all are requested."""

    @functools.cache
    def cached() -> NetworkOutputs | None:
        with_features = _cached(subject, images, rows, True)
        return with_features or _cached(subject, images, rows, False)

    def cached_part(part: slice) -> NetworkOutputs | None:
        outputs = cached()
        return outputs and outputs.part(part)

    stream, collected = _PixelStream(subject, images, rows), _Collected(len(rows), True)
    for start in range(0, len(rows), subject.batch_size):
        part = slice(start, start + subject.batch_size)
        batch = Batch(subject.model, partial(stream.at, start), partial(cached_part, part))
        yield batch
        if subject.cache and batch.is_computed:
            collected.add(part, batch.computed)
    _store(subject, images, rows, collected)


def outputs_of(
    subject: Subject,
    images: ImageSet,
    rows: Rows,
    *,
    features: bool,
    required: bool = False,
    store: bool = True,
    note: str = "",
) -> NetworkOutputs:
    """Return logits, and features if requested, of some rows of a set, on the device.

    With `features`, features are stored along with the logits; with `required`, cached logits
    without features are not used; with `store`, computed outputs are added to the cache. Raise
    InputError if there are no images.
    """
    if not len(rows):
        raise InputError(f"{images.name} has no images")
    cached = _cached(subject, images, rows, required)
    if cached:
        subject.progress.advance(len(rows), note)
        return cached
    collected, start = _Collected(len(rows), features), 0
    for pixels in subject.pixels(images, rows):
        collected.add(slice(start, start + len(pixels)), Batch(subject.model, pixels).computed)
        start += len(pixels)
        subject.progress.advance(len(pixels), note)
    if store:
        _store(subject, images, rows, collected)
    return collected.outputs()


class _PixelStream:
    """Batches of pixels, read starting with the first one that is requested."""

    def __init__(self, subject: Subject, images: ImageSet, rows: Rows) -> None:
        self.subject, self.images, self.rows = subject, images, rows
        self.next = -1
        self.stream: Iterator[torch.Tensor] = iter(())

    def at(self, start: int) -> torch.Tensor:
        """Return the batch that starts at this row."""
        if start != self.next:
            self.stream = self.subject.pixels(self.images, self.rows[start:])
        pixels = next(self.stream)
        self.next = start + len(pixels)
        return pixels


class _Collected:
    """The outputs of a set, filled in place on the device to avoid waiting for copies."""

    def __init__(self, total: int, features: bool) -> None:
        self.total, self.features, self.done = total, features, 0
        self.arrays: dict[str, torch.Tensor] = {}

    def add(self, rows: slice, outputs: NetworkOutputs) -> None:
        """Add a batch."""
        self._put("logits", rows, outputs.logits)
        if self.features and outputs.features is not None:
            self._put("features", rows, outputs.features)
        self.done += len(outputs.logits)

    def _put(self, name: str, rows: slice, values: torch.Tensor) -> None:
        if name not in self.arrays:
            self.arrays[name] = values.new_empty(self.total, *values.shape[1:])
        self.arrays[name][rows] = values

    def outputs(self) -> NetworkOutputs:
        """Return the outputs of all batches."""
        return NetworkOutputs(self.arrays["logits"], self.arrays.get("features"))


def _store(subject: Subject, images: ImageSet, rows: Rows, collected: _Collected) -> None:
    if subject.cache and collected.done == len(rows):
        arrays = {name: values.cpu().numpy() for name, values in collected.arrays.items()}
        subject.cache.store(images, rows, arrays, subject.batch_size)


def _cached(
    subject: Subject, images: ImageSet, rows: Rows, features: bool
) -> NetworkOutputs | None:
    """Return cached outputs if the network still produces the same logits for the first images.

    The key of the cache covers weights and settings, but not the network's code.
    """
    arrays = subject.cache.lookup(images, rows, features) if subject.cache else None
    if arrays is None:
        return None
    pixels = next(subject.pixels(images, rows[:PROBED]))
    now = Batch(subject.model, pixels).computed.logits.cpu()
    then = torch.from_numpy(arrays["logits"][: len(now)])
    if not logits_difference(now, then) <= TOLERANCE:
        return None
    on_device = {k: torch.from_numpy(array).to(subject.device) for k, array in arrays.items()}
    return NetworkOutputs(on_device["logits"], on_device.get("features"))
