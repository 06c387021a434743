"""Turn dataclasses into flags and help texts, and invalid flags into one-line errors."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import functools
import inspect
import io
import itertools
import shlex
import sys
import types
import typing
import warnings
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import tyro
from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

from sdd_eval.cli.verbosity import set_verbosity
from sdd_eval.errors import InputError
from sdd_eval.records import FORMER_NAME
from sdd_eval.store import folder_name
from sdd_eval.validation import THREADS, bounded, bounds_of, check_bounds

Flags = TypeVar("Flags")

#: Names given without a flag.
Studies = Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="STUDY…")]
Checkpoints = Annotated[
    tyro.conf.Positional[tuple[str, ...]],
    tyro.conf.arg(
        help="Checkpoint folders, or their names below --checkpoints.", metavar="CHECKPOINT…"
    ),
]
Name = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="NAME")]

#: Placeholder that the help shows for values of a type.
_METAVARS = {int: "INT", float: "FLOAT", str: "STR", Path: "PATH"}

#: Annotation of a field of settings that puts its flags into the group "options".
Ungrouped = tyro.conf.arg(name="")


@dataclass(frozen=True)
class Threads:
    """Where to compute."""

    threads: int | None = bounded(None, THREADS)
    """CPU threads; default: the cores available to this process, but one for small networks and
    batches. Use 1 if several processes share a machine."""


@dataclass(frozen=True)
class Compute(Threads):
    """Where to compute."""

    device: str = "auto"
    """auto (a GPU if there is one), cpu, cuda or cuda:N."""
    trust_code: bool = False
    """Allow running the network code that --arch or a checkpoint names (file.py:factory or
    package.module:factory). Without this flag, no command runs such code."""


@dataclass(frozen=True)
class Reports:
    """Where files are read and written."""

    reports: Path = Path("reports")
    """Folder of studies: their runs and reports."""


@dataclass(frozen=True)
class CheckpointsFolder:
    """Where files are read and written."""

    checkpoints: Path = Path("checkpoints")
    """Folder of checkpoints."""


@dataclass(frozen=True)
class DataRoot:
    """Where files are read and written."""

    data_root: Path | None = None
    """Folder of data sets; default: $SDD_EVAL_DATA, else in the user's cache folder."""


@dataclass(frozen=True)
class Inputs(DataRoot, CheckpointsFolder):
    """Where files are read and written."""


@dataclass(frozen=True)
class Storage(Reports, Inputs):
    """Where files are read and written."""


@dataclass(frozen=True)
class Cache:
    """Where files are read and written."""

    cache: str | None = None
    """Folder in which logits and features are cached, or off; default:
    $SDD_EVAL_CACHE, else in the user's cache folder."""


@dataclass(frozen=True)
class CachedStorage(Cache, Storage):
    """Where files are read and written."""


def parse(
    kind: type[Flags],
    arguments: Sequence[str],
    program: str,
    description: str = "",
    former_names: Mapping[str, str] | None = None,
) -> Flags:
    """Parse flags into a dataclass; `--help` prints the description, or docstring, and exits.

    `former_names` maps former to current names of other renamed fields. Raise InputError if a flag
    is unknown, lacks its value, or has a value of the wrong type.
    """
    errors = io.StringIO()
    former = {**dict(_former_names(kind)), **(former_names or {})}
    current = _collected(_current_names(arguments, former), _repeatable(kind))
    try:
        with contextlib.redirect_stderr(errors):
            flags = tyro.cli(
                kind,
                args=current,
                prog=f"sdd-eval {program}",
                description=description or " ".join((kind.__doc__ or "").split()),
                config=(tyro.conf.OmitArgPrefixes,),
                registry=_REGISTRY,
            )
    except SystemExit as error:
        if error.code == 0:
            raise
        raise InputError(_one_line(errors.getvalue(), program)) from None
    _check_bounds(flags)
    set_verbosity(flags)
    return flags


def _check_bounds(flags: Any) -> None:
    """Raise InputError if a number is out of the bounds of its flag, in any group of flags."""
    check_bounds(flags, bounds_of(flags), "--")
    for field in dataclasses.fields(flags):
        group = getattr(flags, field.name)
        if dataclasses.is_dataclass(group):
            _check_bounds(group)


