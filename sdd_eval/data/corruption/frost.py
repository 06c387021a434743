"""Frost: blend the image with a random crop of a frosted window, synthetic or photographed."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sdd_eval.data.corruption.definition import SIDE, Definition, Draws, Floats, from_levels
from sdd_eval.data.image_folder import image_files, read_image
from sdd_eval.errors import InputError, file_errors

#: Number of windows, and their side relative to the image's.
WINDOWS, ACROSS = 5, 5
#: How much single crystals vary in brightness, relative to the patches.
GRAIN = 0.75

#: Mean colour and standard deviation of each window: about those of the published photographs, so
#: that synthetic frost changes pixels as much as they do.
_LIGHT = (
    ((0.30, 0.57, 0.64), 0.08),
    ((0.77, 0.79, 0.82), 0.085),
    ((0.77, 0.79, 0.82), 0.085),
    ((0.53, 0.59, 0.64), 0.115),
    ((0.43, 0.47, 0.52), 0.165),
)


@functools.lru_cache(maxsize=2)
def synthetic_windows(side: int) -> tuple[Floats, ...]:
    """Return the frosted windows (5 · side, 5 · side, 3) in [0, 1] for images of this side."""
    return tuple(_window(number, side) for number in range(WINDOWS))


def _window(number: int, side: int) -> Floats:
    """Render one window: feathery, grainy crystals on patches of rime; the same everywhere."""
    random = np.random.default_rng((20190329, number))
    size, scale = ACROSS * side, side / SIDE
    patches = _cloud(random, size, roughness=1.5)
    grain = _cloud(random, size, roughness=0.9)
    needles = _feathers(random, size, scale, count=260 + 60 * number, longest=24)
    fans = _feathers(random, size, 2 * scale, count=30 + 6 * number, longest=40)
    cover = np.clip(1.5 * patches - 0.45, 0, 1) * (0.25 + 0.75 * grain)
    crystals = 1 - (1 - needles) * (1 - fans)
    shine = 1 - (1 - cover) * (1 - crystals * (0.35 + 0.65 * patches))
    pattern = shine + GRAIN * _cloud(random, size, roughness=0.2)
    colour, spread = _LIGHT[number]
    relief = spread * (pattern - pattern.mean()) / pattern.std()
    window: Floats = np.clip(np.array(colour) + relief[..., None], 0, 1).astype(np.float32)
    return window


def _cloud(random: np.random.Generator, size: int, roughness: float) -> NDArray[np.float64]:
    """Return periodic fractal noise in [0, 1]: a spectrum that falls as frequency ** −roughness.

    The coarse waves are drawn first, so that windows of every size show the same clouds.
    """
    waves = ACROSS * SIDE // 2
    spectrum = random.standard_normal((2 * waves, waves)) + 1j * random.standard_normal(
        (2 * waves, waves)
    )
    rows = np.fft.fftfreq(2 * waves, 1 / (2 * waves))
    frequency = np.hypot(rows[:, None], np.arange(waves))
    spectrum *= np.where(frequency > 0, 1 / np.maximum(frequency, 1) ** roughness, 0)
    low_waves = min(waves, size // 2)
    full = np.zeros((size, size // 2 + 1), dtype=complex)
    full[:low_waves, :low_waves] = spectrum[:low_waves, :low_waves]
    full[-low_waves:, :low_waves] = spectrum[-low_waves:, :low_waves]
    field = np.fft.irfft2(full, s=(size, size))
    low, high = np.quantile(field, (0.02, 0.98))
    cloud: NDArray[np.float64] = np.clip((field - low) / (high - low), 0, 1)
    return cloud


def _feathers(
    random: np.random.Generator, size: int, scale: float, count: int, longest: float
) -> NDArray[np.float64]:
    """Return the brightness of crystals in [0, 1): light accumulated along their branches."""
    light = np.zeros(size * size)
    for _ in range(count):
        root, angle = random.uniform(0, size, 2), random.uniform(0, 2 * np.pi)
        length, bend = random.uniform(6, longest) * scale, random.normal(0, 0.5)
        points, glow = _feather(root, angle, length, bend, scale)
        cells = np.floor(points).astype(np.int64) % size
        light += np.bincount(cells[:, 0] * size + cells[:, 1], glow, minlength=size * size)
    # There are two points per pixel along a branch, whose width scales with the image.
    spread = ndimage.gaussian_filter(light.reshape(size, size) * scale, 0.45 * scale, mode="wrap")
    shine: NDArray[np.float64] = 1 - np.exp(-0.7 * spread)
    return shine


def _feather(
    root: NDArray[np.float64], angle: float, length: float, bend: float, scale: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return points (m, 2) on a bent stem and its branches at ±60°, and their brightness (m,)."""
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


