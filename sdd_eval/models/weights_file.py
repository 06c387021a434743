"""Reading weights from elsewhere: safetensors, or a pickle of tensors with nested mappings.

No pickle runs code: torch reads it with `weights_only=True` or not at all.
"""

from __future__ import annotations

import contextlib
import io
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from sdd_eval.errors import InputError

#: Keys under which training checkpoints nest the network, in order of preference.
NESTED_KEYS = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "weights",
    "params",
)

#: Callables that a pickle of tensors needs.
_TENSORS = re.compile(
    r"collections\.OrderedDict"
    r"|torch\.(\w+Storage|Size|device|u?int\d+|b?float\d*|double|half|bool|storage\.\w*Storage)"
    r"|torch\._utils\._rebuild_\w+|torch\._tensor\._rebuild\w+|torch\.nn\.parameter\.Parameter"
)


#: First bytes of files that are mistaken for weights, and what they are.
SIGNATURES = {
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
    """Tensors by name, and the keys under which they were nested in the file."""

    tensors: Mapping[str, Tensor]
    prefix: tuple[str, ...] = ()


def read_weights(path: Path) -> Weights:
    """Read a network's tensors; raise InputError for a file without, or one that runs code."""
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    if start[8:] == b"{":  # a length of 8 bytes, then JSON
        try:
            return Weights(dict(safetensors.torch.load_file(path)))
        except (safetensors.SafetensorError, OSError) as error:
            raise InputError(f"{path} is not a complete safetensors file: {error}") from error
    return _unnested(_unpickled(path), path, ())


def _unpickled(path: Path) -> Any:
    """Return the content of a file as torch reads it without running code."""
    try:
        with warnings.catch_warnings():  # of a pickle's protocol, which is read or refused
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file may raise anything
        forbidden = _forbidden_calls(path)
        if forbidden:
            raise InputError(
                f"{path} is refused: it would run {', '.join(forbidden)}. Only tensors are read; "
                "save the tensors alone: torch.save(model.state_dict(), FILE)"
            ) from error
        raise InputError(
            f"{path} is neither safetensors nor a file of torch.save: {_cause(path, error)}"
        ) from error


def _cause(path: Path, error: Exception) -> str:
    """Return what a file seems to be, or else what is wrong with it.

    Of torch's messages only those of its own readers are used: for a broken pickle it advises to
    load the file with code execution.
    """
    with path.open("rb") as file:
        start = file.read(512)
    for sign, what in SIGNATURES.items():
        if start.lstrip().startswith(sign):
            return what
    if not start.strip():
        return "it is empty"
    if start[257:262] == b"ustar":
        return "it is a tar archive; unpack it first"
    message = str(error).split("\n")[0].split(". ")[0]
    if isinstance(error, RuntimeError) and "weights_only" not in message:
        return f"it is damaged or cut short ({message})"
    return "it ends too soon" if isinstance(error, EOFError) else "it is not a pickle of tensors"


def _unnested(content: Any, path: Path, prefix: tuple[str, ...]) -> Weights:
    if not isinstance(content, Mapping):
        where = f", below {'.'.join(prefix)}," if prefix else ""
        raise InputError(f"{path} holds{where} a {type(content).__name__}, not tensors by name")
    for key in NESTED_KEYS:
        if isinstance(content.get(key), Mapping):
            return _unnested(content[key], path, (*prefix, key))
    tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        keys = ", ".join(map(str, content)) or "nothing"
        raise InputError(
            f"{path} has no network's tensors under {', '.join(NESTED_KEYS)}; it holds {keys}"
        )
    return Weights(tensors, prefix)


def _forbidden_calls(path: Path) -> list[str]:
    """Return the functions that a pickle would call, other than those that build tensors."""
    names: dict[str, None] = {}
    # A damaged pickle may raise anything; the names before it are recorded.
    with _pickle_of(path) as file, contextlib.suppress(Exception):
        for _ in range(4):  # torch's old files begin with three small pickles
            for name in _callables(file):
                names[name] = None
    return [name for name in names if not _TENSORS.fullmatch(name)]


def _callables(file: IO[bytes]) -> Iterator[str]:
    """Yield the names of the functions and classes in a pickle, which is not run."""
    texts: list[str] = []  # those that were pushed on the stack
    memo: list[str] = []
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name == "GLOBAL":
            yield str(argument).replace(" ", ".")
        elif opcode.name == "STACK_GLOBAL" and len(texts) > 1:
            yield ".".join(texts[-2:])
        elif opcode.name == "MEMOIZE" or "PUT" in opcode.name:
            memo.append(texts[-1] if texts else "")
        elif "GET" in opcode.name:
            texts.append(memo[int(argument or 0)])
        elif isinstance(argument, str):
            texts.append(argument)


def _pickle_of(path: Path) -> IO[bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            inner = [name for name in archive.namelist() if name.endswith("data.pkl")]
            return io.BytesIO(archive.read(inner[0]) if inner else b"")
    except zipfile.BadZipFile:
        return path.open("rb")
