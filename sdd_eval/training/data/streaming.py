"""Training images too many or too large for the device: workers decode and augment them.

What is drawn for an image comes from a generator derived from (seed, purpose, epoch, image), so an
epoch is the same however many workers there are and whether or not training was interrupted.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from sdd_eval.data.image_folder import original, tested
from sdd_eval.data.images import ImageSet
from sdd_eval.errors import InputError
from sdd_eval.randomness import derived_seed
from sdd_eval.records import Recipe
from sdd_eval.training.data.augmentation import augmented, pixels_of
from sdd_eval.training.distributed.shard import Rows, RowsOf, all_rows
from sdd_eval.training.methods.method import Batch

#: Workers more than these seldom help.
MOST_WORKERS = 16


def usual_workers(threads: int) -> int:
    """As many workers as threads; none where one core is to do all."""
    return 0 if threads == 1 else min(threads, MOST_WORKERS)


@dataclass(frozen=True)
class Draws:
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
        read = original if self.recipe.augmentation == "resized_crop_flip" else tested
        return read(self.images, row)

    def _drawn(self, image: Any, purpose: str, row: int) -> Tensor:
        seed = derived_seed(self.recipe.seed, f"{purpose} of epoch {self.epoch}", row)
        return augmented(image, self.recipe.augmentation, self.images.image_size, seed)


def streamed(
    draws: Draws,
    order: Tensor,
    partners: Tensor | None,
    labels: Tensor,
    workers: int,
    rows_of: RowsOf = all_rows,
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
    for (part, rows), drawn in zip(parts, received(loader, workers), strict=True):
        images = drawn.to(device, non_blocking=True)
        views = tuple(pixels_of(view, recipe.channels_last) for view in images)
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
    draws: Draws, partnered: bool, items: Sequence[Tensor | InputError]
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


def received(loader: DataLoader[Any], workers: int) -> Iterator[Any]:
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
