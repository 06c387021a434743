"""Networks from elsewhere: `torchvision:NAME`, `timm:NAME`, and the user's own factories.

A torchvision or timm name only runs library code that builds a network; options that would download
or unpickle are refused. A factory runs arbitrary code, so `build` calls it only if it is trusted.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import torch
from torch import nn

from sdd_eval.errors import InputError
from sdd_eval.records import ModelSpec

#: Sources of networks by name.
LIBRARIES = ("torchvision", "timm")

#: Options that would read or download weights, which a card must not do.
REFUSED = (
    "weights",
    "pretrained",
    "pretrained_cfg",
    "pretrained_cfg_overlay",
    "checkpoint_path",
    "cache_dir",
    "backbone_weights",
    "weights_backbone",
)

#: Common names of factory parameters, for each field of a spec.
ARGUMENTS: Mapping[str, Sequence[str]] = {
    "classes": ("num_classes", "classes", "n_classes", "num_class", "nclass"),
    "channels": ("in_channels", "in_chans", "channels", "num_channels"),
    "image_size": ("image_size", "img_size", "input_size"),
}


#: Python's messages that a function does not accept an argument, or already sets it.
_NOT_ACCEPTED = re.compile(
    r"(?:unexpected keyword argument|multiple values for (?:keyword )?argument) '(\w+)'"
)


def is_factory(arch: str) -> bool:
    """Return whether an architecture names the user's code: `package.module:f` or `file.py:f`.

    >>> is_factory("timm:vit_tiny_patch16_224"), is_factory("nets/mine.py:resnet")
    (False, True)
    """
    return ":" in arch and arch.split(":")[0] not in LIBRARIES


def refuse_code(arch: str, trust_code: bool) -> None:
    """Raise InputError if an architecture is the user's code and is not trusted."""
    if is_factory(arch) and not trust_code:
        raise InputError(
            f"arch {arch!r} runs code of its own; give --trust-code (in Python trust_code=True) "
            "if you trust its author"
        )


def check_name(arch: str) -> None:
    """Raise InputError if an architecture's network, library or file is missing; run no code."""
    source, _, name = arch.partition(":")
    if not source or not name:
        raise InputError(
            f"arch {arch!r} is none of torchvision:NAME, timm:NAME, package.module:factory and "
            "file.py:factory"
        )
    if source in LIBRARIES:
        _known(source, name)
    elif source.endswith(".py"):
        source_file(arch)


def source_file(arch: str) -> Path:
    """Return the file of a `file.py:factory`; raise InputError if it does not exist."""
    path = Path(arch.rpartition(":")[0]).expanduser()
    if not path.is_file():
        raise InputError(f"arch {arch!r}: {path} does not exist (in {Path.cwd()})")
    return path


def source_sha256(arch: str) -> str | None:
    """Return the SHA-256 of the file of a `file.py:factory`; None for any other arch."""
    if not is_factory(arch) or not arch.rpartition(":")[0].endswith(".py"):
        return None
    return hashlib.sha256(source_file(arch).read_bytes()).hexdigest()


def build_foreign(spec: ModelSpec, options: Mapping[str, Any]) -> nn.Module:
    """Return a foreign network, initialised by its code; raise InputError if that fails."""
    source, _, name = spec.arch.partition(":")
    for option in options:
        if source in LIBRARIES and option in REFUSED:
            raise InputError(f"option {option!r} of arch {spec.arch!r} reads weights; refused")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about initialisation in later versions
            builders = {"torchvision": _from_torchvision, "timm": _from_timm}
            module = builders.get(source, _from_factory)(spec, name, dict(options))
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # third-party code may raise anything
        cause = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"arch {spec.arch!r} with {dict(options)}: {cause}") from error
    if not isinstance(module, nn.Module):
        raise InputError(f"arch {spec.arch!r} makes a {type(module).__name__}, not an nn.Module")
    return module


