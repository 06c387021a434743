"""The training set, and an epoch of it as batches.

Small sets are one uint8 tensor on the device, whole batches augmented there; photographs are
streamed (`streaming.py`). The order and the augmentation of an epoch come from generators derived
from (seed, purpose, epoch), so an epoch is the same whether or not training was interrupted before.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from sdd_eval.data.image_folder import full_resolution, preprocessed
from sdd_eval.data.images import ArrayImages, ImageSet
from sdd_eval.errors import InputError
from sdd_eval.randomness import derived_seed, generator
from sdd_eval.records import Recipe
from sdd_eval.training.data.augmentation import augment_batch, augment_image, to_pixels
from sdd_eval.training.distributed.shard import Rows, RowsOf, whole_batch
from sdd_eval.training.methods.method import Batch, Method

#: Decoded images of a folder that are more than these bytes are streamed, not kept on the device.
RESIDENT_BYTES = 2 << 30

#: How many images of a folder are decoded at a time on their way to the device.
AT_A_TIME = 1024


@dataclass(frozen=True)
class TrainingSet:
    """Labels (n,) on a device, and images: on it, (n, channels, side, side) uint8, or streamed."""

    images: Tensor | ImageSet
    labels: Tensor
    workers: int = 0
    """Processes that decode and augment streamed images."""

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.labels)

    @property
    def device(self) -> torch.device:
        """Where batches are made."""
        return self.labels.device

    @cached_property
    def by_class(self) -> tuple[Tensor, Tensor, Tensor]:
        """Indices sorted by class; where each class starts among them, and how many it has."""
        counts = torch.bincount(self.labels)
        return self.labels.argsort(stable=True), counts.cumsum(0) - counts, counts


def training_set(
    images: ImageSet, device: torch.device, augmentation: str = "crop_flip", workers: int = 0
) -> TrainingSet:
    """The images of a set for training: all of them moved to the device once, or streamed.

    Streamed is what is cut out of photographs, and what would fill more than 2 GiB.

    Raises:
        InputError: the set has no labels, or no images, or there are less than no workers.
    """
    if images.labels is None or not len(images):
        raise InputError(f"{images.name} has no {'images' if not len(images) else 'labels'}")
    if workers < 0:
        raise InputError(f"workers is {workers}; it must be 0 or more")
    labels = torch.from_numpy(images.labels).to(device)
    size = len(images) * images.channels * images.image_size**2
    if augmentation == "resized_crop_flip":
        return TrainingSet(images, labels, workers)
    if isinstance(images, ArrayImages):
        return TrainingSet(images.tensor(str(device)), labels)
    if size > RESIDENT_BYTES:
        return TrainingSet(images, labels, workers)
    return TrainingSet(_resident(images, device), labels)


def epoch_batches(
    data: TrainingSet,
    recipe: Recipe,
    method: Method,
    epoch: int,
    rows_of: RowsOf = whole_batch,
) -> Iterator[Batch]:
    """The batches of one epoch, each image once, the last one perhaps smaller.

    `rows_of` says which rows of a batch of so many images are wanted, if not all.
    """
    order = torch.randperm(len(data), generator=generator(recipe.seed, "order", epoch))
    if isinstance(data.images, Tensor):
        yield from _augmented(data, data.images, order, recipe, method, epoch, rows_of)
        return
    partners = None
    if method.partners:
        random = generator(recipe.seed, "partners", epoch, data.device.type)
        partners = draw_partners(data, order.to(data.device), random)
    draws = AugmentedViews(data.images, recipe, epoch, method.views)
    yield from stream_batches(draws, order, partners, data.labels, data.workers, rows_of)


def draw_partners(data: TrainingSet, rows: Tensor, random: torch.Generator) -> Tensor:
    """For each row an index of an image of its class, uniform, with replacement."""
    members, starts, counts = data.by_class
    labels = data.labels[rows]
    uniform = torch.rand(len(rows), generator=random, device=rows.device, dtype=torch.float64)
    return members[starts[labels] + (uniform * counts[labels]).long()]


def _resident(images: ImageSet, device: torch.device) -> Tensor:
    """All images of a set that is on the disk, as one tensor on the device."""
    side, done = images.image_size, 0
    whole = torch.empty(
        (len(images), images.channels, side, side), dtype=torch.uint8, device=device
    )
    for batch in images.batches(AT_A_TIME, device=str(device)):
        whole[done : done + len(batch)] = batch
        done += len(batch)
    return whole


def _augmented(
    data: TrainingSet,
    images: Tensor,
    order: Tensor,
    recipe: Recipe,
    method: Method,
    epoch: int,
    rows_of: RowsOf,
) -> Iterator[Batch]:
    """The batches of images on the device, augmented there.

    All of a batch is augmented, which is cheap, and then cut: so each process draws the same.
    """
    random = generator(recipe.seed, "augmentation", epoch, data.device.type)
    for rows in torch.split(order.to(data.device), recipe.batch_size):
        wanted = rows_of(len(rows))
        own = slice(None) if wanted is None else wanted.own
        views = [_pixels(images[rows], recipe, random, own) for _ in range(method.views)]
        partners = None
        if method.partners:
            partners = _pixels(images[draw_partners(data, rows, random)], recipe, random, own)
        yield Batch(tuple(views), data.labels[rows[own]], partners, wanted)


def _pixels(images: Tensor, recipe: Recipe, random: torch.Generator, own: slice) -> Tensor:
    """Float pixels in [0, 1] of some rows of images, all of them augmented afresh."""
    images = augment_batch(images, recipe.augmentation, random)
    return to_pixels(images[own], recipe.channels_last)


#: Workers more than these seldom help.
MOST_WORKERS = 16


def default_workers(threads: int) -> int:
    """As many workers as threads; none where one core is to do all."""
    return 0 if threads == 1 else min(threads, MOST_WORKERS)


@dataclass(frozen=True)
class AugmentedViews:
    """What workers make: for an image, its views and a view of its partner, augmented afresh."""

    images: ImageSet
    recipe: Recipe
    epoch: int
    views: int

    def __getitem__(self, pair: tuple[int, int | None]) -> Tensor | InputError:
        """uint8 (views, channels, side, side) of an image, and of its partner if it has one.

        An error is returned, not raised: out of a worker it would come with that one's traceback.
        """
        row, partner = pair
        try:
            image = self._read(row)
            found = [self._drawn(image, f"view {view}", row) for view in range(self.views)]
            if partner is not None:
                found.append(self._drawn(self._read(partner), "partner", row))
        except InputError as error:
            return error
        return torch.stack(found)

    def _read(self, row: int) -> Any:
        """An image as the augmentation takes it."""
        read = full_resolution if self.recipe.augmentation == "resized_crop_flip" else preprocessed
        return read(self.images, row)

    def _drawn(self, image: Any, purpose: str, row: int) -> Tensor:
        seed = derived_seed(self.recipe.seed, f"{purpose} of epoch {self.epoch}", row)
        return augment_image(image, self.recipe.augmentation, self.images.image_size, seed)


def stream_batches(
    draws: AugmentedViews,
    order: Tensor,
    partners: Tensor | None,
    labels: Tensor,
    workers: int,
    rows_of: RowsOf = whole_batch,
) -> Iterator[Batch]:
    """The batches of an epoch in an order (n,), on the labels' device; of each only some rows.

    Raises:
        InputError: an image cannot be read (it is named), or a worker died.
    """
    device, recipe = labels.device, draws.recipe
    others = [None] * len(order) if partners is None else partners.tolist()
    pairs = list(zip(order.tolist(), others, strict=True))
    parts = list(_parts(len(pairs), recipe.batch_size, rows_of))
    loader: DataLoader[Any] = DataLoader(
        draws,  # type: ignore[arg-type]  # what indexes it are pairs
        batch_sampler=[pairs[part] for part, _ in parts],
        num_workers=workers,
        collate_fn=functools.partial(_stacked, draws, partners is not None),
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # or it would draw from the global state
    )
    there = order.to(device)
    for (part, rows), drawn in zip(parts, worker_batches(loader, workers), strict=True):
        images = drawn.to(device, non_blocking=True)
        views = tuple(to_pixels(view, recipe.channels_last) for view in images)
        apart = None if partners is None else views[-1]
        yield Batch(views[: draws.views], labels[there[part]], apart, rows)


def _parts(count: int, size: int, rows_of: RowsOf) -> Iterator[tuple[slice, Rows | None]]:
    """Where in an epoch's order the images of each batch are, and which rows of it they are."""
    for start in range(0, count, size):
        total = min(size, count - start)
        rows = rows_of(total)
        own = slice(0, total) if rows is None else rows.own
        yield slice(start + own.start, start + own.stop), rows


def _stacked(
    draws: AugmentedViews, partnered: bool, items: Sequence[Tensor | InputError]
) -> Tensor | InputError:
    """(views, b, channels, side, side) of a batch, or the first error in it."""
    if not items:  # the last batch of an epoch may not go round all processes
        images, side = draws.images, draws.images.image_size
        shape = (draws.views + partnered, 0, images.channels, side, side)
        return torch.empty(shape, dtype=torch.uint8)
    tensors = []
    for item in items:
        if isinstance(item, InputError):
            return item
        tensors.append(item)
    return torch.stack(tensors, dim=1)


def worker_batches(loader: DataLoader[Any], workers: int) -> Iterator[Any]:
    """What the workers send, batch by batch.

    Raises:
        InputError: one that came in place of a batch, or a worker died.
    """
    try:
        for drawn in loader:
            if isinstance(drawn, InputError):
                raise drawn
            yield drawn
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise InputError(
            f"one of {workers} workers that read images was killed, perhaps for want of memory; "
            f"try --workers {workers // 2}"
        ) from error
