"""Snow, fog and spatter."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sdd_eval.data.corruption.blur import apply_zoom, gaussian, motion, motion_kernel, zoom_operator
from sdd_eval.data.corruption.definition import SIDE, Definition, Draws, Floats, from_levels, luma

Snow = tuple[float, float, float, float, float, float, float]


def draw_snow(random: np.random.Generator, image: Floats, constants: Snow) -> Draws:
    """Draw a normal layer of the image's resolution, at most 32 × 32, and an angle."""
    grain = min(len(image), SIDE)
    layer = random.standard_normal((grain, grain, 1), dtype=np.float32)
    return (layer, np.asarray(random.uniform(-135, -45)))


def snow_layer(layer: Floats, degrees: NDArray[np.float64], side: int, constants: Snow) -> Floats:
    """Return flakes (n, side, side, 1): the layer zoomed, thresholded and motion-blurred."""
    loc, scale, factor, threshold, radius, sigma, _ = constants
    raw = loc + scale * layer
    flakes = apply_zoom(zoom_operator(layer.shape[1], side, (factor,), False), raw)
    flakes = np.where(flakes < threshold, 0, np.minimum(flakes, 1))
    return motion(flakes, motion_kernel(radius, sigma, side), degrees)


def snow(images: Floats, constants: Snow, layer: Floats, degrees: NDArray[np.float64]) -> Floats:
    """Whiten the image and add the flakes and their rotation by 180°."""
    blend = constants[6]
    flakes = snow_layer(layer, degrees, images.shape[1], constants)
    white = np.maximum(images, luma(images) * 1.5 + 0.5)
    snowy: Floats = blend * images + (1 - blend) * white + flakes + flakes[:, ::-1, ::-1]
    return snowy


def draw_fog(random: np.random.Generator, image: Floats, constants: tuple[float, float]) -> Draws:
    """Draw a number in [−1, 1] for each point of the plasma except its corner."""
    size = 1 << max(0, len(image) - 1).bit_length()  # the next power of two
    return (random.uniform(-1, 1, size**2 - 1),)


def plasma(numbers: NDArray[np.float64], decay: float) -> NDArray[np.float64]:
    """Return periodic diamond-square plasma (n, size, size) in [0, 1] from (n, size² − 1) numbers.

    Each step halves the spacing of the known points. The random part added to their mean is
    `decay`² times weaker at each step, as in the code that generated CIFAR-10-C.
    """
    count, size = len(numbers), round((numbers.shape[1] + 1) ** 0.5)
    field = np.zeros((count, size, size))
    step, strength, used = size, 1.0, 0
    while step >= 2:
        half, points = step // 2, (size // step) ** 2
        parts = numbers[:, used : used + 3 * points] * strength
        rough = parts.reshape(count, 3, size // step, size // step)
        corner = field[:, ::step, ::step]
        right, below = np.roll(corner, -1, axis=2), np.roll(corner, -1, axis=1)
        centre = (corner + right + below + np.roll(below, -1, axis=2)) / 4 + rough[:, 0]
        top = (corner + right + centre + np.roll(centre, 1, axis=1)) / 4 + rough[:, 1]
        left = (corner + below + centre + np.roll(centre, 1, axis=2)) / 4 + rough[:, 2]
        field[:, half::step, half::step] = centre
        field[:, ::step, half::step] = top
        field[:, half::step, ::step] = left
        step, strength, used = half, strength / decay**2, used + 3 * points
    field -= field.min(axis=(1, 2), keepdims=True)
    field /= np.maximum(field.max(axis=(1, 2), keepdims=True), 1e-12)
    return field


def fog(images: Floats, constants: tuple[float, float], numbers: NDArray[np.float64]) -> Floats:
    """Add plasma, and rescale the image to its original maximum."""
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


Spatter = tuple[float, float, float, float, float, int]

WATER = from_levels(np.array([175, 238, 238], dtype=np.uint8))
MUD = from_levels(np.array([63, 42, 20], dtype=np.uint8))

#: The kernel that turns the distance from an edge into an embossed relief.
_RELIEF = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])


def draw_liquid(random: np.random.Generator, image: Floats, constants: Spatter) -> Draws:
    """Draw a normal layer of the image's resolution, at most 32 × 32."""
    grain = min(len(image), SIDE)
    return (random.standard_normal((grain, grain, 1), dtype=np.float32),)


def edges(levels: NDArray[np.uint8], low: int = 50, high: int = 150) -> NDArray[np.bool_]:
    """Find Canny edges of layers (n, side, side): 3 × 3 Sobel, |dx| + |dy|, hysteresis."""
    smooth = levels.astype(np.int64)
    # Scipy's filter smooths along all other axes, so images are filtered one by one.
    across, down = (
        np.stack([ndimage.sobel(plane, axis=axis, mode="nearest") for plane in smooth])
        for axis in (1, 0)
    )
    strength = np.abs(across) + np.abs(down)
    weak = (strength > low) & _crest(strength, across, down)
    within = np.zeros((3, 3, 3), dtype=int)
    within[1] = 1
    parts, count = ndimage.label(weak, structure=within)
    strong = np.zeros(count + 1, dtype=bool)
    strong[parts[weak & (strength > high)]] = True
    strong[0] = False
    chosen: NDArray[np.bool_] = strong[parts]
    return chosen


