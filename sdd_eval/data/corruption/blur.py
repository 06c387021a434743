"""Gaussian, defocus, glass, motion and zoom blur."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal, sparse

from sdd_eval.data.corruption.definition import (
    Definition,
    Draws,
    Floats,
    from_levels,
    scaled,
    truncated,
    whole,
)

#: Kernels with more taps than this are applied by a Fourier transform.
_MANY_TAPS = 100


def gaussian(images: Floats, sigma: float) -> Floats:
    """Filter with a Gaussian over rows and columns, truncated at 4 σ, with repeated edges."""
    blurred: Floats = ndimage.gaussian_filter(
        images, (0, sigma, sigma, 0), mode="nearest", truncate=4.0
    )
    return blurred


def gaussian_blur(images: Floats, sigma: float) -> Floats:
    """Blur with a Gaussian of standard deviation σ."""
    return gaussian(images, scaled(sigma, images.shape[1]))


def defocus_kernel(radius: float, alias: float, side: int) -> NDArray[np.float64]:
    """Return a disk of sum 1, smoothed by a 3-tap Gaussian of standard deviation `alias`."""
    radius, alias, reach = scaled(radius, side), scaled(alias, side), whole(1, side)
    half = int(radius) + reach
    line = np.arange(-half, half + 1)
    disk = (line[:, None] ** 2 + line**2 <= radius**2).astype(np.float64)
    taps = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * alias**2))
    smooth: NDArray[np.float64] = signal.convolve2d(
        disk / disk.sum(), np.outer(taps, taps) / taps.sum() ** 2, mode="same"
    )
    return smooth


def defocus_blur(images: Floats, constants: tuple[float, float]) -> Floats:
    """Filter with a smoothed disk; the image is mirrored at its edge pixels."""
    side = images.shape[1]
    kernel = defocus_kernel(*constants, side)
    half = len(kernel) // 2
    padded = np.pad(images, ((0, 0), (half, half), (half, half), (0, 0)), mode="reflect")
    if kernel.size > _MANY_TAPS:
        window = kernel[None, :, :, None]
        return np.concatenate(
            [signal.fftconvolve(image[None], window, mode="valid") for image in padded]
        ).astype(np.float32)
    total = np.zeros_like(images)
    for row, column in zip(*np.nonzero(kernel > 1e-9), strict=True):
        part = padded[:, row : row + side, column : column + side]
        total += float(kernel[row, column]) * part
    return total


def draw_offsets(
    random: np.random.Generator, image: Floats, constants: tuple[float, int, int]
) -> Draws:
    """Draw the row and column offsets of each round (rounds, 2, side, side) in −δ … δ − 1."""
    side = len(image)
    reach = whole(constants[1], side)
    return (random.integers(-reach, reach, (constants[2], 2, side, side), dtype=np.int16),)


def glass_sources(offsets: NDArray[np.int16], reach: int) -> NDArray[np.int64]:
    """Return the source pixel (n, side²) of each pixel after one in-place scan of copies.

    The scan runs from the last pixel to the first, so a neighbour later in the image has already
    been overwritten, and its own source is used.
    """
    count, _, side, _ = offsets.shape
    inner = np.zeros((side, side), dtype=bool)
    inner[reach + 1 : side - reach + 1, reach + 1 : side - reach + 1] = True
    here = np.arange(side * side).reshape(side, side)
    shift = offsets[:, 0].astype(np.int64) * side + offsets[:, 1]
    target = np.where(inner, here + shift, here).reshape(count, -1)
    # A target later in the image is already overwritten; any other is an unchanged source.
    forward = (target > here.ravel()) & inner.ravel()[target]
    while forward.any():
        following = np.take_along_axis(target, target, axis=1)
        onward = np.take_along_axis(forward, target, axis=1)
        target, forward = np.where(forward, following, target), forward & onward
    return target


def glass_blur(
    images: Floats, constants: tuple[float, int, int], offsets: NDArray[np.int16]
) -> Floats:
    """Blur to uint8, replace pixels with random neighbours, and blur again."""
    sigma, delta, rounds = constants
    count, side, _, channels = images.shape
    sigma = scaled(sigma, side)
    pixels = truncated(gaussian(images, sigma)).reshape(count, side * side, channels)
    for step in range(rounds):
        sources = glass_sources(offsets[:, step], whole(delta, side))
        pixels = np.take_along_axis(pixels, sources[:, :, None], axis=1)
    return gaussian(from_levels(pixels.reshape(images.shape)), sigma)


def motion_kernel(radius: float, sigma: float, side: int) -> Floats:
    """Return one-sided weights exp(−i² / 2σ²), i = 0 … 2 · radius, above float32 precision."""
    steps = np.arange(2 * whole(radius, side) + 1)
    weights = np.exp(-(steps**2) / (2 * scaled(sigma, side) ** 2))
    weights = weights[weights > 1e-9]
    kernel: Floats = (weights / weights.sum()).astype(np.float32)
    return kernel


def motion(images: Floats, weights: Floats, degrees: NDArray[np.float64]) -> Floats:
    """Average each image along a ray at an individual angle, with repeated edges."""
    side, reach = images.shape[1], len(weights) - 1
    padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="edge")
    angles = np.radians(degrees)[:, None] * np.ones(len(weights))
    steps = np.arange(len(weights))
    columns = np.ceil(steps * np.cos(angles) - 0.5).astype(int) + reach
    rows = np.ceil(steps * np.sin(angles) - 0.5).astype(int) + reach
    total = np.zeros_like(images)
    for index, image in enumerate(padded):
        for weight, row, column in zip(weights, rows[index], columns[index], strict=True):
            total[index] += weight * image[row : row + side, column : column + side]
    return total


def draw_angle(random: np.random.Generator, image: Floats, constants: object) -> Draws:
    """Draw an angle between −45° and 45°."""
    return (np.asarray(random.uniform(-45, 45)),)


def motion_blur(
    images: Floats, constants: tuple[float, float], degrees: NDArray[np.float64]
) -> Floats:
    """Blur along a line within 45° of the rows."""
    return motion(images, motion_kernel(*constants, images.shape[1]), degrees)


def zoom_blur(images: Floats, zooms: int) -> Floats:
    """Average the image and `zooms` centre zooms by 1, 1.01, ….

    The factors are rounded as in the original's `np.arange(1, 1.26, 0.01)`, whose 1.25 is slightly
    larger, so that 26 pixels are enlarged to 33 and not to 32.
    """
    side = images.shape[1]
    factors = tuple(1 + step * (1.01 - 1) for step in range(zooms))
    return apply_zoom(zoom_operator(side, side, factors, True), images)


BLUR = {
    "gaussian_blur": Definition((0.4, 0.6, 0.7, 0.8, 1), gaussian_blur),
    "defocus_blur": Definition(
        ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)), defocus_blur
    ),
    "glass_blur": Definition(
        ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
        glass_blur,
        draw_offsets,
    ),
    "motion_blur": Definition(
        ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)), motion_blur, draw_angle
    ),
    "zoom_blur": Definition((7, 12, 16, 21, 26), zoom_blur),
}


def zoom_axis(inside: int, side: int, factor: float) -> NDArray[np.float64]:
    """Return the weights (side, inside) of a linear zoom of `inside` samples to `side` pixels.

    The central ⌈inside / factor⌉ samples are interpolated to `factor` times as many pixels (times
    side / inside) with aligned end points; the excess is trimmed at both ends.
    """
    cut = math.ceil(inside / factor)
    enlarged = max(side, round(cut * factor * side / inside))
    first, trim = (inside - cut) // 2, (enlarged - side) // 2
    where = (np.arange(side) + trim) * (cut - 1) / max(1, enlarged - 1)
    below = np.minimum(where.astype(np.int64), max(0, cut - 2))
    weights = np.zeros((side, inside))
    rows = np.arange(side)
    weights[rows, first + below] += 1 - (where - below)
    weights[rows, first + np.minimum(below + 1, cut - 1)] += where - below
    return weights


@functools.lru_cache(maxsize=4)
def zoom_operator(inside: int, side: int, factors: tuple[float, ...], keep: bool) -> Any:
    """Return the mean of zooms as a sparse matrix (side², inside²); `keep` adds the identity."""
    total = sparse.csr_matrix((side * side, inside * inside))
    if keep:
        total = total + sparse.identity(side * side, format="csr")
    for factor in factors:
        axis = sparse.csr_matrix(zoom_axis(inside, side, factor))
        total = total + sparse.kron(axis, axis, format="csr")
    return (total / (len(factors) + keep)).astype(np.float32)


def apply_zoom(operator: Any, images: Floats) -> Floats:
    """Apply a zoom to images (n, inside, inside, channels) → (n, side, side, channels)."""
    count, inside, _, channels = images.shape
    side = math.isqrt(operator.shape[0])
    columns = images.reshape(count, inside * inside, channels).transpose(1, 0, 2)
    mixed = operator @ columns.reshape(inside * inside, count * channels)
    pixels = mixed.reshape(side, side, count, channels).transpose(2, 0, 1, 3)
    return np.ascontiguousarray(pixels, dtype=np.float32)
