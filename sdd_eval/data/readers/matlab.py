"""MATLAB files, as SVHN and Stanford Dogs are published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from sdd_eval.errors import InputError


def variables(path: Path, *names: str) -> dict[str, NDArray[Any]]:
    """Some variables of a MATLAB file; the others are skipped unread.

    Raises:
        InputError: the file cannot be read, or lacks one.
    """
    from scipy.io import loadmat

    try:
        found: dict[str, NDArray[Any]] = loadmat(path, variable_names=names)
    except Exception as error:  # a broken file may raise anything
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path} is not a MATLAB file that can be read: {cause}") from error
    for name in names:
        if name not in found:
            raise InputError(f"{path} holds no {name!r}")
    return found
