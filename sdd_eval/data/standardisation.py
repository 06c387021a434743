"""Channel means and standard deviations with which networks standardise their inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sdd_eval import plugins
from sdd_eval.data.catalogue import Dataset, dataset
from sdd_eval.data.image_folder import LARGE_SIDE
from sdd_eval.data.images import ImageSet
from sdd_eval.errors import InputError, unknown_name

#: Named means and standard deviations (R, G, B); "authors" are those for small images.
CONSTANTS = {
    "authors": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}

Statistics = tuple[tuple[float, ...], tuple[float, ...]]


def channel_statistics(images: ImageSet) -> Statistics:
    """Return the exact mean and standard deviation of each channel over all pixels, in [0, 1]."""
    counts = np.zeros((images.channels, 256), dtype=np.int64)
    for batch in images.batches(1024):
        pixels = batch.numpy()
        for channel in range(images.channels):
            counts[channel] += np.bincount(pixels[:, channel].ravel(), minlength=256)
    moments = [_moments(histogram) for histogram in counts]
    return tuple(mean for mean, _ in moments), tuple(std for _, std in moments)


def resolve_standardisation(name: str, data: Dataset, images: ImageSet) -> Statistics:
    """Return mean and standard deviation by name: "authors", "imagenet" or a data set.

    `images` are the training images of `data`, which the network classifies. For a data set, its
    training images are measured; so are grey images for "authors", since the paper has no constants
    for them. Raise InputError if the name is unknown, or is "imagenet" and the images are grey.
    """
    other = standardisation_set(name, data.root)
    if name == "authors" and images.channels != 3:
        return channel_statistics(images)
    if other is not None:
        same = other.reference == data.reference
        return channel_statistics(
            images if same else other.images("train", channels=images.channels)
        )
    if images.channels != 3:
        raise InputError(
            f"standardisation {name!r} needs RGB images, but {data.name} has {images.channels} "
            f"channel; use --standardisation {data.name}"
        )
    return author_statistics(images.image_size) if name == "authors" else CONSTANTS[name]


def author_statistics(image_size: int | None) -> Statistics:
    """Return the paper's constants: ImageNet's for photographs, CIFAR-10's for smaller images."""
    return CONSTANTS["imagenet" if (image_size or 0) >= LARGE_SIDE else "authors"]


def standardisation_set(name: str, root: Path) -> Dataset | None:
    """Return the data set whose statistics a name stands for; None for constants.

    Raise InputError, listing both, if the name is neither.
    """
    if name in CONSTANTS:
        return None
    try:
        return dataset(name, root)
    except InputError as error:
        known = (*CONSTANTS, *plugins.names("datasets"))
        raise unknown_name("standardisation", name, known) from error


def _moments(histogram: NDArray[np.int64]) -> tuple[float, float]:
    """Return mean and standard deviation of a histogram over 0 to 255, both divided by 255."""
    levels = np.arange(256, dtype=object)  # Python's integers, which are exact
    count, total, squares = (int((histogram * levels**power).sum()) for power in range(3))
    return total / count / 255, (count * squares - total * total) ** 0.5 / count / 255
