"""MATLAB files and pickles of arrays, read without executing code from them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sdd_eval.data.files import reading
from sdd_eval.errors import InputError


def read_matlab(path: Path, *names: str) -> dict[str, NDArray[Any]]:
    """Read only these variables of a MATLAB file; raise InputError if one is missing."""
    from scipy.io import loadmat

    with reading(path, "a readable MATLAB file"):
        variables: dict[str, NDArray[Any]] = loadmat(path, variable_names=names)
    for name in names:
        if name not in variables:
            raise InputError(f"{path} has no variable {name!r}")
    return variables


def read_pickle(path: Path) -> dict[str, Any]:
    """Read a pickle of arrays, lists, text and numbers; raise InputError if it calls other code."""
    with reading(path, "a pickle of arrays"), path.open("rb") as file:
        content = _ArraysOnly(file, encoding="latin1").load()
    if not isinstance(content, dict):
        raise InputError(f"{path} is a pickled {type(content).__name__}, not a dictionary")
    return {key.decode() if isinstance(key, bytes) else str(key): content[key] for key in content}


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that only accepts what a pickled array of numbers needs."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a function or class that a pickle may call; raise UnpicklingError for others."""
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        raise pickle.UnpicklingError(f"it calls {module}.{name}, which is refused")


def _array(kind: type, shape: tuple[int, ...], typecode: bytes | str) -> NDArray[Any]:
    """Return an empty array; the pickle then sets its shape, type and content."""
    if kind is not np.ndarray or tuple(shape) != (0,):
        raise pickle.UnpicklingError("it constructs an array in an unknown way")
    empty: NDArray[Any] = np.ndarray((0,), np.uint8)
    return empty


def _buffer(
    values: bytes, kind: np.dtype[Any], shape: tuple[int, ...], order: Literal["C", "F"]
) -> NDArray[Any]:
    """Construct an array as the newest pickles do."""
    flat: NDArray[Any] = np.frombuffer(values, kind).copy()
    return flat.reshape(shape, order=order)


def _dtype(code: Any, align: object = False, copy: object = False) -> np.dtype[Any]:
    """Return a type of numbers; types with Python objects are refused."""
    dtype: np.dtype[Any] = np.dtype(code)
    if dtype.hasobject or dtype.fields:
        raise pickle.UnpicklingError(f"it has an array of type {dtype}")
    return dtype


def _encode(text: str, encoding: str) -> bytes:
    """Encode text as bytes, which older protocols pickle as text."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it encodes as {encoding}")
    return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encode,
    ("numpy.core.numeric", "_frombuffer"): _buffer,
    ("numpy._core.numeric", "_frombuffer"): _buffer,
    ("numpy.core.multiarray", "_reconstruct"): _array,
    ("numpy._core.multiarray", "_reconstruct"): _array,
}
