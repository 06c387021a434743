"""Frost on a window, made up: feathery crystals that grow over patches of rime."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sdd_eval.data.corruption.definition import SIDE, Floats

#: Different windows, and how many times an image's side each one measures.
WINDOWS, ACROSS = 5, 5

_RIME = np.array([0.90, 0.95, 1.00])
_GLASS = np.array([0.12, 0.17, 0.24])


@functools.lru_cache(maxsize=2)
def windows(side: int) -> tuple[Floats, ...]:
    """The frosted windows (5 · side, 5 · side, 3) in [0, 1] for images of a side."""
    return tuple(_window(number, side) for number in range(WINDOWS))


def _window(number: int, side: int) -> Floats:
    """One window, the same on every machine."""
    random = np.random.default_rng((20190329, number))
    size, scale = ACROSS * side, side / SIDE
    patches = _cloud(random, size, roughness=1.5)
    grain = _cloud(random, size, roughness=0.9)
    needles = _feathers(random, size, scale, count=260 + 60 * number, longest=24)
    fans = _feathers(random, size, 2 * scale, count=30 + 6 * number, longest=40)
    cover = np.clip(1.5 * patches - 0.45, 0, 1) * (0.25 + 0.75 * grain)
    crystals = 1 - (1 - needles) * (1 - fans)
    shine = 1 - (1 - cover) * (1 - crystals * (0.35 + 0.65 * patches))
    window: Floats = (_GLASS + (_RIME - _GLASS) * shine[..., None]).astype(np.float32)
    return window


def _cloud(random: np.random.Generator, size: int, roughness: float) -> NDArray[np.float64]:
    """Fractal noise on a torus in [0, 1]: a spectrum that falls as frequency ** −roughness.

    Its coarse waves are drawn first, so that windows of every size show the same clouds.
    """
    waves = ACROSS * SIDE // 2
    spectrum = random.standard_normal((2 * waves, waves)) + 1j * random.standard_normal(
        (2 * waves, waves)
    )
    rows = np.fft.fftfreq(2 * waves, 1 / (2 * waves))
    frequency = np.hypot(rows[:, None], np.arange(waves))
    spectrum *= np.where(frequency > 0, 1 / np.maximum(frequency, 1) ** roughness, 0)
    kept = min(waves, size // 2)
    full = np.zeros((size, size // 2 + 1), dtype=complex)
    full[:kept, :kept] = spectrum[:kept, :kept]
    full[-kept:, :kept] = spectrum[-kept:, :kept]
    field = np.fft.irfft2(full, s=(size, size))
    low, high = np.quantile(field, (0.02, 0.98))
    cloud: NDArray[np.float64] = np.clip((field - low) / (high - low), 0, 1)
    return cloud


def _feathers(
    random: np.random.Generator, size: int, scale: float, count: int, longest: float
) -> NDArray[np.float64]:
    """How bright the crystals shine, in [0, 1): light gathered along their branches."""
    light = np.zeros(size * size)
    for _ in range(count):
        root, angle = random.uniform(0, size, 2), random.uniform(0, 2 * np.pi)
        length, bend = random.uniform(6, longest) * scale, random.normal(0, 0.5)
        points, glow = _feather(root, angle, length, bend, scale)
        cells = np.floor(points).astype(np.int64) % size
        light += np.bincount(cells[:, 0] * size + cells[:, 1], glow, minlength=size * size)
    # Points lie two to a pixel along a branch, whose width grows with the image.
    spread = ndimage.gaussian_filter(light.reshape(size, size) * scale, 0.45 * scale, mode="wrap")
    shine: NDArray[np.float64] = 1 - np.exp(-0.7 * spread)
    return shine


def _feather(
    root: NDArray[np.float64], angle: float, length: float, bend: float, scale: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points (m, 2) along a bent stem and its branches at ±60°, and how each glows."""
    along = np.arange(0, length, 0.5)
    turn = angle + bend * along / length
    heading = np.stack([np.sin(turn), np.cos(turn)], axis=1)
    stem = root + np.cumsum(heading, axis=0) * 0.5
    parts, glows = [stem], [1 - 0.6 * along / length]
    every = max(1, round(2 * 1.8 * scale))
    for side in (-1, 1):
        for knot in range(every, len(stem), every):
            reach = 0.38 * (length - along[knot]) * min(1.0, 4 * along[knot] / length)
            out = np.arange(0.5, max(reach, 0.6), 0.5)
            lean = turn[knot] + side * np.pi / 3
            parts.append(stem[knot] + out[:, None] * np.array([np.sin(lean), np.cos(lean)]))
            glows.append(0.8 * (1 - out / max(reach, 0.6)))
    return np.concatenate(parts), np.concatenate(glows)
