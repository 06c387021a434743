"""The training set as one uint8 tensor on the device, whole batches augmented there.

The order and the augmentation of an epoch come from generators derived from (seed, purpose,
epoch), so an epoch is the same whether or not training was interrupted before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from sdd_eval.data.images import ImageSet
from sdd_eval.errors import InputError
from sdd_eval.randomness import generator
from sdd_eval.records import Recipe
from sdd_eval.training.methods.method import Batch, Method


@dataclass(frozen=True)
class TrainingSet:
    """Images (n, channels, side, side) uint8 and labels (n,), on a device."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.images)

    @cached_property
    def by_class(self) -> tuple[Tensor, Tensor, Tensor]:
        """Indices sorted by class; where each class starts among them, and how many it has."""
        counts = torch.bincount(self.labels)
        return self.labels.argsort(stable=True), counts.cumsum(0) - counts, counts


def training_set(images: ImageSet, device: torch.device) -> TrainingSet:
    """All images and labels of a set, moved to the device once.

    Raises:
        InputError: the set has no labels, or no images.
    """
    if images.labels is None or not len(images):
        raise InputError(f"{images.name} has no {'images' if not len(images) else 'labels'}")
    (pixels,) = images.batches(len(images), device=str(device))
    return TrainingSet(pixels, torch.from_numpy(images.labels).to(device))


def epoch_batches(data: TrainingSet, recipe: Recipe, method: Method, epoch: int) -> Iterator[Batch]:
    """The batches of one epoch, each image once, the last one perhaps smaller."""
    device = data.images.device
    shuffle = generator(recipe.seed, "order", epoch)
    augmentation = generator(recipe.seed, "augmentation", epoch, device.type)
    order = torch.randperm(len(data), generator=shuffle).to(device)
    for rows in torch.split(order, recipe.batch_size):
        views = [_pixels(data, rows, recipe, augmentation) for _ in range(method.views)]
        partners = None
        if method.partners:
            others = same_class(data, rows, augmentation)
            partners = _pixels(data, others, recipe, augmentation)
        yield Batch(tuple(views), data.labels[rows], partners)


def same_class(data: TrainingSet, rows: Tensor, random: torch.Generator) -> Tensor:
    """For each row an index of an image of its class, uniform, with replacement."""
    members, starts, counts = data.by_class
    labels = data.labels[rows]
    uniform = torch.rand(len(rows), generator=random, device=rows.device, dtype=torch.float64)
    return members[starts[labels] + (uniform * counts[labels]).long()]


def _pixels(data: TrainingSet, rows: Tensor, recipe: Recipe, random: torch.Generator) -> Tensor:
    """Float pixels in [0, 1] of the rows, augmented afresh."""
    images = data.images[rows]
    if recipe.augmentation == "crop_flip":
        images = flipped(cropped(images, random), random)
    layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
    return images.float().div_(255).contiguous(memory_format=layout)


def cropped(images: Tensor, random: torch.Generator) -> Tensor:
    """Each image shifted by up to an eighth of its side in both directions, zeros coming in."""
    side = images.shape[-1]
    padding = side // 8
    padded = torch.nn.functional.pad(images, (padding,) * 4)
    windows = padded.unfold(2, side, 1).unfold(3, side, 1)  # a view: (n, c, dy, dx, side, side)
    shape, device = (2, len(images)), images.device
    dy, dx = torch.randint(2 * padding + 1, shape, generator=random, device=device)
    return windows[torch.arange(len(images), device=device), :, dy, dx]


def flipped(images: Tensor, random: torch.Generator) -> Tensor:
    """Each image mirrored left to right with probability one half."""
    mirror = torch.rand(len(images), generator=random, device=images.device) < 0.5
    return torch.where(mirror[:, None, None, None], images.flip(3), images)
