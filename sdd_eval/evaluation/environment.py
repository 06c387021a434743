"""On what, and with which versions, numbers are computed: for the record."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
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


@functools.cache
def machine() -> str:
    """The system, its processor by name where it is known, and how many cores it has.

    >>> machine().split()[0] == platform.system()
    True
    """
    parts = [f"{platform.system()} {platform.machine()}", _processor()]
    return ", ".join([*filter(None, parts), f"{os.cpu_count()} cores"])


def _processor() -> str:
    """The processor's name: Linux tells it in a file, other systems by a call."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor()


def device_and_threads(device: str) -> dict[str, Any]:
    """The device by its own name, and the threads: rounding differs between them."""
    import torch

    on_gpu = device.startswith("cuda")
    return {
        "device": torch.cuda.get_device_name(device) if on_gpu else device,
        "threads": torch.get_num_threads(),
    }
