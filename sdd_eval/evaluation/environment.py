"""The software and hardware of a run, for its provenance."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

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
