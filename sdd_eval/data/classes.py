"""Class names: labels in the order of a network's classes, and warnings where classes differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sdd_eval.data.fingerprints import value_fingerprint
from sdd_eval.data.images import ImageSet, LazyImages, metadata
from sdd_eval.errors import InputError

#: The sizes of up to this many classes are listed one by one.
MOST_LISTED = 12


@dataclass(frozen=True, kw_only=True)
class RelabelledImages(LazyImages):
    """A set relabelled by other class names; `original` is the set with its own labels."""

    original: ImageSet


def in_network_order(
    images: ImageSet, names: Sequence[str], classes: int
) -> tuple[ImageSet, tuple[str, ...]]:
    """Return a test set with labels in the order of a network's classes, and warnings.

    `names` are the network's class names, empty if unknown; `classes` is their number. Labels are
    matched by name if the network has all names of the set, and unchanged otherwise.
    """
    own = tuple(images.class_names)
    if images.labels is None or not own or own == tuple(names):
        return images, ()
    if not names:
        return images, (*_count_warning(images, classes), *text_order_warning(images))
    if not (set(own) <= set(names) and len(set(own)) == len(own)):
        return images, (_names_warning(own, names, images.name),)
    partial = (
        f"{images.name} has {len(own):,} of the network's {len(names):,} classes; its labels are "
        "by class name, and predictions of other classes are wrong"
    )
    return relabelled(images, names), (partial,) if len(own) < len(names) else ()


def require_known_labels(images: ImageSet, classes: int) -> None:
    """Raise InputError if labels exceed a network's number of classes."""
    labels = images.labels
    if labels is not None and len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise InputError(
            f"{images.name} has labels of {int(labels.max()) + 1} classes, the network predicts "
            f"{classes}"
        )


def relabelled(images: ImageSet, names: Sequence[str]) -> ImageSet:
    """Return a set relabelled by these class names, which include all of its own."""
    assert images.labels is not None
    labels = np.array([names.index(name) for name in images.class_names])[images.labels]
    own = {
        "labels": labels,
        "class_names": tuple(names),
        "fingerprint": value_fingerprint(images.fingerprint, *names),
    }
    return RelabelledImages(
        **metadata(images) | own, total=len(images), load=lambda: images, original=images
    )


def numeric_order(images: ImageSet) -> tuple[str, ...]:
    """Return the class names in numeric order; raise InputError unless all are numbers."""
    other = next((name for name in images.class_names if not name.isdecimal()), None)
    if other is not None or not images.class_names:
        name = f"{images.name} has {f'the class {other!r}' if other else 'no class folders'}"
        raise InputError(f"--class-order numeric needs class folders named by numbers, but {name}")
    return tuple(sorted(images.class_names, key=int))


def class_sizes(images: ImageSet) -> str:
    """Return how many images each class has, or the range; empty without class names.

    >>> from sdd_eval.data.images import from_arrays
    >>> class_sizes(from_arrays(np.zeros((3, 4, 4), "u1"), [0, 1, 1], class_names=["cat", "dog"]))
    '2 classes: cat 1, dog 2'
    """
    names = images.class_names
    if images.labels is None or not names:
        return ""
    sizes = np.bincount(images.labels, minlength=len(names))
    if len(names) <= MOST_LISTED:
        listed = ", ".join(f"{name} {size:,}" for name, size in zip(names, sizes, strict=True))
        return f"{len(names)} classes: {listed}"
    return f"{len(names):,} classes of {sizes.min():,} to {sizes.max():,} images"


def text_order_warning(images: ImageSet) -> Iterator[str]:
    """Yield a warning if class folders are numbers whose text order is not the numeric one."""
    own = list(images.class_names)
    if all(name.isdecimal() for name in own) and own == sorted(own) != sorted(own, key=int):
        yield (
            f"the class folders of {images.name} are numbers, and are ordered as text, as in "
            f"torchvision: {', '.join(own[:4])} …; if the network's classes are in numeric order, "
            "import it with --class-order numeric (else text), or give `class_names` to `evaluate`"
        )


def _names_warning(own: Sequence[str], names: Sequence[str], data: str) -> str:
    unknown = next((name for name in own if name not in names), own[0])
    label = own.index(unknown)
    expected = repr(names[label]) if label < len(names) else "no class"
    return (
        f"the classes of {data} are not those of the network: class {label} is {unknown!r} in the "
        f"data set and {expected} in the network ({len(own):,} and {len(names):,} classes); unless "
        "they mean the same, accuracy and calibration are wrong"
    )


def _count_warning(images: ImageSet, classes: int) -> Iterator[str]:
    if len(images.class_names) != classes:
        yield (
            f"{images.name} has {len(images.class_names):,} classes, but the network predicts "
            f"{classes:,}; unless its labels are those of the network, accuracy and calibration "
            "are wrong"
        )
