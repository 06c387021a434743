"""Random crops and flips, of whole batches on a device or of single images in a worker."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def augment_image(image: Any, augmentation: str, side: int, seed: int) -> Tensor:
    """Augment one image to (channels, side, side) uint8, with random numbers of a seed.

    "resized_crop_flip" takes an image of any size, of PIL or a tensor; the others a tensor of the
    final shape.
    """
    if augmentation == "resized_crop_flip":
        with torch.random.fork_rng(devices=[]):  # torchvision draws from the global random state
            torch.default_generator.manual_seed(seed)
            augmented: Tensor = _resized_crop_flip(side)(image)
        return augmented
    pixels: Tensor = image
    return augment_batch(pixels[None], augmentation, torch.Generator().manual_seed(seed))[0]


def augment_batch(images: Tensor, augmentation: str, random: torch.Generator) -> Tensor:
    """Crop images (n, channels, side, side) for "crop", and mirror them, too, for "crop_flip"."""
    if augmentation in ("crop", "crop_flip"):
        images = random_crop(images, random)
    return random_flip(images, random) if augmentation == "crop_flip" else images


def to_pixels(images: Tensor, channels_last: bool) -> Tensor:
    """Convert uint8 images (n, channels, side, side) to float pixels in [0, 1]."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return images.float().div_(255).contiguous(memory_format=layout)


def random_crop(images: Tensor, random: torch.Generator) -> Tensor:
    """Shift each image by up to an eighth of its side in both directions, padded with zeros."""
    side = images.shape[-1]
    padding = side // 8
    padded = torch.nn.functional.pad(images, (padding,) * 4)
    windows = padded.unfold(2, side, 1).unfold(3, side, 1)  # a view: (n, c, dy, dx, side, side)
    shape, device = (2, len(images)), images.device
    dy, dx = torch.randint(2 * padding + 1, shape, generator=random, device=device)
    return windows[torch.arange(len(images), device=device), :, dy, dx]


def random_flip(images: Tensor, random: torch.Generator) -> Tensor:
    """Mirror each image left to right with probability 0.5."""
    mirror = torch.rand(len(images), generator=random, device=images.device) < 0.5
    return torch.where(mirror[:, None, None, None], images.flip(3), images)


@functools.cache
def _resized_crop_flip(side: int) -> Callable[[Any], Tensor]:
    from torchvision.transforms import v2

    crop = v2.RandomResizedCrop(side, scale=(0.08, 1.0), antialias=True)  # bilinear
    transform: Callable[[Any], Tensor]
    transform = v2.Compose([crop, v2.RandomHorizontalFlip(), v2.PILToTensor()])
    return transform
