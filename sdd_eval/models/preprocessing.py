"""The preprocessing of images that a library's published network was trained with."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import msgspec

from sdd_eval.provenance import Resizing

#: Crop after resizing, as this package does it; timm has others.
CENTRE = "center"


@dataclass(frozen=True)
class Preprocessing:
    """Standardisation of pixels in [0, 1], the side of images in pixels, and their resizing."""

    origin: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_size: int
    resized: Resizing
    """How image files are resized to that side."""
    crop: str = CENTRE

    def resizing(self, image_size: int) -> Resizing:
        """Return the resizing of files to any side, in the same proportion as the network's own."""
        short_side = round(image_size * self.resized.short_side / self.image_size)
        return Resizing(short_side, self.resized.interpolation)

    def difference(self, image_size: int, files: bool = True) -> str:
        """Return how images of a side differ from the network's own; empty if they do not.

        Images from `files` are resized like the network's.
        """
        differences = []
        if image_size != self.image_size:
            differences.append(f"images of {self.image_size} pixels, not {image_size}")
        if self.crop != CENTRE:
            differences.append(f"the crop {self.crop!r}, not one of the centre")
        if image_size == self.image_size and not files:
            differences.append(f"files resized with {self.resized}, not a fixed size")
        return ", and ".join(differences)


def library_preprocessing(arch: str) -> Preprocessing | None:
    """Return the preprocessing of `torchvision:NAME` or `timm:NAME`, None of any other network.

    It comes from timm's `pretrained_cfg`, or the transforms of torchvision's default weights.
    """
    library, _, name = arch.partition(":")
    reader = {"timm": _of_timm, "torchvision": _of_torchvision}.get(library)
    # Unknown names are refused elsewhere, and some networks have no such configuration.
    errors = (ImportError, LookupError, RuntimeError, TypeError, ValueError, AttributeError)
    with contextlib.suppress(*errors):
        return reader(name) if reader else None
    return None


def _of_timm(name: str) -> Preprocessing:
    import timm

    config: Any = timm.get_pretrained_cfg(name)
    side = int(config.input_size[-1])
    return Preprocessing(
        f"timm's configuration of {name}",
        tuple(map(float, config.mean)),
        tuple(map(float, config.std)),
        side,
        _resizing(int(side / config.crop_pct), str(config.interpolation)),
        str(config.crop_mode),
    )


def _of_torchvision(name: str) -> Preprocessing:
    import torchvision.models

    weights: Any = torchvision.models.get_model_weights(name).DEFAULT
    transforms = weights.transforms()
    return Preprocessing(
        f"torchvision's transforms of {weights}",
        tuple(map(float, transforms.mean)),
        tuple(map(float, transforms.std)),
        int(transforms.crop_size[0]),
        _resizing(int(transforms.resize_size[0]), str(transforms.interpolation.value)),
    )


def _resizing(short_side: int, interpolation: str) -> Resizing:
    """Return a resizing; raise ValueError for an interpolation that Pillow does not have."""
    values = {"short_side": short_side, "interpolation": interpolation}
    return msgspec.convert(values, Resizing)
