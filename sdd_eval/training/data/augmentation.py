"""Random crops, flips and further augmentation, of batches on a device or images in a worker."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sdd_eval.records import Recipe


def augment_image(image: Any, augmentation: str, side: int, seed: int) -> Tensor:
    """Augment one image to (channels, side, side) uint8, with random numbers from a seed.

    "resized_crop_flip" accepts a PIL image or a tensor of any size; the others need a tensor of the
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
    """Crop images (n, channels, side, side) for "crop"; also mirror them for "crop_flip"."""
    if augmentation in ("crop", "crop_flip"):
        images = random_crop(images, random)
    return random_flip(images, random) if augmentation == "crop_flip" else images


def augments_further(recipe: Recipe) -> bool:
    """Return whether a recipe augments images further after cropping and mirroring."""
    return recipe.auto_augment != "none" or recipe.random_erasing > 0


def augment_further(image: Tensor, recipe: Recipe, seed: int) -> Tensor:
    """Apply RandAugment or TrivialAugment and random erasing to an image (channels, side, side)."""
    with torch.random.fork_rng(devices=[]):  # torchvision draws from the global random state
        torch.default_generator.manual_seed(seed)
        operations, magnitude = recipe.augment_operations, recipe.augment_magnitude
        policy = _policy(recipe.auto_augment, operations, magnitude, recipe.random_erasing)
        augmented: Tensor = policy(image)
    return augmented


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


@functools.cache
def _policy(
    name: str, operations: int, magnitude: int, erasing: float
) -> Callable[[Tensor], Tensor]:
    from torchvision.transforms import v2

    policies = {
        "none": v2.Identity,
        "rand_augment": functools.partial(v2.RandAugment, operations, magnitude),
        "trivial_augment": v2.TrivialAugmentWide,
    }
    policy: Callable[[Tensor], Tensor]
    policy = v2.Compose([policies[name](), v2.RandomErasing(erasing)])
    return policy
