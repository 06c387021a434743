"""MATLAB files, as SVHN and Stanford Dogs are published."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sdd_eval.errors import InputError


def read_matlab(path: Path, *names: str) -> dict[str, NDArray[Any]]:
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


def read_pickle(path: Path) -> dict[str, Any]:
    """A pickled dictionary of arrays, lists, strings and numbers; its keys become strings.

    Raises:
        InputError: the file is not such a pickle, or asks for anything else to be called.
    """
    try:
        with path.open("rb") as file:
            found = _ArraysOnly(file, encoding="latin1").load()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # a broken pickle may raise anything
        raise InputError(f"{path} is not a pickle of arrays: {error}") from error
    if not isinstance(found, dict):
        raise InputError(f"{path} holds a {type(found).__name__}, not a dictionary")
    return {key.decode() if isinstance(key, bytes) else str(key): found[key] for key in found}


class _ArraysOnly(pickle.Unpickler):
    """Only the names that a pickled array of numbers needs are known."""

    def find_class(self, module: str, name: str) -> Any:
        """What a pickle may call.

        Raises:
            UnpicklingError: anything else.
        """
        if (module, name) in _ADMITTED:
            return _ADMITTED[module, name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is refused")


def _array(kind: type, shape: tuple[int, ...], typecode: bytes | str) -> NDArray[Any]:
    """An empty array for the pickle to fill; the shape and the type come with the filling."""
    if kind is not np.ndarray or tuple(shape) != (0,):
        raise pickle.UnpicklingError("it builds an array in an unknown way")
    empty: NDArray[Any] = np.ndarray((0,), np.uint8)
    return empty


def _buffer(
    values: bytes, kind: np.dtype[Any], shape: tuple[int, ...], order: Literal["C", "F"]
) -> NDArray[Any]:
    """How the newest pickles build an array."""
    flat: NDArray[Any] = np.frombuffer(values, kind).copy()
    return flat.reshape(shape, order=order)


def _dtype(code: Any, align: object = False, copy: object = False) -> np.dtype[Any]:
    """A type of numbers; none that holds Python objects."""
    found: np.dtype[Any] = np.dtype(code)
    if found.hasobject or found.fields:
        raise pickle.UnpicklingError(f"it holds an array of type {found}")
    return found


def _encode(text: str, encoding: str) -> bytes:
    """How newer Pythons pickle bytes in the older protocols."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it encodes as {encoding}")
    return text.encode("latin1")


_ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encode,
    ("numpy.core.numeric", "_frombuffer"): _buffer,
    ("numpy._core.numeric", "_frombuffer"): _buffer,
    ("numpy.core.multiarray", "_reconstruct"): _array,
    ("numpy._core.multiarray", "_reconstruct"): _array,
}
