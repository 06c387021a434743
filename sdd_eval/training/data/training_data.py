"""The data of a training run: its images (training, validation, test) and standardisation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sdd_eval.data.catalogue import dataset
from sdd_eval.data.image_folder import has_full_resolution
from sdd_eval.data.images import ImageSet
from sdd_eval.data.splits import training_split
from sdd_eval.data.standardisation import resolve_standardisation
from sdd_eval.errors import InputError
from sdd_eval.records import ModelSpec, Recipe
from sdd_eval.training.methods.method import BaseMethod
from sdd_eval.training.recipe import AUTO


@dataclass(frozen=True)
class TrainingData:
    """Images and standardisation constants; `test` and `validation` are None if absent."""

    train: ImageSet
    test: ImageSet | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    validation: ImageSet | None = None

    def split(self, recipe: Recipe) -> TrainingData:
        """Split off the validation images; raise InputError if too few training images remain."""
        training, validation = training_split(self.train, recipe)
        return replace(self, train=training, validation=validation)

    def spec(self, recipe: Recipe) -> ModelSpec:
        """Return the spec of the network to train; raise InputError if test images do not match."""
        labels = self.train.labels
        if labels is None or not len(labels):
            raise InputError(f"{self.train.name} has no labelled training images")
        classes = max(len(self.train.class_names), int(labels.max()) + 1)
        _check_test_images(self.train, self.test, classes)
        return ModelSpec(
            arch=recipe.arch,
            classes=classes,
            mean=self.mean,
            std=self.std,
            image_size=self.train.image_size,
            options={"hidden_layers": recipe.hidden_layers} if recipe.hidden_layers else {},
        )


def load_training_data(recipe: Recipe, data_root: str | Path | None) -> TrainingData:
    """Load both splits and the standardisation constants; raise InputError if one is missing."""
    root = None if data_root is None else Path(data_root)
    images = dataset(recipe.dataset, root)
    train = images.images("train", image_size=recipe.image_size)
    side, channels = train.image_size, train.channels
    test = images.images("test", image_size=side, channels=channels)
    mean, std = resolve_standardisation(recipe.standardisation, images, train)
    return TrainingData(train, test, mean, std)


def with_augmentation(recipe: Recipe, images: ImageSet) -> Recipe:
    """Return the recipe with "auto" replaced by the augmentation for these training images."""
    if recipe.augmentation != AUTO:
        return recipe
    if has_full_resolution(images):
        return replace(recipe, augmentation="resized_crop_flip")
    return replace(recipe, augmentation="crop_flip")


def _check_test_images(train: ImageSet, test: ImageSet | None, classes: int) -> None:
    if test is None:
        return
    if (test.channels, test.image_size) != (train.channels, train.image_size):
        raise InputError(
            f"{train.name}: test images are {test.channels} × {test.image_size} px, "
            f"training images {train.channels} × {train.image_size} px"
        )
    if test.labels is not None and len(test.labels) and test.labels.max() >= classes:
        raise InputError(
            f"{train.name}: the test images have {int(test.labels.max()) + 1} classes, "
            f"the training images {classes}"
        )


def check_batch_size(dataset: str, batch_size: int, images: int) -> None:
    """Raise InputError if a batch is larger than the training set."""
    if batch_size > images:
        raise InputError(
            f"batch_size is {batch_size}, but {dataset} has only {images} training images"
        )


def check_class_sizes(train: ImageSet, recipe: Recipe, method: BaseMethod) -> None:
    """Raise InputError if a batch is too large, or a class lacks the partners that it needs."""
    check_batch_size(recipe.dataset, recipe.batch_size, len(train))
    if not method.partners or train.labels is None:
        return
    alone = np.flatnonzero(np.bincount(train.labels) == 1)
    if len(alone):
        names = dict(enumerate(train.class_names))
        raise InputError(
            f"method {recipe.method} pairs each image with another of its class, but class "
            f"{names.get(alone[0], str(alone[0]))!r} of {recipe.dataset} has one training image"
        )
