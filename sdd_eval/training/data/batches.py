"""Training sets and their batches, in memory or streamed from disk.

Small sets are kept as one uint8 tensor on the device, where whole batches are augmented;
photographs are decoded and augmented by worker processes. Order and augmentation come from
generators derived from (seed, purpose, epoch) or (…, image), so an epoch depends neither on the
number of workers nor on an interruption before it.
"""

from __future__ import annotations

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
from sdd_eval.training.data.augmentation import (
    augment_batch,
    augment_further,
    augment_image,
    augments_further,
    to_pixels,
)
from sdd_eval.training.distributed.shard import Rows, RowsOf
from sdd_eval.training.methods.method import BaseMethod, Batch

#: Folders whose decoded images exceed this size in bytes are streamed.
RESIDENT_BYTES = 2 << 30

#: Number of a folder's images that are decoded at a time.
IMAGES_PER_READ = 1024


@dataclass(frozen=True)
class TrainingSet:
    """Labels (n,) on a device, and images: uint8 (n, channels, side, side) on it, or streamed."""

    images: Tensor | ImageSet
    labels: Tensor
    workers: int = 0
    """Worker processes that decode and augment streamed images."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def device(self) -> torch.device:
        """Return the device of the batches."""
        return self.labels.device

    @cached_property
    def by_class(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return indices sorted by class, and the start and the size of each class among them."""
        counts = torch.bincount(self.labels)
        return self.labels.argsort(stable=True), counts.cumsum(0) - counts, counts


def training_set(
    images: ImageSet, device: torch.device, augmentation: str = "crop_flip", workers: int = 0
) -> TrainingSet:
    """Return a training set whose images are moved to the device once, or are streamed.

    Randomly cropped photographs and sets of more than 2 GiB are streamed. Raise InputError if there
    are no labels or no images, or the number of workers is negative.
    """
    if images.labels is None or not len(images):
        raise InputError(f"{images.name} has no {'images' if not len(images) else 'labels'}")
    if workers < 0:
        raise InputError(f"workers is {workers}; it must be 0 or more")
    labels = torch.from_numpy(images.labels).to(device)
    size = len(images) * images.channels * images.image_size**2
    if isinstance(images, ArrayImages) and augmentation != "resized_crop_flip":
        return TrainingSet(images.tensor(str(device)), labels)
    if augmentation == "resized_crop_flip" or size > RESIDENT_BYTES:
        return TrainingSet(images, labels, workers)
    return TrainingSet(_resident(images, device), labels)


def epoch_batches(
    data: TrainingSet,
    recipe: Recipe,
    method: BaseMethod,
    epoch: int,
    rows_of: RowsOf = lambda total: None,
) -> Iterator[Batch]:
    """Yield an epoch's batches, with each image once; `rows_of` maps a size to the rows to load."""
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
    """Return, for each row, the index of a random image of its class, drawn with replacement."""
    members, starts, counts = data.by_class
    labels = data.labels[rows]
    uniform = torch.rand(len(rows), generator=random, device=rows.device, dtype=torch.float64)
    return members[starts[labels] + (uniform * counts[labels]).long()]


def _resident(images: ImageSet, device: torch.device) -> Tensor:
    """Load all images of a set from disk into one tensor on the device."""
    shape = (len(images), images.channels, images.image_size, images.image_size)
    whole = torch.empty(shape, dtype=torch.uint8, device=device)
    batches = images.batches(IMAGES_PER_READ, device=str(device))
    for part, batch in zip(torch.split(whole, IMAGES_PER_READ), batches, strict=True):
        part.copy_(batch)
    return whole


def _augmented(
    data: TrainingSet,
    images: Tensor,
    order: Tensor,
    recipe: Recipe,
    method: BaseMethod,
    epoch: int,
    rows_of: RowsOf,
) -> Iterator[Batch]:
    """Yield batches augmented on the device: as a whole, so that each process draws the same."""
    random = generator(recipe.seed, "augmentation", epoch, data.device.type)
    for rows in torch.split(order.to(data.device), recipe.batch_size):
        shard = rows_of(len(rows))
        selected = slice(None) if shard is None else shard.indices
        views = [_pixels(images[rows], recipe, random, selected) for _ in range(method.views)]
        partners = None
        if method.partners:
            partners = _pixels(images[draw_partners(data, rows, random)], recipe, random, selected)
        seen = rows[selected]
        yield Batch(tuple(views), data.labels[seen], partners, shard, seen, epoch)


