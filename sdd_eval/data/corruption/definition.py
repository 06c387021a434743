"""The definition of a corruption: five constants, its random draws and its rendering.

Random numbers are drawn first, image by image. The rendering is a pure function of a batch of
images and draws, in which no image depends on another.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Draws = tuple[NDArray[Any], ...]

#: Image side in pixels to which the lengths in the recipe refer.
SIDE = 32


@dataclass(frozen=True)
class Definition:
    """A corruption; `constants` has the parameters of each of the five severities."""

    constants: tuple[Any, ...]
    render: Callable[..., Floats]
    """(images (n, side, side, channels) in [0, 1], constants, *stacked draws) → the same shape."""
    draw: Callable[[np.random.Generator, Floats, Any], Draws] | None = None
    """(generator, image (side, side, channels), constants) → the image's random draws."""
    colour: bool = False
    """Whether it needs RGB; grey images are then repeated to three channels."""


def scaled(length: float, side: int) -> float:
    """Scale a length in pixels of a 32 × 32 image to another side, but not below one pixel.

    >>> scaled(2.5, 32), scaled(2.5, 224), scaled(2.5, 8), scaled(0.4, 8)
    (2.5, 17.5, 1.0, 0.4)
    """
    return max(length * side / SIDE, min(length, 1.0))


def whole(length: float, side: int) -> int:
    """Return a scaled length in whole pixels, at least one; halves are rounded up.

    >>> whole(6, 8), whole(1, 8), whole(1, 48)
    (2, 1, 2)
    """
    return max(1, math.floor(scaled(length, side) + 0.5))


def luma(images: Floats) -> Floats:
    """Return luma (…, 1): 0.299 R + 0.587 G + 0.114 B; grey images are returned unchanged."""
    if images.shape[-1] == 1:
        return images
    red, green, blue = (images[..., channel : channel + 1] for channel in range(3))
    grey: Floats = red * 0.299 + green * 0.587 + blue * 0.114
    return grey


def from_levels(pixels: NDArray[np.uint8]) -> Floats:
    """Convert levels 0 … 255 to floats in [0, 1]."""
    return np.divide(pixels, 255, dtype=np.float32)


def truncated(images: Floats) -> NDArray[np.uint8]:
    """Convert images in [0, 1] to uint8: clip, multiply by 255 and truncate.

    0.0005 of a level is added first, so that rounding errors (a flat region under a blur) do not
    lower pixels by a whole level on some machines.
    """
    return (images.clip(0, 1) * 255 + 5e-4).astype(np.uint8)
