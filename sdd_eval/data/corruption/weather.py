"""Snow and fog."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sdd_eval.data.corruption import zoom
from sdd_eval.data.corruption.blur import motion, motion_kernel
from sdd_eval.data.corruption.definition import SIDE, Definition, Draws, Floats, luma

Snow = tuple[float, float, float, float, float, float, float]


def draw_snow(random: np.random.Generator, image: Floats, constants: Snow) -> Draws:
    """A normal layer, as fine as the pixels but never finer than 32 to a side, and an angle."""
    grain = min(len(image), SIDE)
    layer = random.standard_normal((grain, grain, 1), dtype=np.float32)
    return (layer, np.asarray(random.uniform(-135, -45)))


def snow_layer(layer: Floats, degrees: NDArray[np.float64], side: int, constants: Snow) -> Floats:
    """Flakes (n, side, side, 1): the layer zoomed, low values cut off, blown by the wind."""
    loc, scale, factor, threshold, radius, sigma, _ = constants
    raw = loc + scale * layer
    flakes = zoom.apply(zoom.zoom_operator(layer.shape[1], side, (factor,), False), raw)
    flakes = np.where(flakes < threshold, 0, np.minimum(flakes, 1))
    return motion(flakes, motion_kernel(radius, sigma, side), degrees)


def snow(images: Floats, constants: Snow, layer: Floats, degrees: NDArray[np.float64]) -> Floats:
    """Whiten the image, and lay the flakes and the flakes turned by 180° over it."""
    blend = constants[6]
    flakes = snow_layer(layer, degrees, images.shape[1], constants)
    white = np.maximum(images, luma(images) * 1.5 + 0.5)
    snowy: Floats = blend * images + (1 - blend) * white + flakes + flakes[:, ::-1, ::-1]
    return snowy


def _power_of_two(side: int) -> int:
    """The least power of two that is not below the side."""
    return 1 << max(0, side - 1).bit_length()


def draw_fog(random: np.random.Generator, image: Floats, constants: tuple[float, float]) -> Draws:
    """A number in −1 … 1 for each point of the plasma but its corner."""
    return (random.uniform(-1, 1, _power_of_two(len(image)) ** 2 - 1),)


def plasma(numbers: NDArray[np.float64], decay: float) -> NDArray[np.float64]:
    """Diamond-square plasma on a torus, (n, size, size) in [0, 1], from (n, size² − 1) numbers.

    Each step halves the distance of the known points. The random part added to their mean is
    `decay`² times weaker at each step, as in the programme that made CIFAR-10-C.
    """
    count, size = len(numbers), round((numbers.shape[1] + 1) ** 0.5)
    field = np.zeros((count, size, size))
    step, strength, used = size, 1.0, 0
    while step >= 2:
        half, points = step // 2, (size // step) ** 2
        parts = numbers[:, used : used + 3 * points] * strength
        rough = parts.reshape(count, 3, size // step, size // step)
        corner = field[:, ::step, ::step]
        beside, below = np.roll(corner, -1, axis=2), np.roll(corner, -1, axis=1)
        centre = (corner + beside + below + np.roll(below, -1, axis=2)) / 4 + rough[:, 0]
        top = (corner + beside + centre + np.roll(centre, 1, axis=1)) / 4 + rough[:, 1]
        left = (corner + below + centre + np.roll(centre, 1, axis=2)) / 4 + rough[:, 2]
        field[:, half::step, half::step] = centre
        field[:, ::step, half::step] = top
        field[:, half::step, ::step] = left
        step, strength, used = half, strength / decay**2, used + 3 * points
    field -= field.min(axis=(1, 2), keepdims=True)
    field /= np.maximum(field.max(axis=(1, 2), keepdims=True), 1e-12)
    return field


def fog(images: Floats, constants: tuple[float, float], numbers: NDArray[np.float64]) -> Floats:
    """Add plasma, and draw the image back to its own brightest value."""
    amount, decay = constants
    side = images.shape[1]
    cloud = plasma(numbers, decay)[:, :side, :side, None].astype(np.float32)
    brightest = images.max(axis=(1, 2, 3), keepdims=True)
    foggy: Floats = (images + amount * cloud) * (brightest / (brightest + amount))
    return foggy


WEATHER = {
    "snow": Definition(
        (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
        snow,
        draw_snow,
    ),
    "fog": Definition(((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)), fog, draw_fog),
}