def _pixels(images: Tensor, recipe: Recipe, random: torch.Generator, selected: slice) -> Tensor:
    """Augment images, and return some rows as float pixels in [0, 1]."""
    rows = augment_batch(images, recipe.augmentation, random)[selected]
    if augments_further(recipe):
        shape, device = (len(images),), images.device
        seeds = torch.randint(2**62, shape, generator=random, device=device)[selected].tolist()
        pairs = zip(rows, seeds, strict=True)
        augmented = [augment_further(image, recipe, seed) for image, seed in pairs]
        rows = torch.stack(augmented) if augmented else rows
    return to_pixels(rows, recipe.channels_last)


#: More workers than this seldom help.
MAX_WORKERS = 16


def default_workers(threads: int) -> int:
    """Return as many workers as threads, but none for one thread."""
    return 0 if threads == 1 else min(threads, MAX_WORKERS)


@dataclass(frozen=True)
class AugmentedViews:
    """The augmented views of images and their partners, as worker processes create them."""

    images: ImageSet
    recipe: Recipe
    epoch: int
    views: int

    def __getitem__(self, pairs: Sequence[tuple[int, int | None]]) -> Tensor | InputError:
        """Return uint8 (views, b, channels, side, side) of images and of their partners, if any.

        Errors are returned, not raised: a worker would raise them with its traceback.
        """
        if not pairs:  # the last batch may be too small for all processes
            shape = (self.views + 1, 0, self.images.channels, *(self.images.image_size,) * 2)
            return torch.empty(shape, dtype=torch.uint8)
        try:
            return torch.stack([self._views(*pair) for pair in pairs], dim=1)
        except InputError as error:
            return error

    def _views(self, row: int, partner: int | None) -> Tensor:
        read = full_resolution if self.recipe.augmentation == "resized_crop_flip" else preprocessed
        image = read(self.images, row)
        views = [self._augmented_view(image, f"view {view}", row) for view in range(self.views)]
        if partner is not None:
            views.append(self._augmented_view(read(self.images, partner), "partner", row))
        return torch.stack(views)

    def _augmented_view(self, image: Any, purpose: str, row: int) -> Tensor:
        seed = derived_seed(self.recipe.seed, f"{purpose} of epoch {self.epoch}", row)
        recipe = self.recipe
        augmented = augment_image(image, recipe.augmentation, self.images.image_size, seed)
        if not augments_further(recipe):
            return augmented
        seed = derived_seed(recipe.seed, f"further {purpose} of epoch {self.epoch}", row)
        return augment_further(augmented, recipe, seed)


def stream_batches(
    draws: AugmentedViews,
    order: Tensor,
    partners: Tensor | None,
    labels: Tensor,
    workers: int,
    rows_of: RowsOf,
) -> Iterator[Batch]:
    """Yield an epoch's batches in an order (n,); raise InputError for an unreadable image."""
    device, recipe = labels.device, draws.recipe
    others = [None] * len(order) if partners is None else partners.tolist()
    pairs = list(zip(order.tolist(), others, strict=True))
    parts = list(_batch_slices(len(pairs), recipe.batch_size, rows_of))
    loader: DataLoader[Any] = DataLoader(
        draws,  # type: ignore[arg-type]  # it is indexed by the pairs of a batch
        batch_size=None,
        sampler=[pairs[part] for part, _ in parts],
        num_workers=workers,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # otherwise it draws from the global state
    )
    indices = order.to(device)
    for (part, rows), drawn in zip(parts, worker_batches(loader, workers), strict=True):
        images = drawn.to(device, non_blocking=True)
        views = tuple(to_pixels(view, recipe.channels_last) for view in images)
        partner_images = None if partners is None else views[-1]
        seen = indices[part]
        yield Batch(views[: draws.views], labels[seen], partner_images, rows, seen, draws.epoch)


def _batch_slices(count: int, size: int, rows_of: RowsOf) -> Iterator[tuple[slice, Rows | None]]:
    """Yield, for each batch, its slice of the epoch's order and its rows of the whole batch."""
    for start in range(0, count, size):
        total = min(size, count - start)
        rows = rows_of(total)
        selected = slice(0, total) if rows is None else rows.indices
        yield slice(start + selected.start, start + selected.stop), rows


def worker_batches(loader: DataLoader[Any], workers: int) -> Iterator[Any]:
    """Yield the batches of the workers; raise InputError if one failed or was killed."""
    try:
        for drawn in loader:
            if isinstance(drawn, InputError):
                raise drawn
            yield drawn
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise InputError(
            f"one of {workers} workers that read images was killed, perhaps for lack of memory; "
            f"try --workers {workers // 2}"
        ) from error