def _from_torchvision(spec: ModelSpec, name: str, options: dict[str, Any]) -> Any:
    import torchvision.models

    get_model: Any = torchvision.models.get_model  # typed only in some versions
    return get_model(name, weights=None, num_classes=spec.classes, **options)


def _from_timm(spec: ModelSpec, name: str, options: dict[str, Any]) -> Any:
    import timm

    shape = {"num_classes": spec.classes, "in_chans": spec.channels}
    create_model: Any = timm.create_model  # typed only in some versions
    return create_model(name, pretrained=False, **shape, **options)


def _from_factory(spec: ModelSpec, name: str, options: dict[str, Any]) -> Any:
    """Call a factory with the arguments that it has parameters for, under their common names.

    A factory with `**kwargs` gets all of them, except those that the code it calls rejects.
    """
    factory = _factory(spec.arch)
    parameters = inspect.signature(factory).parameters
    further = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    arguments = dict(options)
    tried: dict[str, Iterator[str]] = {}
    for field, names in ARGUMENTS.items():
        if not arguments.keys() & {*names}:
            aliases = iter([name for name in names if name in parameters] or names[: 2 * further])
            _add_next(arguments, getattr(spec, field), aliases, tried)
    random_state = torch.get_rng_state()
    while True:
        try:
            return factory(**arguments)
        except (Exception, SystemExit) as error:  # the user's code may raise anything
            rejected = _NOT_ACCEPTED.search(str(error)) if isinstance(error, TypeError) else None
            if rejected is None or not further or rejected[1] not in tried:
                raise InputError(_failed_call(spec.arch, arguments, error)) from error
            torch.set_rng_state(random_state)
            _add_next(arguments, arguments.pop(rejected[1]), tried[rejected[1]], tried)


def _add_next(
    arguments: dict[str, Any], value: Any, names: Iterator[str], tried: dict[str, Iterator[str]]
) -> None:
    """Add an argument under the next of its names, if there is one."""
    name = next(names, None)
    if name is not None:
        arguments[name], tried[name] = value, names


def _failed_call(arch: str, arguments: Mapping[str, Any], error: BaseException) -> str:
    given = ", ".join(f"{name}={value!r}" for name, value in arguments.items()) or "no arguments"
    cause = " ".join(f"{type(error).__name__}: {error}".split())
    return f"arch {arch!r}, called with {given}: {cause}; --options NAME VALUE sets its arguments"


def _factory(arch: str) -> Callable[..., Any]:
    """Import a factory, which runs the user's code; it may import modules in its folder."""
    source, _, name = arch.rpartition(":")
    path = source_file(arch).resolve() if source.endswith(".py") else None
    folder = str(path.parent if path else Path.cwd())
    sys.path.insert(0, folder)
    try:
        module = _module_of(path) if path else importlib.import_module(source)
    finally:
        sys.path.remove(folder)
    factory = getattr(module, name, None)
    if not callable(factory):
        near = [key for key, value in vars(module).items() if callable(value) and key[0] != "_"]
        raise InputError(f"arch {arch!r}: {source} has no {name!r}; it has {', '.join(near)}")
    return cast(Callable[..., Any], factory)


def _module_of(path: Path) -> ModuleType:
    """Import a module from its file, under a name that changes with its content."""
    name = f"{path.stem}_{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _known(library: str, name: str) -> None:
    """Raise InputError if a library has no network of this name, or is not installed."""
    try:
        package = importlib.import_module(f"{library}.models")
    except ImportError as error:
        raise InputError(
            f"{library} is not installed; pip install 'sdd-eval[{library}]'"
        ) from error
    known = package.list_models(module=package if library == "torchvision" else "")
    if name.split(".")[0] not in known:
        near = ", ".join(difflib.get_close_matches(name, known, n=6, cutoff=0.4))
        raise InputError(f"{library} has no network {name!r}; near it: {near or 'nothing'}")
