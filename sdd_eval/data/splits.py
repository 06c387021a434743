"""Choose images of a set: the validation split, a number per class, a balanced subset."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sdd_eval.data.images import ImageSet, Subset, subset
from sdd_eval.errors import InputError
from sdd_eval.randomness import derived_seed
from sdd_eval.records import Recipe


def validation_name(dataset: str) -> str:
    """Return the name of a data set's validation split."""
    return f"{dataset}_validation"


def training_split(images: ImageSet, recipe: Recipe) -> tuple[ImageSet, ImageSet | None]:
    """Return a recipe's training images and its validation split, or None without one.

    The validation split is drawn from the whole set first, so that a recipe with `images_per_class`
    trains on the same number of images with or without validation. Raise InputError if too few
    images remain for training.
    """
    training, validation = images, None
    if recipe.validation:
        training, validation = validation_split(images, recipe.validation, recipe.seed)
    if recipe.images_per_class is not None:
        training = first_of_each_class(training, recipe.images_per_class)
    return training, validation


def first_of_each_class(images: ImageSet, count: int) -> Subset:
    """Return the first `count` images of each class; raise InputError if a class has fewer."""
    if images.labels is None:
        raise InputError(f"images_per_class needs labels, and {images.name} has none")
    rank = rank_within_class(images.labels)
    classes, counts = np.unique(images.labels, return_counts=True)
    short = classes[counts < count]
    if len(short):
        raise InputError(
            f"images_per_class is {count}, but class {short[0]} of {images.name} has "
            f"{counts[classes == short[0]][0]} training images"
        )
    return subset(images.name, images, np.flatnonzero(rank < count))


def validation_split(images: ImageSet, count: int, seed: int) -> tuple[ImageSet, ImageSet]:
    """Split off `count` random images, by class; raise InputError if a class would lose all."""
    total = len(images)
    if count >= total:
        raise InputError(f"validation is {count}, but {images.name} has {total} training images")
    rows = subset_indices(total, count, labels=images.labels, seed=derived_seed(seed, "validation"))
    training = subset(images.name, images, np.setdiff1d(np.arange(total), rows))
    if images.labels is not None:
        missing = np.setdiff1d(images.labels, images.labels[training.rows])
        if len(missing):
            raise InputError(
                f"validation is {count}, which leaves no training image of class {missing[0]} of "
                f"{images.name}"
            )
    return training, subset(validation_name(images.name), images, rows)


def subset_indices(
    total: int, limit: int | None, *, labels: NDArray[np.int64] | None = None, seed: int = 0
) -> NDArray[np.int64]:
    """Return ascending indices of `limit` random images out of `total`; all if `limit` is None.

    With labels, class counts differ by at most one, if each class has enough images. A subset is
    contained in every larger one of the same seed. Raise InputError if `limit` is not positive.
    """
    if limit is not None and limit < 1:
        raise InputError(f"--limit is {limit}, not a positive number of images")
    if limit is None or limit >= total:
        return np.arange(total)
    random = np.random.default_rng((seed, total))
    order = random.permutation(total)
    if labels is None:
        return np.sort(order[:limit])
    rank = rank_within_class(labels[order])
    class_order = random.permutation(int(labels.max()) + 1)[labels[order]]
    return np.sort(order[np.lexsort((class_order, rank))[:limit]])


def rank_within_class(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return, for each label (n,), how many equal labels precede it."""
    by_class = np.argsort(labels, kind="stable")
    grouped = labels[by_class]
    starts = np.searchsorted(grouped, grouped)
    rank = np.empty(len(labels), dtype=np.int64)
    rank[by_class] = np.arange(len(labels)) - starts
    return rank
