"""The preprocessing of images that a library's published network was trained with."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

#: Interpolation with which images of any size are resized here (`sdd_eval.data.image_folder`).
INTERPOLATION = "bilinear"


@dataclass(frozen=True)
class Preprocessing:
    """Standardisation of pixels in [0, 1], and the side of images in pixels."""

    origin: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_size: int
    interpolation: str

    def difference(self, image_size: int) -> str:
        """Return how images of a side here differ from the network's; empty if they do not."""
        differences = []
        if image_size != self.image_size:
            differences.append(f"images of {self.image_size} pixels, not {image_size}")
        if self.interpolation != INTERPOLATION:
            differences.append(f"{self.interpolation} interpolation, not {INTERPOLATION}")
        return ", and ".join(differences)


def library_preprocessing(arch: str) -> Preprocessing | None:
    """Return the preprocessing of `torchvision:NAME` or `timm:NAME`, None of any other network.

    It is that of timm's `pretrained_cfg`, or of the transforms of torchvision's default weights.
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
    return Preprocessing(
        f"timm's configuration of {name}",
        tuple(map(float, config.mean)),
        tuple(map(float, config.std)),
        int(config.input_size[-1]),
        str(config.interpolation),
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
        str(transforms.interpolation.value),
    )
