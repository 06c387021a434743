"""Elastic transform: a random affine map followed by a random smooth displacement."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sdd_eval.data.corruption.definition import Definition, Draws, Floats

Coordinates = NDArray[np.float64]


def mirrored(index: NDArray[np.int64], side: int, *, repeat_edge: bool) -> NDArray[np.int64]:
    """Mirror indices outside 0 … side − 1, with or without repeating the edge pixel."""
    period = max(1, 2 * side if repeat_edge else 2 * side - 2)
    folded = np.mod(index, period)
    back = 2 * side - 1 - folded if repeat_edge else 2 * side - 2 - folded
    return np.where(folded < side, folded, back)


def sample(images: Floats, y: Coordinates, x: Coordinates, *, repeat_edge: bool) -> Floats:
    """Interpolate each image bilinearly at its own coordinates, each (n, side, side)."""
    side = images.shape[1]
    top, left = np.floor(y).astype(np.int64), np.floor(x).astype(np.int64)
    down, right = (y - top).astype(np.float32), (x - left).astype(np.float32)
    base = np.arange(len(images))[:, None, None] * (side * side)
    pixels = images.reshape(-1, images.shape[3])
    total = np.zeros_like(images)
    for row, row_weight in ((top, 1 - down), (top + 1, down)):
        start = base + mirrored(row, side, repeat_edge=repeat_edge) * side
        for column, column_weight in ((left, 1 - right), (left + 1, right)):
            where = start + mirrored(column, side, repeat_edge=repeat_edge)
            total += (row_weight * column_weight)[..., None] * np.take(pixels, where, axis=0)
    return total


def anchors(side: int) -> Coordinates:
    """Return the three points (x, y) around the centre that the affine map moves."""
    centre, reach = side // 2, max(1, side // 3)
    return np.array([[1, 1], [1, -1], [-1, -1]]) * float(reach) + centre


def affine_coordinates(moves: Coordinates, side: int) -> tuple[Coordinates, Coordinates]:
    """Return each pixel's source (y, x) under the map that moves the anchors, by (n, 3, 2)."""
    points = anchors(side)
    moved = np.concatenate([points + moves, np.ones((len(moves), 3, 1))], axis=2)
    back = np.linalg.solve(moved, np.broadcast_to(points, (len(moves), 3, 2)))
    line = np.arange(side, dtype=np.float64)
    x, y = (
        back[:, 0, axis, None, None] * line
        + back[:, 1, axis, None, None] * line[:, None]
        + back[:, 2, axis, None, None]
        for axis in (0, 1)
    )
    return y, x


def draw_elastic(
    random: np.random.Generator, image: Floats, constants: tuple[float, float, float]
) -> Draws:
    """Draw the moves (3, 2) of the anchors and the field (2, side, side), uniform in [−1, 1]."""
    side = len(image)
    moves = random.uniform(-1, 1, (3, 2))
    if constants[0] == 0:
        return (moves, np.zeros((2, 1, 1), dtype=np.float32))
    return (moves, random.random((2, side, side), dtype=np.float32) * 2 - 1)


def elastic_transform(
    images: Floats, constants: tuple[float, float, float], moves: Coordinates, field: Floats
) -> Floats:
    """Apply the affine map (mirrored at the edge pixels), then the displacement (edges repeated).

    The constants are shares of the side, and scale without a minimum length.
    """
    side = images.shape[1]
    strength, sigma, jitter = (share * side for share in constants)
    images = sample(images, *affine_coordinates(moves * jitter, side), repeat_edge=False)
    if strength == 0:
        return images
    smooth = ndimage.gaussian_filter(
        field.astype(np.float64), (0, 0, sigma, sigma), mode="reflect", truncate=3.0
    )
    line = np.arange(side)
    y, x = line[:, None] + smooth[:, 1] * strength, line + smooth[:, 0] * strength
    return sample(images, y, x, repeat_edge=True)


ELASTIC = {
    "elastic_transform": Definition(
        ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
        elastic_transform,
        draw_elastic,
    )
}
