"""Brightness, saturation, contrast, pixelation and JPEG."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sdd_eval.data.corruption.definition import Definition, Floats, from_levels, truncated


def brightness(images: Floats, more: float) -> Floats:
    """Raise the HSV value; hue and saturation, hence channel ratios, are unchanged."""
    value = images.max(axis=3, keepdims=True)
    raised = np.minimum(value + more, 1)
    brighter: Floats = np.where(
        value > 0, images * (raised / np.where(value > 0, value, 1)), raised
    )
    return brighter


def saturate(images: Floats, constants: tuple[float, float]) -> Floats:
    """Multiply and raise the HSV saturation; grey has the hue of red."""
    times, plus = constants
    value = images.max(axis=3, keepdims=True)
    depth = value - images
    span = depth.max(axis=3, keepdims=True)
    saturation = span / np.where(value > 0, value, 1)
    changed = np.clip(saturation * times + plus, 0, 1)
    towards_red = np.array([0, 1, 1], dtype=np.float32)
    unit = np.where(span > 0, depth / np.where(span > 0, span, 1), towards_red)
    coloured: Floats = value - unit * changed * value
    return coloured


def contrast(images: Floats, factor: float) -> Floats:
    """Scale the deviation of every channel from its mean over the image."""
    # Summed as integers, so that the mean does not depend on the order of the sum.
    levels = np.rint(images * 255).astype(np.int64)
    side = images.shape[1]
    total = levels.sum(axis=(1, 2), keepdims=True)
    mean: Floats = (total / (255 * side * side)).astype(np.float32)
    return (images - mean) * factor + mean


def _with_pillow(images: Floats, change: Callable[[Image.Image], Image.Image]) -> Floats:
    pixels = truncated(images)
    grey = pixels.shape[3] == 1
    changed = [np.asarray(change(Image.fromarray(p[..., 0] if grey else p))) for p in pixels]
    stacked: NDArray[np.uint8] = np.stack(changed).reshape(pixels.shape)
    return from_levels(stacked)


def pixelate(images: Floats, share: float) -> Floats:
    """Downsample to a share of the side and upsample again, with a box filter."""
    side = images.shape[1]
    small = max(1, int(side * share))
    box = Image.Resampling.BOX
    return _with_pillow(
        images, lambda image: image.resize((small, small), box).resize((side, side), box)
    )


def _jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def jpeg_compression(images: Floats, quality: int) -> Floats:
    """Compress images as JPEG at the given quality."""
    return _with_pillow(images, lambda image: _jpeg(image, quality))


DIGITAL = {
    "brightness": Definition((0.05, 0.1, 0.15, 0.2, 0.3), brightness),
    "saturate": Definition(
        ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)), saturate, colour=True
    ),
    "contrast": Definition((0.75, 0.5, 0.4, 0.3, 0.15), contrast),
    "pixelate": Definition((0.95, 0.9, 0.85, 0.75, 0.65), pixelate),
    "jpeg_compression": Definition((80, 65, 58, 50, 40), jpeg_compression, colour=True),
}
