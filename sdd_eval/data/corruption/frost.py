"""Frost: a random piece of a frosted window, made up or photographed, laid over the image."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sdd_eval.data.corruption import ice
from sdd_eval.data.corruption.definition import SIDE, Definition, Draws, Floats, from_levels
from sdd_eval.data.readers.image_files import image_files
from sdd_eval.errors import InputError

#: What a photograph is scaled by, for images of 32 pixels.
PHOTO_SCALE = 0.2


@dataclass(frozen=True)
class Photograph:
    """A photograph of frost: its name for errors, and its pixels (height, width, 3) uint8."""

    name: str
    pixels: NDArray[np.uint8]


#: What stands for a photograph: a file (or a folder of them), an array (height, width, 3) uint8, or
#: one that was read.
Photo = Path | str | NDArray[np.uint8] | Photograph


def photographs(photos: Sequence[Photo] | None, side: int) -> tuple[Photograph, ...] | None:
    """Read the user's photographs; None where there are none and frost is made up.

    Raises:
        InputError: the list or a folder is empty, or one is no image or too small for images of the
            side.
    """
    if photos is None:
        return None
    if not photos:
        raise InputError("no photograph of frost was given; name one at least, or none at all")
    read = tuple(_photograph(photo, number) for number, photo in enumerate(_each(photos), 1))
    for photo in read:
        _check_size(photo, side)
    return read


def digest(photos: tuple[Photograph, ...] | None) -> str:
    """sha256 of the photographs' content, or "synthetic"."""
    if photos is None:
        return "synthetic"
    whole = hashlib.sha256()
    for photo in photos:
        whole.update(repr(photo.pixels.shape).encode())
        whole.update(np.ascontiguousarray(photo.pixels).tobytes())
    return whole.hexdigest()


def _each(photos: Sequence[Photo]) -> Iterator[Photo]:
    """The photographs, those of a folder by their names."""
    for photo in photos:
        if not isinstance(photo, (Path, str)) or not Path(photo).is_dir():
            yield photo
            continue
        files = image_files(Path(photo))
        if not files:
            raise InputError(f"{photo} holds no photographs of frost")
        yield from (Path(photo, file) for file in files)


def _photograph(photo: Photo, number: int) -> Photograph:
    """One photograph, read if it is not yet."""
    if isinstance(photo, Photograph):
        return photo
    if isinstance(photo, np.ndarray):
        name = f"photograph {number} of frost"
        if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8:
            raise InputError(f"{name} is {photo.dtype} {photo.shape}, not uint8 (rows, columns, 3)")
        return Photograph(name, photo)
    try:
        with Image.open(photo) as file:
            return Photograph(str(photo), np.asarray(file.convert("RGB")))
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"{photo} is not a photograph that can be read: {error}") from error


def _check_size(photo: Photograph, side: int) -> None:
    """Refuse a photograph from which no piece of the side can be cut."""
    height, width = photo.pixels.shape[:2]
    if min(_scaled_shape(photo, side)) < side:
        least = SIDE / PHOTO_SCALE
        raise InputError(
            f"{photo.name} is {width} × {height} pixels; frost needs {least:.0f} × {least:.0f}"
        )


def _scaled_shape(photo: Photograph, side: int) -> tuple[int, int]:
    """Rows and columns of a photograph scaled by 0.2, times side / 32."""
    height, width = photo.pixels.shape[:2]
    scale = PHOTO_SCALE * side / SIDE
    return round(height * scale), round(width * scale)


def window_of(photo: Photograph, side: int) -> Floats:
    """A photograph scaled for images of a side, bilinear between pixels, not averaged."""
    pixels: Any = from_levels(photo.pixels)
    for axis, length in enumerate(_scaled_shape(photo, side)):
        last = pixels.shape[axis] - 1
        where = (np.arange(length) + 0.5) * SIDE / (PHOTO_SCALE * side) - 0.5
        where = np.clip(where, 0, last)
        below = np.floor(where).astype(np.int64)
        part = (where - below).astype(np.float32)
        part = part[:, None, None] if axis == 0 else part[:, None]
        lower = np.take(pixels, below, axis=axis)
        upper = np.take(pixels, np.minimum(below + 1, last), axis=axis)
        pixels = lower * (1 - part) + upper * part
    return np.asarray(pixels, dtype=np.float32)


def frost(images: Floats, constants: tuple[float, float], piece: Floats) -> Floats:
    """So much of the image, and so much of the window."""
    keep, add = constants
    return keep * images + add * piece


def frost_definition(photos: tuple[Photograph, ...] | None, side: int) -> Definition:
    """Frost with these photographs, or with windows made up, for images of a side."""
    if photos is None:
        panes = ice.windows(side)
    else:
        panes = tuple(window_of(photo, side) for photo in photos)

    def draw_piece(random: np.random.Generator, image: Floats, constants: object) -> Draws:
        pane = panes[random.integers(len(panes))]
        top = random.integers(pane.shape[0] - side + 1)
        left = random.integers(pane.shape[1] - side + 1)
        return (pane[top : top + side, left : left + side],)

    return Definition(
        ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)), frost, draw_piece, colour=True
    )
