"""A part of the training images held out of training, for every choice that is to be made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sdd_eval.data.images import ImageSet, Subset
from sdd_eval.errors import InputError
from sdd_eval.randomness import derived_seed
from sdd_eval.records import Recipe

if TYPE_CHECKING:
    pass


def validation_name(dataset: str) -> str:
    """What the held-out part of a data set is called."""
    return f"{dataset}_validation"


def training_split(images: ImageSet, recipe: Recipe) -> tuple[ImageSet, ImageSet | None]:
    """Return the images that a recipe trains on and those that it holds out, or None.

    Validation images are drawn from the whole set first, so that a recipe with `images_per_class`
    trains on as many images with validation as without.

    Raises:
        InputError: too few images are left to train on.
    """
    kept, held = images, None
    if recipe.validation:
        kept, held = validation_split(images, recipe.validation, recipe.seed)
    if recipe.images_per_class is not None:
        kept = first_of_each_class(kept, recipe.images_per_class)
    return kept, held


def first_of_each_class(images: ImageSet, count: int) -> Subset:
    """Return the first `count` images of each class, in the order of the set.

    Raises:
        InputError: the set has no labels, or a class has fewer images.
    """
    if images.labels is None:
        raise InputError(f"images_per_class needs labels, and {images.name} has none")
    rank = rank_within_class(images.labels)
    present, counts = np.unique(images.labels, return_counts=True)
    short = present[counts < count]
    if len(short):
        raise InputError(
            f"images_per_class is {count}, but class {short[0]} of {images.name} has "
            f"{counts[present == short[0]][0]} training images"
        )
    return Subset(images.name, images, np.flatnonzero(rank < count))


def validation_split(images: ImageSet, count: int, seed: int) -> tuple[ImageSet, ImageSet]:
    """The images to train on, and `count` others, balanced by class; the seed says which.

    Raises:
        InputError: no image, or none of some class, would be left to train on.
    """
    total = len(images)
    if count >= total:
        raise InputError(f"validation is {count}, but {images.name} has {total} training images")
    rows = subset_indices(total, count, labels=images.labels, seed=derived_seed(seed, "validation"))
    kept = Subset(images.name, images, np.setdiff1d(np.arange(total), rows))
    if images.labels is not None:
        emptied = np.setdiff1d(images.labels, images.labels[kept.rows])
        if len(emptied):
            raise InputError(
                f"validation is {count}: no training image of class {emptied[0]} of {images.name} "
                "would be left"
            )
    return kept, Subset(validation_name(images.name), images, rows)


def subset_indices(
    total: int, limit: int | None, *, labels: NDArray[np.int64] | None = None, seed: int = 0
) -> NDArray[np.int64]:
    """Indices of `limit` of `total` images, ascending; all of them where `limit` is None.

    With labels, the counts of any two classes differ by at most one as far as each class has
    images. A subset is contained in every larger one of the same seed.

    Raises:
        InputError: `limit` is not positive.
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
    """Return for each label (n,) how many equal labels precede it."""
    by_class = np.argsort(labels, kind="stable")
    grouped = labels[by_class]
    starts = np.searchsorted(grouped, grouped)
    rank = np.empty(len(labels), dtype=np.int64)
    rank[by_class] = np.arange(len(labels)) - starts
    return rank