def _current_names(arguments: Sequence[str], names: Mapping[str, str]) -> list[str]:
    """Return the arguments with renamed flags under their current names; warn about old ones."""
    former = {_flag(name): _flag(present) for name, present in names.items()}
    current = []
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        if flag in former:
            message = f"{flag} is now called {former[flag]}; use that name"
            warnings.warn(message, DeprecationWarning, stacklevel=4)
        current.append(f"{former.get(flag, flag)}{equals}{value}")
    return current


def _collected(arguments: Sequence[str], repeatable: Container[str]) -> list[str]:
    """Move the values of all occurrences of a repeatable flag to its first occurrence.

    >>> _collected(["--fail-if", "a", "--test", "exact", "--fail-if", "b"], ["--fail-if"])
    ['--fail-if', 'a', 'b', '--test', 'exact']
    """
    groups: list[list[str]] = [[]]
    first: dict[str, list[str]] = {}
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        if flag in repeatable:
            group = first.setdefault(flag, [flag])
            group += [value] if equals else []
            groups.append(group)
        elif argument.startswith("--"):
            groups.append([argument])
        else:
            groups[-1].append(argument)
    unique = {id(group): group for group in groups}.values()
    return [argument for group in unique for argument in group]


def _repeatable(kind: Any) -> set[str]:
    """Return the flags of fields that take several values, including nested dataclasses."""
    flags = set()
    for field in dataclasses.fields(kind):
        default = _default(field, None)
        if dataclasses.is_dataclass(default):
            flags |= _repeatable(type(default))
        elif isinstance(default, tuple):
            flags.add(_flag(field.name))
    return flags


def _former_names(kind: Any) -> Iterator[tuple[str, str]]:
    """Yield the former and current names of renamed fields, including nested dataclasses."""
    for field in dataclasses.fields(kind):
        default = _default(field, None)
        if dataclasses.is_dataclass(default):
            yield from _former_names(type(default))
        if FORMER_NAME in field.metadata:
            yield field.metadata[FORMER_NAME], field.name


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


_REGISTRY = ConstructorRegistry()


@_REGISTRY.struct_rule
def _fields_of(info: StructTypeInfo) -> StructConstructorSpec | None:
    """Return the fields of a dataclass with the placeholders and default values for our help."""
    kind: Any = info.type
    if not isinstance(kind, type) or not dataclasses.is_dataclass(kind):
        return None
    hints = typing.get_type_hints(kind, include_extras=True)
    docs = attribute_docs(kind)
    fields = []
    for field in dataclasses.fields(kind):
        if not field.init:
            continue
        default = _default(field, info.default)
        hint = _described(hints[field.name], default)
        fields.append(StructFieldSpec(field.name, hint, default, docs.get(field.name)))
    return StructConstructorSpec(kind, tuple(fields))


def _default(field: dataclasses.Field[Any], instance: Any) -> Any:
    """Return the value of a field of an instance, or else its default."""
    if hasattr(instance, field.name):
        return getattr(instance, field.name)
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _described(hint: Any, default: Any) -> Any:
    """Annotate a type with how the help shows its value and default."""
    if dataclasses.is_dataclass(default):
        return hint
    base, *annotations = typing.get_args(hint) if hasattr(hint, "__metadata__") else (hint,)
    shown = tyro.conf.arg(metavar=_metavar(base), help_behavior_hint=_default_hint(default))
    parts: Any = (_readable(base), shown, *annotations)  # a field's own metavar comes last and wins
    return Annotated[parts]


def _readable(hint: Any) -> Any:
    """Return a type of numbers, texts or paths, repeated or optional, with our own parser.

    Errors of tyro's parsers name all types of a union, and importing typeguard for them takes a
    quarter of the time of `--help`. Other types are returned unchanged.
    """
    kinds = typing.get_args(hint) if _is_union(hint) else (hint,)
    optional = types.NoneType in kinds
    kinds = tuple(kind for kind in kinds if kind is not types.NoneType)
    several = typing.get_origin(kinds[0]) is tuple
    kinds = typing.get_args(kinds[0])[:1] if several else kinds
    words = typing.get_args(kinds[0]) if typing.get_origin(kinds[0]) is Literal else None
    kinds = (str,) if words else kinds
    if not set(kinds) <= set(_METAVARS):
        return hint

    def read(arguments: list[str]) -> Any:
        if optional and arguments == ["None"]:
            return None
        values = tuple(_value(argument, kinds) for argument in arguments)
        return values if several else values[0]

    metavar = _metavar(hint) or ""
    count: Literal["*", 1] = "*" if several else 1
    spec = PrimitiveConstructorSpec(count, metavar, read, lambda _: True, _words, words)
    return Annotated[object, spec]


