"""Versions, machine and device of a run, for its provenance."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdd_eval.evaluation.request import Request

#: Packages whose versions are recorded.
PACKAGES = ("sdd-eval", "torch", "torchvision", "torchattacks", "numpy", "scipy", "scikit-learn")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that numbers depend on."""
    installed = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            continue
    return installed


@functools.cache
def machine() -> str:
    """Return the operating system, the processor's name if known, and the number of cores.

    >>> machine().split()[0] == platform.system()
    True
    """
    parts = [f"{platform.system()} {platform.machine()}", _processor()]
    return ", ".join([*filter(None, parts), f"{os.cpu_count()} cores"])


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor()


def conditions(request: Request, seconds: float) -> dict[str, Any]:
    """Return the software, the device, the options and the time of an evaluation."""
    return {
        "versions": versions(),
        "machine": machine(),
        **device_and_threads(request.device),
        "batch_size": request.batch_size,
        "seed": request.seed,
        "seconds": round(seconds, 3),
        "command": request.command or None,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def device_and_threads(device: str) -> dict[str, Any]:
    """Return the name of the device and the number of threads, which rounding depends on."""
    import torch

    on_gpu = device.startswith("cuda")
    return {
        "device": torch.cuda.get_device_name(device) if on_gpu else device,
        "threads": torch.get_num_threads(),
    }
