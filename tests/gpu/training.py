"""Trainings on made-up images, which checks and throughput measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sdd_eval.checkpoints.history import training_curves
from sdd_eval.data.images import from_arrays
from sdd_eval.records import Card, ModelSpec, Recipe
from sdd_eval.training.data.training_data import TrainingData
from sdd_eval.training.train import train

MEAN, STD, SIDE = (0.5,) * 3, (0.25,) * 3, 32

#: How the trainings of the study run fastest on a GPU.
FAST: Mapping[str, Any] = {"precision": "bf16", "channels_last": True, "compile": True}


@dataclass(frozen=True)
class Size:
    """Network, images and batch of the measurements.

    `last` is the size of the last batch: that of CIFAR-100, so that its kernels are compiled once.
    """

    arch: str
    classes: int
    steps: int
    batch_size: int
    last: int

    @property
    def recipe(self) -> Recipe:
        """SD-Dropout with the paper's settings, for two epochs."""
        return Recipe(
            dataset="made_up", arch=self.arch, batch_size=self.batch_size,
            sd_dropout=1.0, epochs=2, lr=0.01, augmentation="crop_flip",
        )  # fmt: skip

    @property
    def spec(self) -> ModelSpec:
        """The network."""
        return ModelSpec(self.arch, self.classes, MEAN, STD, SIDE)

    def data(self) -> TrainingData:
        """Return made-up images: a coarse pattern for each class, under noise."""
        draws = np.random.default_rng(0)
        labels = np.arange(self.steps * self.batch_size + self.last) % self.classes
        patterns = draws.integers(0, 128, (self.classes, 3, 4, 4), dtype=np.uint8)
        images = np.kron(patterns, np.ones((SIDE // 4, SIDE // 4), np.uint8))[labels]
        images += draws.integers(0, 128, images.shape, dtype=np.uint8)
        return TrainingData(from_arrays(images, labels, name="made_up"), None, MEAN, STD)


FULL = Size("resnet18", 100, 99, 128, 80)
SMALL = Size("resnet8", 10, 3, 16, 8)


def trained(
    size: Size, data: TrainingData, device: str, folder: Path, name: str, **options: Any
) -> tuple[Card, Sequence[Mapping[str, float]]]:
    """Train with options of the recipe; return the card and the history of each epoch."""
    recipe = replace(size.recipe, **options)
    card = train(recipe, folder, device=device, name=name, data=lambda: data)
    return card, [values for _, values in training_curves(folder / name / "history.csv")]