def _crest(
    strength: NDArray[np.int64], across: NDArray[np.int64], down: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return where the strength is maximal along its direction, rounded to one of four."""
    side = strength.shape[1]
    padded = np.pad(strength, ((0, 0), (1, 1), (1, 1)))

    def neighbour(row: int, column: int) -> NDArray[np.int64]:
        return padded[:, 1 + row : 1 + row + side, 1 + column : 1 + column + side]

    flat = np.abs(down) < np.tan(np.pi / 8) * np.abs(across)
    steep = np.abs(down) > np.tan(3 * np.pi / 8) * np.abs(across)
    rising = (across < 0) != (down < 0)
    horizontal = (strength > neighbour(0, -1)) & (strength >= neighbour(0, 1))
    vertical = (strength > neighbour(-1, 0)) & (strength >= neighbour(1, 0))
    up = (strength > neighbour(-1, 1)) & (strength > neighbour(1, -1))
    fall = (strength > neighbour(-1, -1)) & (strength > neighbour(1, 1))
    return np.select([flat, steep, rising], [horizontal, vertical, up], fall)


def _distance(edge: NDArray[np.bool_]) -> Floats:
    if not edge.any():
        return np.full(edge.shape, 20, dtype=np.float32)
    distance = ndimage.distance_transform_edt(~edge)
    near: Floats = np.minimum(distance, 20).astype(np.float32)
    return near


def _box(layers: NDArray[Any]) -> NDArray[Any]:
    """Return the mean over 3 × 3 pixels, mirrored at the edge pixels."""
    mean: NDArray[Any] = ndimage.uniform_filter(layers, (1, 3, 3), mode="mirror")
    return mean


def equalised(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Equalise the histogram of a layer over 0 … 255; a flat layer is unchanged."""
    histogram = np.bincount(levels.ravel(), minlength=256)
    lowest = histogram[histogram > 0][0]
    if lowest == levels.size:
        return levels
    table = (np.cumsum(histogram) - lowest) * 255 / (levels.size - lowest)
    even: NDArray[np.uint8] = np.rint(table.clip(0, 255)).astype(np.uint8)[levels]
    return even


def _water(liquid: Floats, strength: float) -> Floats:
    """Return the opacity of water at each pixel (n, side, side): the relief of drops."""
    levels = np.clip(liquid * 255, 0, 255).astype(np.uint8)
    distance = np.stack([_distance(edge) for edge in edges(levels)])
    even = np.stack([equalised(layer) for layer in (_box(distance) + 5e-4).astype(np.uint8)])
    relief = ndimage.correlate(even.astype(np.float64), _RELIEF[None], mode="mirror")
    lit = np.rint(_box(np.clip(relief, 0, 255)))
    seen = levels * lit
    most = np.maximum(seen.max(axis=(1, 2), keepdims=True), 1)
    water: Floats = (seen / most * strength).astype(np.float32)
    return water


def _mud(liquid: Floats, sigma: float) -> Floats:
    """Return the opacity of mud at each pixel (n, side, side): wet areas, blurred, thresholded."""
    wet = gaussian((liquid > 0).astype(np.float32)[..., None], sigma)[..., 0]
    return np.where(wet < 0.8, 0, wet)


def spatter(images: Floats, constants: Spatter, layer: Floats) -> Floats:
    """Add water or replace the image with mud, rendered at up to 32 × 32 pixels and enlarged."""
    loc, scale, sigma, threshold, strength, mud = constants
    side, grain = images.shape[1], layer.shape[1]
    liquid = gaussian(loc + scale * layer, sigma)[..., 0]
    liquid = np.where(liquid < threshold, 0, liquid)
    seen = (_mud if mud else _water)(liquid, strength)[..., None]
    if side != grain:
        seen = apply_zoom(zoom_operator(grain, side, (1.0,), False), seen)
    return images * (1 - seen) + MUD * seen if mud else images + WATER * seen


SPATTER = {
    "spatter": Definition(
        (
            (0.62, 0.1, 0.7, 0.7, 0.5, 0),
            (0.65, 0.1, 0.8, 0.7, 0.5, 0),
            (0.65, 0.3, 1, 0.69, 0.5, 0),
            (0.65, 0.1, 0.7, 0.69, 0.6, 1),
            (0.65, 0.1, 0.5, 0.68, 0.6, 1),
        ),
        spatter,
        draw_liquid,
        colour=True,
    )
}