#: The published photographs; the original draws from the first five only.
PUBLISHED = (*("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg", "frost6.jpg"),)
USED = 5
#: Scale of the photographs for images of 32 pixels.
PHOTO_SCALE = 0.2


@dataclass(frozen=True)
class Photograph:
    """A photograph of frost: its name in errors, and its pixels, uint8 (height, width, 3)."""

    name: str
    pixels: NDArray[np.uint8]


#: A photograph: a file, a folder of files, an array uint8 (height, width, 3), or one already read.
Photo = Path | str | NDArray[np.uint8] | Photograph


def read_photographs(photos: Sequence[Photo] | None, side: int) -> tuple[Photograph, ...] | None:
    """Read photographs of frost; None for synthetic frost.

    Of the six published photographs the first five are used, in their order, as in the original.
    Raise InputError if the list or a folder is empty, or a file is not an image or too small.
    """
    if photos is None:
        return None
    if not photos:
        raise InputError("the list of photographs of frost is empty; omit it for synthetic frost")
    with file_errors("read"):
        used = enumerate(_used(list(_expand(photos))), 1)
    read = tuple(_photograph(photo, number) for number, photo in used)
    for photo in read:
        if min(_scaled_shape(photo, side)) < side:
            height, width = photo.pixels.shape[:2]
            size, least = f"{width} × {height}", f"{SIDE / PHOTO_SCALE:.0f}"
            raise InputError(f"{photo.name} is {size} pixels; frost needs {least} × {least}")
    return read


def photographs_digest(photos: tuple[Photograph, ...] | None) -> str:
    """Return the sha256 of the photographs' content, or "synthetic"."""
    if photos is None:
        return "synthetic"
    digest = hashlib.sha256()
    for photo in photos:
        digest.update(repr(photo.pixels.shape).encode())
        digest.update(np.ascontiguousarray(photo.pixels).tobytes())
    return digest.hexdigest()


def _expand(photos: Sequence[Photo]) -> Iterator[Photo]:
    for photo in photos:
        if not isinstance(photo, (Path, str)) or not Path(photo).is_dir():
            yield photo
            continue
        files = image_files(Path(photo))
        if not files:
            raise InputError(f"{photo} contains no photographs of frost")
        yield from (Path(photo, file) for file in files)


def _used(photos: Sequence[Photo]) -> Sequence[Photo]:
    """Return the first five published photographs in order if all six are given, else all."""
    by_name = {Path(photo).name: photo for photo in photos if isinstance(photo, (Path, str))}
    if len(photos) == len(PUBLISHED) and set(by_name) == set(PUBLISHED):
        return [by_name[name] for name in PUBLISHED[:USED]]
    return photos


def _photograph(photo: Photo, number: int) -> Photograph:
    if isinstance(photo, Photograph):
        return photo
    if isinstance(photo, np.ndarray):
        name = f"photograph {number} of frost"
        if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8:
            raise InputError(f"{name} is {photo.dtype} {photo.shape}, not uint8 (rows, columns, 3)")
        return Photograph(name, photo)
    return Photograph(str(photo), np.asarray(read_image(Path(photo), 3)))


def _scaled_shape(photo: Photograph, side: int) -> tuple[int, int]:
    """Return the rows and columns of a photograph scaled by 0.2 · side / 32."""
    height, width = photo.pixels.shape[:2]
    scale = PHOTO_SCALE * side / SIDE
    return round(height * scale), round(width * scale)


def window_of(photo: Photograph, side: int) -> Floats:
    """Return a photograph resized for images of this side; bilinear, without antialiasing."""
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


def frost(images: Floats, constants: tuple[float, float], crop: Floats) -> Floats:
    """Return the weighted sum of the image and the window crop."""
    image_weight, frost_weight = constants
    return image_weight * images + frost_weight * crop


def frost_definition(photos: tuple[Photograph, ...] | None, side: int) -> Definition:
    """Return the definition of frost for images of this side; synthetic without photographs."""
    panes = (
        synthetic_windows(side)
        if photos is None
        else tuple(window_of(photo, side) for photo in photos)
    )

    def draw_crop(random: np.random.Generator, image: Floats, constants: object) -> Draws:
        pane = panes[random.integers(len(panes))]
        top = random.integers(pane.shape[0] - side + 1)
        left = random.integers(pane.shape[1] - side + 1)
        return (pane[top : top + side, left : left + side],)

    return Definition(
        ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)), frost, draw_crop, colour=True
    )
