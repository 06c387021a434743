"""Batches of images with their objects, shuffled and randomly flipped in a training epoch.

Order and flips depend only on (seed, epoch), not on the number of workers.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from sdd_eval.data.catalogue import dataset
from sdd_eval.data.dataset import DetectionSet
from sdd_eval.errors import InputError
from sdd_eval.object_detection.evaluator import DetectionSubject, require_pycocotools
from sdd_eval.object_detection.recipe import DetectorRecipe
from sdd_eval.progress import Progress
from sdd_eval.randomness import generator
from sdd_eval.records import OBJECT_DETECTION, Card
from sdd_eval.training.data.batches import default_workers, worker_batches

Target = dict[str, Tensor]


@dataclass(frozen=True)
class ObjectBatch:
    """Images (channels, height, width) in [0, 1] of any size, and a target for each.

    A target has `boxes` (objects, 4), as left, top, right and bottom in pixels, and `labels`
    (objects,), which count from 1.
    """

    images: list[Tensor]
    targets: list[Target]


@dataclass(frozen=True)
class _Examples:
    """Images and targets by (index, whether to flip horizontally), as workers load them."""

    data: DetectionSet
    channels: int

    def __getitem__(self, key: tuple[int, bool]) -> tuple[Tensor, Target] | InputError:
        """Return the pixels, uint8 (channels, height, width), and the target.

        An error is returned, not raised, as a worker would add its traceback.
        """
        index, flip = key
        try:
            pixels = torch.from_numpy(self.data.pixels(index, self.channels).copy())
        except InputError as error:
            return error
        corners, labels = self.data.annotations.training_targets(index)
        boxes = torch.from_numpy(corners).float()
        if flip:
            pixels = pixels.flip(-1)
            boxes = boxes[:, [2, 1, 0, 3]] * torch.tensor([-1, 1, -1, 1])
            boxes[:, [0, 2]] += pixels.shape[-1]
        return pixels, {"boxes": boxes, "labels": torch.from_numpy(labels) + 1}


@dataclass(frozen=True)
class Loader:
    """Loads batches of a set onto a device with worker processes.

    Iterating raises InputError if an image, which it names, cannot be read, or a worker died.
    """

    data: DetectionSet
    channels: int
    device: torch.device
    workers: int

    def epoch(self, recipe: DetectorRecipe, epoch: int) -> Iterator[ObjectBatch]:
        """Yield the batches of an epoch, with every image once."""
        assert recipe.seed is not None
        count = len(self.data)
        order = torch.randperm(count, generator=generator(recipe.seed, "order", epoch))
        flips = torch.rand(count, generator=generator(recipe.seed, "mirrored", epoch)) < 0.5
        keys = list(zip(order.tolist(), flips.tolist(), strict=True))
        for items in self._read(keys, recipe.batch_size):
            targets = [{k: tensor.to(self.device) for k, tensor in t.items()} for _, t in items]
            yield ObjectBatch(self._pixels(items), targets)

    def images(self, rows: Sequence[int], size: int) -> Iterator[list[Tensor]]:
        """Yield batches of images in the order of `rows`, without targets."""
        for items in self._read([(row, False) for row in rows], size):
            yield self._pixels(items)

    def _pixels(self, items: Sequence[tuple[Tensor, Target]]) -> list[Tensor]:
        return [pixels.to(self.device).float() / 255 for pixels, _ in items]

    def _read(
        self, keys: Sequence[tuple[int, bool]], size: int
    ) -> Iterator[list[tuple[Tensor, Target]]]:
        loader: DataLoader[Any] = DataLoader(
            _Examples(self.data, self.channels),  # type: ignore[arg-type]  # indexed by pairs
            batch_sampler=[list(keys[start : start + size]) for start in range(0, len(keys), size)],
            num_workers=self.workers,
            collate_fn=_collate,
            generator=torch.Generator(),  # leave the global random state unchanged
        )
        return worker_batches(loader, self.workers)


def _collate(
    items: Sequence[tuple[Tensor, Target] | InputError],
) -> list[tuple[Tensor, Target]] | InputError:
    """Return the examples of a batch, or the first error among them."""
    errors = [item for item in items if isinstance(item, InputError)]
    return errors[0] if errors else [item for item in items if not isinstance(item, InputError)]


def objects_of(card: Card, name: str, root: Path) -> DetectionSet:
    """Load the test images of a detector with their objects.

    Raise InputError if they have other categories, or pycocotools is not installed.
    """
    require_pycocotools()
    data = dataset(name, root, OBJECT_DETECTION).objects()
    trained, given = list(card.model.options["class_names"]), list(data.annotations.class_names)
    for number, (expected, actual) in enumerate(itertools.zip_longest(trained, given), start=1):
        if expected != actual:
            raise InputError(
                f"{card.name} was trained on other categories than {data.name} has: category "
                f"{number} is {expected!r} in the checkpoint and {actual!r} in the data set"
            )
    return data


def subject_of(
    detector: Any, channels: int, data: DetectionSet, request: Any, progress: Progress
) -> DetectionSubject:
    """Return a detector with the images on which it is evaluated."""
    workers = default_workers(torch.get_num_threads())
    loader = Loader(data, channels, torch.device(request.device), workers)
    return DetectionSubject(
        detector=detector,
        data=data,
        batches=lambda rows: loader.images(rows, request.batch_size),
        limit=request.limit,
        seed=request.seed,
        progress=progress,
    )
