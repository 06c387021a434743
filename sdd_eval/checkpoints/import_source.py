"""What is known of a network whose weights are imported; importing this loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class ImportSource:
    """Which network, and how its images are preprocessed."""

    arch: str = ""
    """A built-in name, torchvision:NAME, timm:NAME, or file.py:factory, which is run."""
    weights: Path = Path()
    """A safetensors or torch.save file; pickled code in it is not run."""
    dataset: str | None = None
    """The data set whose classes it predicts; sets the options below that are not given."""
    mean: tuple[float, ...] | None = None
    """Mean of each channel, for pixels in [0, 1]; 0 0 0 if the network standardises by itself."""
    std: tuple[float, ...] | None = None
    """Standard deviation of each channel."""
    classes: int | None = None
    """Number of classes; needed without --dataset."""
    image_size: int | None = None
    """Side of the images in pixels; needed without --dataset, or if it has images of any size."""
    class_order: Literal["text", "numeric"] = "text"
    """Order of the network's classes if class folders are numbers: 0 1 10 2 (as in torchvision) or
    0 1 2 10."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Options of the architecture as NAME VALUE pairs, e.g. padding both."""
