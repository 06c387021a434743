"""Weights of other people's: safetensors, or a pickle of tensors, and what it nests.

No pickle runs code here: torch reads it with `weights_only=True` or not at all.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from sdd_eval.errors import InputError

#: Under which keys a saved training keeps the network, in the order in which they are tried.
NESTS = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "weights",
    "params",
)

#: What a pickle of tensors is made of.
_TENSORS = re.compile(
    r"collections\.OrderedDict"
    r"|torch\.(\w+Storage|Size|device|u?int\d+|b?float\d*|double|half|bool|storage\.\w*Storage)"
    r"|torch\._utils\._rebuild_\w+|torch\._tensor\._rebuild\w+|torch\.nn\.parameter\.Parameter"
)


#: How files begin that are taken for weights, and what they are.
SIGNS = {
    b"version https://git-lfs": "it is a pointer of Git LFS; `git lfs pull` fetches the file",
    b"<": "it is a page of HTML or XML, as a download that failed leaves",
    b"{": "it is JSON",
    b"\x89HDF": "it is HDF5, as Keras writes",
    b"\x93NUMPY": "it is an array of NumPy",
    b"\x1f\x8b": "it is packed by gzip; unpack it first",
    b"BZh": "it is packed by bzip2; unpack it first",
}


@dataclass(frozen=True)
class Weights:
    """Tensors by name, as the file has them, and the keys below which they lay."""

    tensors: Mapping[str, Tensor]
    below: tuple[str, ...] = ()


def read_weights(path: Path) -> Weights:
    """The tensors of a network in a file of somebody else's.

    Raises:
        InputError: the file cannot be read, wants to run code, or holds no network's tensors.
    """
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    if start[8:] == b"{":  # a length of 8 bytes, then JSON
        return Weights(_safetensors(path))
    content = _unpickled(path)
    return _unnested(content, path, ())


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return dict(safetensors.torch.load_file(path))
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(f"{path} is no whole safetensors file: {error}") from error


def _unpickled(path: Path) -> Any:
    """What torch reads of a file without running anything."""
    try:
        with warnings.catch_warnings():  # of a pickle's protocol, which is read or refused
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken file may raise anything
        wanted = _wanted(path)
        if wanted:
            raise InputError(
                f"{path} is refused: it wants to run {', '.join(wanted)}; only tensors are read. "
                "Where it was made, save them alone: torch.save(model.state_dict(), FILE)"
            ) from error
        raise InputError(
            f"{path} is neither safetensors nor a whole file of torch.save: {_cause(path, error)}"
        ) from error


def _cause(path: Path, error: Exception) -> str:
    """What a file seems to be, else what is wrong with it.

    Of torch's words only those of its own readers are kept: a broken pickle has it advise to read
    the file with all its code.
    """
    with path.open("rb") as file:
        start = file.read(512)
    for sign, what in SIGNS.items():
        if start.lstrip().startswith(sign):
            return what
    if not start.strip():
        return "it is empty"
    if start[257:262] == b"ustar":
        return "it is a tar archive; unpack it first"
    said = str(error).split("\n")[0].split(". ")[0]
    if isinstance(error, RuntimeError) and "weights_only" not in said:
        return f"it is damaged or cut short ({said})"
    return "it ends too soon" if isinstance(error, EOFError) else "it is no pickle of tensors"


def _unnested(content: Any, path: Path, below: tuple[str, ...]) -> Weights:
    """The mapping of tensors inside of mappings."""
    if not isinstance(content, Mapping):
        where = f", below {'.'.join(below)}," if below else ""
        raise InputError(f"{path} holds{where} a {type(content).__name__}, not tensors by name")
    for key in NESTS:
        if isinstance(content.get(key), Mapping):
            return _unnested(content[key], path, (*below, key))
    tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        keys = ", ".join(map(str, content)) or "nothing"
        raise InputError(
            f"{path} has no network's tensors under {', '.join(NESTS)}; it holds {keys}"
        )
    return Weights(tensors, below)


def _wanted(path: Path) -> list[str]:
    """What a pickle would call besides what tensors are made of; nothing of it is called."""
    names: dict[str, None] = {}
    # A broken pickle may raise anything; what it named until then is known.
    with _pickle_of(path) as file, contextlib.suppress(Exception):
        for _ in range(4):  # torch's old files begin with three small pickles
            _Recorder(file, names).load()
    return [name for name in names if not _TENSORS.fullmatch(name)]


def _pickle_of(path: Path) -> io.BufferedIOBase:
    """The pickle in a file: in an archive of torch.save it is `data.pkl`."""
    try:
        with zipfile.ZipFile(path) as archive:
            inner = [name for name in archive.namelist() if name.endswith("data.pkl")]
            return io.BytesIO(archive.read(inner[0]) if inner else b"")
    except zipfile.BadZipFile:
        return path.open("rb")


class _Recorder(pickle.Unpickler):
    """Reads a pickle in which everything that could be called is replaced by what does nothing."""

    def __init__(self, file: io.BufferedIOBase, names: dict[str, None]) -> None:
        super().__init__(file, encoding="latin1")
        self.names = names

    def find_class(self, module: str, name: str) -> Any:
        """Note what is asked for; give what does nothing instead."""
        self.names[f"{module}.{name}"] = None
        return OrderedDict if (module, name) == ("collections", "OrderedDict") else _Inert

    def persistent_load(self, pid: Any) -> Any:
        """A tensor's storage, which is not read."""
        return _Inert()


class _Inert:
    """Takes everything that a pickle may do to an object, and does nothing."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def __call__(self, *arguments: Any) -> _Inert:
        return self

    def append(self, value: Any) -> None:
        """Nothing."""

    def extend(self, values: Any) -> None:
        """Nothing."""
