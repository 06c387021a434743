"""Which image files lie in a folder, and which class each belongs to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sdd_eval.data.images import Labels
from sdd_eval.errors import InputError

SUFFIXES = (
    ".bmp",
    ".gif",
    ".jpeg",
    ".jpg",
    ".pbm",
    ".pgm",
    ".png",
    ".ppm",
    ".tif",
    ".tiff",
    ".webp",
)

#: Names of the sub-folders that hold a split.
SPLITS = {"train": ("train",), "test": ("test", "val", "valid", "validation")}
_SPLIT_NAMES = frozenset(name for names in SPLITS.values() for name in names)


def image_files(folder: Path) -> tuple[str, ...]:
    """The image files at any depth, as sorted relative names; dot files are skipped."""
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = os.path.relpath(place, folder).replace(os.sep, "/")
        prefix = "" if inside == "." else f"{inside}/"
        found += [prefix + name for name in files if _is_image(name)]
    return tuple(sorted(found))


def unwrapped(folder: Path) -> Path:
    """The folder, or what lies below sub-folders such as `images/` that merely wrap it."""
    while (inner := _only_folder(folder)) is not None:
        folder = inner
    return folder


def split_folders(folder: Path) -> dict[str, Path]:
    """The folder of each split, where the folder is laid out as `train/` and `test/`.

    One such folder of images among other folders of images is a class: CIFAR-100 has `train/`.
    """
    found = {}
    for split, names in SPLITS.items():
        there = [folder / name for name in names if (folder / name).is_dir()]
        if there:
            found[split] = there[0]
    return {} if len(found) == 1 and _is_class(*found.values()) else found


def class_names_of(files: Sequence[str]) -> tuple[str, ...]:
    """The sub-folders as classes; none unless every file lies in one of at least two."""
    if not all("/" in name for name in files):
        return ()
    names = sorted({name.split("/", 1)[0] for name in files})
    return tuple(names) if len(names) > 1 else ()


def labels_of(folder: Path, files: Sequence[str], class_names: Sequence[str]) -> Labels | None:
    """The class of each file, None where there are no classes.

    Raises:
        InputError: a file lies in a sub-folder that is no class, or in none.
    """
    if not class_names:
        return None
    stray = next((name for name in files if "/" not in name), None)
    if stray is not None:
        raise InputError(f"{folder} has {stray} beside its classes, in the folder of none")
    index = {name: position for position, name in enumerate(class_names)}
    strangers = sorted({name.split("/", 1)[0] for name in files} - set(index))
    if strangers:
        raise InputError(f"{folder} has the class {strangers[0]!r}, which its train/ lacks")
    return np.array([index[name.split("/", 1)[0]] for name in files], dtype=np.int64)


def _is_class(folder: Path) -> bool:
    """Whether images lie in a folder itself, and in another one beside it of no split's name."""
    others = (place for place in folder.parent.iterdir() if place.name not in _SPLIT_NAMES)
    seen = (place for place in others if not place.name.startswith("."))
    return _holds_images(folder) and any(map(_holds_images, seen))


def _holds_images(folder: Path) -> bool:
    """Whether images lie in a folder itself; none do in a file, or where it cannot be read."""
    _, _, files = next(os.walk(folder), ("", [], []))
    return any(map(_is_image, files))


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _only_folder(folder: Path) -> Path | None:
    """The one sub-folder of a folder that holds no image itself."""
    try:
        with os.scandir(folder) as found:
            entries = [entry for entry in found if not entry.name.startswith(".")]
            inner = [entry.name for entry in entries if entry.is_dir()]
            holds_images = any(_is_image(entry.name) for entry in entries)
    except OSError:
        return None
    wraps = len(inner) == 1 and not holds_images and inner[0] not in _SPLIT_NAMES
    return folder / inner[0] if wraps else None
