"""Reading weights from elsewhere: safetensors, or a pickle of tensors in nested containers.

No pickle runs code: torch's restricted unpickler reads it, with inert stand-ins for all classes and
functions that it does not know (`StandIn`).
"""

from __future__ import annotations

import _compat_pickle
import contextlib
import io
import pickletools
import re
import warnings
import zipfile
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from sdd_eval.errors import InputError

#: Callables that a pickle of tensors needs, which torch knows.
_TENSORS = re.compile(
    r"collections\.OrderedDict"
    r"|torch\.(\w+Storage|Size|device|u?int\d+|b?float\d*|double|half|bool|storage\.\w*Storage)"
    r"|torch\._utils\._rebuild_\w+|torch\._tensor\._rebuild\w+|torch\.nn\.parameter\.Parameter"
)

#: Types of harmless objects that training checkpoints hold besides tensors; torch knows some.
_HARMLESS = re.compile(
    r"argparse\.Namespace|types\.SimpleNamespace|collections\.(Counter|defaultdict|deque)"
    r"|datetime\.\w+|pathlib(\._local)?\.\w+|decimal\.Decimal|fractions\.Fraction|uuid\.UUID"
    r"|numpy\.((_?core\.)?(multiarray\.(scalar|_reconstruct)|numeric\._frombuffer)|dtype|ndarray"
    r"|dtypes\.\w+|u?int\d*|float\d*|complex\d*|bool_?)"
    r"|builtins\.(bool|bytearray|bytes|complex|dict|float|frozenset|int|list|object|range|set|slice"
    r"|str|tuple)|_codecs\.encode|copyreg\._reconstructor"
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

#: Maximum nesting depth, and maximum number, of containers that are searched for tensors.
DEPTH, CONTAINERS = 20, 100_000

#: Highest protocol of pickles that torch reads without running code; that of `torch.save`.
PROTOCOL = 2


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return a file's tensors by name, prefixed with the keys of nested containers.

    Raise InputError for a file that cannot be read, holds no tensors or would run code.
    """
    if path.exists() and not path.is_file():
        raise InputError(f"cannot read {path}: it is not a regular file")
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {getattr(error, 'strerror', error)}") from error
    if start[8:] == b"{":  # a length of 8 bytes, then JSON
        tensors = _safetensors(path)
    else:
        tensors = dict(_named(content := _unpickled(path), path))
        if not tensors:
            raise InputError(_without_tensors(path, content))
    for name in tensors:
        if not name.isprintable():
            raise InputError(f"{path} names a tensor {name!r}, which is not text")
    return tensors


def _safetensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file, tied ones under each of their names."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            tied = file.metadata() or {}
    except Exception as error:  # a damaged file may raise anything
        raise InputError(f"{path} is not a complete safetensors file: {error}") from error
    if not tensors:
        raise InputError(f"{path} holds no tensors")
    return {**{name: tensors[kept] for name, kept in tied.items() if kept in tensors}, **tensors}


def _unpickled(path: Path) -> Any:
    """Return the content of a file as torch reads it without running code."""
    names = _callables_of(path)
    stand_ins: list[Any] = [_stand_in(name) for name in names]
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(stand_ins):
            warnings.simplefilter("ignore")  # about a pickle's protocol, which is read or refused
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file may raise anything
        forbidden = [name for name in names if not _HARMLESS.fullmatch(name)]
        if forbidden:
            raise InputError(_refusal(path, forbidden)) from error
        raise InputError(
            f"{path} is neither safetensors nor a file of torch.save: {_cause(path, error)}"
        ) from error


class _Inert(type):
    """The class of stand-ins; calling one that is not harmless is an error."""

    def __call__(cls, *arguments: Any) -> Any:
        """Return an instance as unpickling creates it, whatever the arguments."""
        if not _is_harmless(cls):
            raise InputError(f"a call of {cls.__qualname__}")
        new: Any = cls.__new__
        return OrderedDict() if cls.__qualname__ == "defaultdict" else new(cls)


class StandIn(metaclass=_Inert):
    """Replaces a class or function in a pickle, which is neither imported nor called."""

    def __new__(cls, *arguments: Any) -> Any:
        """Return an inert object; for a class that may be a mapping, an ordered dictionary.

        It is the only mapping that torch fills, and torch also gives it other objects' attributes.
        """
        return super().__new__(cls) if _is_harmless(cls) else OrderedDict()

    def __setstate__(self, state: object) -> None:
        """Ignore the attributes of the object."""


def _is_harmless(stand_in: type) -> bool:
    name = f"{stand_in.__module__}.{stand_in.__qualname__}"
    return _HARMLESS.fullmatch(name) is not None


def _stand_in(name: str) -> type:
    module, _, attribute = name.rpartition(".")
    return _Inert(attribute, (StandIn,), {"__module__": module, "__qualname__": attribute})


def _refusal(path: Path, forbidden: list[str]) -> str:
    return (
        f"{path} is refused: it would run {', '.join(forbidden)}. Only tensors are read; "
        "save the tensors alone: torch.save(model.state_dict(), FILE)"
    )


def _cause(path: Path, error: Exception) -> str:
    """Return what a file seems to be, or else what is wrong with it.

    Only the messages of torch's own readers are used: for a broken pickle, torch advises loading
    the file with code execution.
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
    with _pickle_of(path) as pickled:
        header = pickled.read(2)
    if header[:1] == b"\x80" and PROTOCOL < header[1] <= 5:
        return f"it is a pickle of protocol {header[1]}; save it by torch.save(content, FILE)"
    message = str(error).split("\n")[0].split(". ")[0]
    if isinstance(error, RuntimeError) and "weights_only" not in message:
        return f"it is damaged or cut short ({message})"
    return "it ends too soon" if isinstance(error, EOFError) else "it is not a pickle of tensors"


def _named(content: Any, path: Path) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors in nested containers as "key.key.name"."""
    containers: deque[tuple[str, Any, tuple[int, ...]]] = deque()  # each with its holders
    containers.append(("", content, (id(content),)))
    for _ in range(CONTAINERS):
        if not containers:
            return
        prefix, container, holders = containers.popleft()
        for key, value in _items(container):
            name = prefix + (str(key) if isinstance(key, str | int) else type(key).__name__)
            if isinstance(value, Tensor) and not value.is_nested:
                yield name, value
            elif len(holders) < DEPTH and _is_new_container(value, holders):
                containers.append((f"{name}.", value, (*holders, id(value))))
    raise InputError(
        f"{path} holds more than {CONTAINERS:,} lists and mappings; save the tensors alone"
    )


def _is_new_container(value: Any, holders: tuple[int, ...]) -> bool:
    return isinstance(value, Mapping | list | tuple) and id(value) not in holders


def _items(content: Any) -> Iterable[tuple[Any, Any]]:
    """Return the items of a container; empty for any other object."""
    if isinstance(content, list | tuple):
        return enumerate(content)
    return content.items() if isinstance(content, Mapping) else ()


def _without_tensors(path: Path, content: Any) -> str:
    """Return what a file holds instead of tensors."""
    forbidden = [name for name in _callables_of(path) if not _HARMLESS.fullmatch(name)]
    if forbidden:
        return _refusal(path, forbidden)
    if not isinstance(content, Mapping):
        return f"{path} holds a {type(content).__name__}, not tensors by name"
    return f"{path} has no network's tensors; it holds {', '.join(map(str, content)) or 'nothing'}"


def _callables_of(path: Path) -> list[str]:
    """Return the functions and classes that a pickle names, other than those of tensors."""
    names: dict[str, None] = {}
    # A damaged pickle may raise anything; the names before it are recorded.
    with _pickle_of(path) as file, contextlib.suppress(Exception):
        for _ in range(4):  # torch's old files begin with three small pickles
            for module, name in _callables(file):
                module, name = _compat_pickle.NAME_MAPPING.get((module, name), (module, name))
                names[f"{_compat_pickle.IMPORT_MAPPING.get(module, module)}.{name}"] = None
    return [name for name in names if not _TENSORS.fullmatch(name)]


def _callables(file: IO[bytes]) -> Iterator[tuple[str, str]]:
    """Yield module and name of the functions and classes in a pickle, which is not run."""
    texts: list[str] = []  # those that were pushed onto the stack
    memo: list[str] = []
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name == "GLOBAL":
            module, _, name = str(argument).partition(" ")
            yield module, name
        elif opcode.name == "STACK_GLOBAL" and len(texts) > 1:
            yield texts[-2], texts[-1]
        elif opcode.name == "MEMOIZE" or "PUT" in opcode.name:
            memo.append(texts[-1] if texts else "")
        elif "GET" in opcode.name:
            texts.append(memo[int(argument or 0)])
        elif isinstance(argument, str):
            texts.append(argument)


def _pickle_of(path: Path) -> IO[bytes]:
    """Return the pickle in a file of torch.save; raise InputError if it unpacks to more."""
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > path.stat().st_size:
                raise InputError(f"{path} is compressed, which no file of torch.save is")
            inner = [name for name in archive.namelist() if name.endswith("data.pkl")]
            return io.BytesIO(archive.read(inner[0]) if inner else b"")
    except InputError:
        raise
    except Exception:  # not an archive, or a damaged one, which may raise anything
        return path.open("rb")