def _words(value: Any) -> list[str]:
    return [str(item) for item in (value if isinstance(value, tuple) else (value,))]


def _value(argument: str, kinds: Sequence[Any]) -> Any:
    """Convert an argument to the first of several types that accepts it."""
    for kind in kinds:
        with contextlib.suppress(ValueError):
            return kind(argument)
    raise ValueError(f"{argument!r} is not {'an integer' if kinds == (int,) else 'a number'}")


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def _metavar(hint: Any) -> str | None:
    """Return the placeholder for a value; None leaves it to tyro.

    >>> _metavar(int | None), _metavar(tuple[str, ...]), _metavar(bool)
    ('INT', 'STR…', None)
    >>> _metavar(tuple[Literal["a", "b"], ...])
    '{a,b}…'
    """
    arguments = [
        argument for argument in typing.get_args(hint) if argument not in (type(None), ...)
    ]
    if typing.get_origin(hint) in (tuple, list):
        return f"{_metavar(arguments[0])}…"
    if typing.get_origin(hint) is Mapping:
        return "NAME VALUE…"
    if typing.get_origin(hint) is Literal:
        return f"{{{','.join(arguments)}}}"
    if _is_union(hint):
        return "|".join(filter(None, map(_metavar, arguments))) or None
    return _METAVARS.get(hint)


def _default_hint(default: Any) -> str:
    """Describe the default; empty if the help text of the flag explains it.

    >>> _default_hint(None), _default_hint(False), _default_hint((1, 2))
    ('', '(default: no)', '(default: 1 2)')
    """
    if default in (None, "", (), {}, Path()):
        return ""
    if isinstance(default, bool):
        return f"(default: {'yes' if default else 'no'})"
    words = default if isinstance(default, tuple) else (default,)
    return f"(default: {' '.join(map(str, words))})"


def attribute_docs(kind: type) -> dict[str, str]:
    """Return the docstrings below the fields of a dataclass and its bases, each as one line."""
    docs: dict[str, str] = {}
    for base in reversed(kind.__mro__[:-1]):
        node = _classes(base.__module__).get(base.__qualname__)
        for field, doc in itertools.pairwise(node.body if node else ()):
            match field, doc:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ):
                    docs[name] = " ".join(text.split())
    return docs


@functools.cache
def _classes(module: str) -> dict[str, ast.ClassDef]:
    """Return a module's top-level classes by name, parsed only once; empty without source code."""
    try:
        body = ast.parse(inspect.getsource(sys.modules[module])).body
    except (KeyError, OSError, TypeError):
        return {}
    return {node.name: node for node in body if isinstance(node, ast.ClassDef)}


def _one_line(box: str, program: str) -> str:
    """Return the text of tyro's error box, without its title, its frame and its hints on help."""
    lines = [line.strip("│ ") for line in box.splitlines()[1:]]  # the first is the title
    text = " ".join(line for line in lines if line.strip("─-╰╯")) or box.strip()
    text = text.split("For full helptext")[0].split("Argument helptext")[0].strip()
    return f"{text.removeprefix('Error parsing ')} (see sdd-eval {program} --help)"


def require_positive(flag: str, value: int | None) -> None:
    """Reject a number below 1 with an `InputError` that names the flag."""
    if value is not None and value < 1:
        raise InputError(f"{flag} is {value}; it must be 1 or more")


def study_folder(name: str, reports: Path) -> Path:
    """Return the folder of a study by name; raise InputError if there is none."""
    folder = reports / folder_name("study", name)
    if not folder.is_dir():
        raise InputError(f"there is no study {name} in {reports}")
    return folder


def command_line() -> str:
    """Return the command as it was typed, to be recorded in a run."""
    return shlex.join(["sdd-eval", *sys.argv[1:]])
