"""What is known about a network whose weights are imported. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class ImportSource:
    """Which network, and how its images are preprocessed."""

    arch: str = ""
    """A built-in name, torchvision:NAME, timm:NAME, or file.py:factory (with --trust-code)."""
    weights: Path = Path()
    """A safetensors or torch.save file; pickled code in it is not run."""
    weights_key: str | None = None
    """Key of the weights in the file, where it holds several networks or averages of weights, such
    as state_dict_ema; default: the first that fits and is no average."""
    dataset: str | None = None
    """The data set whose classes it predicts; sets the options below that are not given."""
    mean: tuple[float, ...] | None = None
    """Mean of each channel, for pixels in [0, 1]; 0 0 0 if the network standardises by itself.
    Default: those of the published weights of timm:NAME or torchvision:NAME, else of the images."""
    std: tuple[float, ...] | None = None
    """Standard deviation of each channel."""
    classes: int | None = None
    """Number of classes; needed without --dataset."""
    image_size: int | None = None
    """Side of the images in pixels; needed without --dataset, or if it has images of any size."""
    class_order: Literal["text", "numeric"] | None = None
    """Order of the network's classes if class folders are numbers: text is 0 1 10 2 (as in
    torchvision), numeric 0 1 2 10. Default: text, with a warning in every run."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Options of the architecture as NAME VALUE pairs, e.g. padding both."""
