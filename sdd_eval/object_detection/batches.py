"""The batches of an epoch: images in a drawn order, half of them mirrored, with what is in them.

What is drawn comes from (seed, epoch), so an epoch is the same however many workers read it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from sdd_eval.data.dataset import DetectionSet
from sdd_eval.errors import InputError
from sdd_eval.object_detection.recipe import DetectorRecipe
from sdd_eval.randomness import generator
from sdd_eval.training.data.batches import worker_batches

Target = dict[str, Tensor]


@dataclass(frozen=True)
class Batch:
    """Images (channels, height, width) in [0, 1] of any size, and the target of each.

    A target has `boxes` (objects, 4), left, top, right and bottom in pixels, and `labels` from 1.
    """

    images: list[Tensor]
    targets: list[Target]


@dataclass(frozen=True)
class _Drawn:
    """What workers make: an image, mirrored or not, and its target."""

    data: DetectionSet
    channels: int

    def __getitem__(self, drawn: tuple[int, bool]) -> tuple[Tensor, Target] | InputError:
        """uint8 (channels, height, width) and the target.

        An error is returned, not raised: out of a worker it would come with a traceback.
        """
        index, mirrored = drawn
        try:
            pixels = torch.from_numpy(self.data.pixels(index, self.channels).copy())
        except InputError as error:
            return error
        found, labels = self.data.annotations.training_targets(index)
        boxes = torch.from_numpy(found).float()
        if mirrored:
            pixels = pixels.flip(-1)
            boxes = boxes[:, [2, 1, 0, 3]] * torch.tensor([-1, 1, -1, 1])
            boxes[:, [0, 2]] += pixels.shape[-1]
        return pixels, {"boxes": boxes, "labels": torch.from_numpy(labels) + 1}


def epoch_batches(
    data: DetectionSet,
    recipe: DetectorRecipe,
    epoch: int,
    channels: int,
    device: torch.device,
    workers: int,
) -> Iterator[Batch]:
    """The batches of an epoch, every image once, on the device.

    Raises:
        InputError: an image cannot be read (it is named), or a worker died.
    """
    assert recipe.seed is not None
    order = torch.randperm(len(data), generator=generator(recipe.seed, "order", epoch))
    mirrored = torch.rand(len(data), generator=generator(recipe.seed, "mirrored", epoch)) < 0.5
    drawn = list(zip(order.tolist(), mirrored.tolist(), strict=True))
    for items in _read(_Drawn(data, channels), drawn, recipe.batch_size, workers):
        yield Batch(
            [pixels.to(device).float() / 255 for pixels, _ in items],
            [{name: each.to(device) for name, each in target.items()} for _, target in items],
        )


def image_batches(
    data: DetectionSet,
    rows: Sequence[int],
    size: int,
    channels: int,
    device: torch.device,
    workers: int,
) -> Iterator[list[Tensor]]:
    """Images in the order of the rows, as they are, without targets.

    Raises:
        InputError: an image cannot be read (it is named), or a worker died.
    """
    for items in _read(_Drawn(data, channels), [(row, False) for row in rows], size, workers):
        yield [pixels.to(device).float() / 255 for pixels, _ in items]


def _read(
    drawn: _Drawn, wanted: Sequence[tuple[int, bool]], size: int, workers: int
) -> Iterator[list[tuple[Tensor, Target]]]:
    """What the workers read, batch by batch."""
    loader: DataLoader[Any] = DataLoader(
        drawn,  # type: ignore[arg-type]  # what indexes it are pairs
        batch_sampler=[list(wanted[start : start + size]) for start in range(0, len(wanted), size)],
        num_workers=workers,
        collate_fn=_together,
        generator=torch.Generator(),  # or it would draw from the global state
    )
    return worker_batches(loader, workers)


def _together(
    items: Sequence[tuple[Tensor, Target] | InputError],
) -> list[tuple[Tensor, Target]] | InputError:
    """The images of a batch, or the first error among them."""
    found = []
    for item in items:
        if isinstance(item, InputError):
            return item
        found.append(item)
    return found
