"""On what, and with which versions, numbers are computed: for the record."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

#: Whose versions a run records.
PACKAGES = ("sdd-eval", "torch", "torchvision", "torchattacks", "numpy", "scipy", "scikit-learn")


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that decide numbers."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def device_and_threads(device: str) -> dict[str, Any]:
    """The device by its own name, and the threads: rounding differs between them."""
    import torch

    on_gpu = device.startswith("cuda")
    return {
        "device": torch.cuda.get_device_name(device) if on_gpu else device,
        "threads": torch.get_num_threads(),
    }
