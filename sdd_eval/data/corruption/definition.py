"""What a corruption is: five constants, what it draws at random, how it renders images.

Every random number is drawn first, image by image, and handed to a rendering that is a plain
function of its arguments: it works on many images at once, and no image depends on another.
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

#: The side in pixels for which the recipe's lengths are given.
SIDE = 32


@dataclass(frozen=True)
class Definition:
    """One corruption; `constants` holds what each of the five severities is made with."""

    constants: tuple[Any, ...]
    render: Callable[..., Floats]
    """(images (n, side, side, channels) in [0, 1], constants, *stacked draws) → the same shape."""
    draw: Callable[[np.random.Generator, Floats, Any], Draws] | None = None
    """(generator, one image (side, side, channels), constants) → the draws of that image."""
    colour: bool = False
    """Whether it needs three channels; grey images are then repeated."""


def scaled(length: float, side: int) -> float:
    """A length in pixels of a 32 × 32 image, for images of another side.

    It does not shrink below one pixel, nor at all where it is under one pixel already.

    >>> scaled(2.5, 32), scaled(2.5, 224), scaled(2.5, 8), scaled(0.4, 8)
    (2.5, 17.5, 1.0, 0.4)
    """
    return max(length * side / SIDE, min(length, 1.0))


def whole(length: float, side: int) -> int:
    """A scaled length in whole pixels, at least one; halves are rounded up.

    >>> whole(6, 8), whole(1, 8), whole(1, 48)
    (2, 1, 2)
    """
    return max(1, math.floor(scaled(length, side) + 0.5))


def luma(images: Floats) -> Floats:
    """The grey (…, 1) of colour images: .299 red + .587 green + .114 blue; of grey, itself."""
    if images.shape[-1] == 1:
        return images
    red, green, blue = (images[..., channel : channel + 1] for channel in range(3))
    grey: Floats = red * 0.299 + green * 0.587 + blue * 0.114
    return grey


def from_levels(pixels: NDArray[np.uint8]) -> Floats:
    """Levels 0 … 255 as floats in [0, 1]."""
    images: Floats = np.divide(pixels, 255, dtype=np.float32)
    return images


def truncated(images: Floats) -> NDArray[np.uint8]:
    """Images in [0, 1], clipped, × 255 and truncated to uint8.

    A two-thousandth of a level is added first, so that a value that is a whole level but for
    rounding (a flat region under a blur) keeps it on every machine.
    """
    return (images.clip(0, 1) * 255 + 5e-4).astype(np.uint8)
