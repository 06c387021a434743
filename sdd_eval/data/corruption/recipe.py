"""The corruptions of CIFAR-10-C: 19 kinds at five severities, seeded per image.

Source: Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations" (ICLR 2019), with the constants of their CIFAR version. The published archives were
made without a seed: these images follow the same recipe, but are not the published ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from sdd_eval.data.corruption import frost
from sdd_eval.data.corruption.blur import BLUR
from sdd_eval.data.corruption.definition import Definition, Draws, from_levels, luma, truncated
from sdd_eval.data.corruption.digital import DIGITAL
from sdd_eval.data.corruption.elastic import ELASTIC
from sdd_eval.data.corruption.noise import NOISE
from sdd_eval.data.corruption.weather import SPATTER, WEATHER
from sdd_eval.errors import InputError, unknown_name
from sdd_eval.metrics.corruption import NINETEEN, SEVERITIES
from sdd_eval.randomness import derived_seed

#: Incremented whenever an image changes. Version 2: zoom blur at severity 5; 3: synthetic frost.
VERSION: int = 3

_DEFINITIONS: dict[str, Definition] = {**NOISE, **BLUR, **WEATHER, **DIGITAL, **ELASTIC, **SPATTER}

#: Values per block, chosen to fit into the CPU cache.
_VALUES = 2**19


def corrupt(
    images: NDArray[np.uint8],
    corruption: str,
    severity: int,
    *,
    seed: int = 0,
    indices: NDArray[np.int64] | None = None,
    frost_photos: Sequence[frost.Photo] | None = None,
) -> NDArray[np.uint8]:
    """Corrupt images, uint8 (n, side, side, channels), grey or RGB, at a severity from 1 to 5.

    Lengths in pixels scale with side / 32. For corruptions with colour, grey images are repeated to
    three channels, and luma is returned. The result only depends on the image, seed,
    corruption, severity and the image's index in the whole set, by default 0 … n − 1.
    `frost_photos` are files or arrays; None for synthetic frost. Raise InputError if corruption,
    severity, seed or shape is invalid, or a photograph cannot be read or is too small.
    """
    require_corruption(corruption, severity, seed)
    if images.ndim != 4 or images.shape[1] != images.shape[2] or images.shape[3] not in (1, 3):
        raise InputError(f"images of shape {images.shape} are not (n, side, side, 1 or 3)")
    definition = _definition(corruption, images.shape[1], frost_photos)
    positions = np.arange(len(images)) if indices is None else np.asarray(indices)
    generators = _generators(seed, corruption, severity, positions)
    corrupted = np.empty_like(images)
    step = max(1, _VALUES // max(1, images[:1].size))
    for start in range(0, len(images), step):
        rows = slice(start, start + step)
        corrupted[rows] = _block(images[rows], definition, severity, generators)
    return corrupted


def require_corruption(corruption: str, severity: int = 1, seed: int = 0) -> None:
    """Raise InputError, with the valid values, if corruption, severity or seed is invalid."""
    if corruption not in NINETEEN:
        raise unknown_name("corruption", corruption, NINETEEN)
    if severity not in SEVERITIES:
        raise InputError(f"severity is {severity!r}, not one of 1, 2, 3, 4, 5")
    if seed < 0:
        raise InputError(f"seed is {seed}, not 0 or a positive number")


def _definition(
    corruption: str, side: int, frost_photos: Sequence[frost.Photo] | None
) -> Definition:
    if corruption == "frost":
        return frost.frost_definition(frost.read_photographs(frost_photos, side), side)
    return _DEFINITIONS[corruption]


def _generators(
    seed: int, corruption: str, severity: int, positions: NDArray[np.int64]
) -> Iterator[np.random.Generator]:
    """Yield a counter-based generator per image: its index is the upper half of the counter."""
    key = derived_seed(seed, f"corruption/{corruption}", severity)
    for position in positions:
        yield np.random.Generator(np.random.Philox(key=key, counter=int(position) << 128))


def _block(
    pixels: NDArray[np.uint8],
    definition: Definition,
    severity: int,
    generators: Iterator[np.random.Generator],
) -> NDArray[np.uint8]:
    """Corrupt a block of images: draw for each, render all, and restore the channels."""
    constants = definition.constants[severity - 1]
    images = from_levels(pixels)
    grey = images.shape[3] == 1
    if grey and definition.colour:
        images = np.repeat(images, 3, axis=3)
    draws: Draws = ()
    if definition.draw is not None:
        per_image = [definition.draw(next(generators), image, constants) for image in images]
        draws = tuple(np.stack(part) for part in zip(*per_image, strict=True))
    rendered = definition.render(images, constants, *draws)
    return truncated(luma(rendered.clip(0, 1)) if grey else rendered)
