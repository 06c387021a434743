"""Networks from elsewhere: `torchvision:NAME`, `timm:NAME`, and factories of the user's own.

A name of torchvision or timm runs only their code, and only such of it as builds a network: what
an option would download or unpickle is refused. A factory runs whatever its file says, so `build`
calls one only where its caller trusts it.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import inspect
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from sdd_eval.errors import InputError
from sdd_eval.records import ModelSpec

#: Options that would read or fetch weights; what a card's arch runs must not.
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

#: What factories call what a spec says.
ARGUMENTS: Mapping[str, Sequence[str]] = {
    "classes": ("num_classes", "classes", "n_classes", "num_class", "nclass"),
    "channels": ("in_channels", "in_chans", "channels", "num_channels"),
    "image_size": ("image_size", "img_size", "input_size"),
}


def is_factory(arch: str) -> bool:
    """Whether an architecture names code of the user's: `package.module:f` or `file.py:f`.

    >>> is_factory("timm:vit_tiny_patch16_224"), is_factory("nets/mine.py:resnet")
    (False, True)
    """
    return ":" in arch and arch.split(":")[0] not in LIBRARIES


def refuse_code(arch: str, trust_code: bool) -> None:
    """Refuse an architecture that is the user's code, unless that is trusted.

    Raises:
        InputError: it is not.
    """
    if is_factory(arch) and not trust_code:
        raise InputError(
            f"arch {arch!r} runs code of its own; say --trust-code (in Python trust_code=True) "
            "if you know whose it is"
        )


def check_name(arch: str) -> None:
    """Refuse an architecture whose library or file is not there; no code of the user's is run.

    Raises:
        InputError: there is no such network, library or file, or the arch is no `…:…`.
    """
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
    """The file of a `file.py:factory`.

    Raises:
        InputError: it is not there.
    """
    path = Path(arch.rpartition(":")[0]).expanduser()
    if not path.is_file():
        raise InputError(f"arch {arch!r}: {path} is not there (looked from {Path.cwd()})")
    return path


def source_sha256(arch: str) -> str | None:
    """sha256 of the file of a `file.py:factory`; None for any other arch."""
    if not is_factory(arch) or not arch.rpartition(":")[0].endswith(".py"):
        return None
    return hashlib.sha256(source_file(arch).read_bytes()).hexdigest()


def build_foreign(spec: ModelSpec, options: Mapping[str, Any]) -> nn.Module:
    """The network of a spec whose arch has a colon, freshly initialised, as its author built it.

    Raises:
        InputError: there is no such network, it refuses the options, or the options are refused.
    """
    source, _, name = spec.arch.partition(":")
    for option in options:
        if source in LIBRARIES and option in REFUSED:
            raise InputError(f"option {option!r} of arch {spec.arch!r} reads weights; refused")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on how later versions will initialise
            build: Callable[..., Any] = LIBRARIES.get(source, _from_factory)
            module = build(spec, name, dict(options))
    except InputError:
        raise
    except Exception as error:  # a stranger's code may raise anything
        cause = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"arch {spec.arch!r} with {dict(options)}: {cause}") from error
    if not isinstance(module, nn.Module):
        raise InputError(f"arch {spec.arch!r} makes a {type(module).__name__}, not an nn.Module")
    return module


def _from_torchvision(spec: ModelSpec, name: str, options: dict[str, Any]) -> nn.Module:
    _known("torchvision", name)
    import torchvision.models

    get_model: Any = torchvision.models.get_model  # typed in some versions only
    module: nn.Module = get_model(name, weights=None, num_classes=spec.classes, **options)
    return module


def _from_timm(spec: ModelSpec, name: str, options: dict[str, Any]) -> nn.Module:
    _known("timm", name)
    import timm

    create_model: Any = timm.create_model  # typed in some versions only
    module: nn.Module = create_model(
        name, pretrained=False, num_classes=spec.classes, in_chans=spec.channels, **options
    )
    return module


def _from_factory(spec: ModelSpec, name: str, options: dict[str, Any]) -> Any:
    """Call a factory with what it has parameters for, under the names that such code uses."""
    factory = _factory(spec.arch)
    accepted = inspect.signature(factory).parameters
    given = dict(options)
    for field, names in ARGUMENTS.items():
        for argument in names:
            if argument in accepted and argument not in given:
                given[argument] = getattr(spec, field)
                break
    return factory(**given)


def _factory(arch: str) -> Callable[..., Any]:
    """Import a factory: here the user's code is run."""
    source, _, name = arch.rpartition(":")
    module = _module_of(source_file(arch)) if source.endswith(".py") else _imported(source)
    found = getattr(module, name, None)
    if not callable(found):
        near = [key for key, value in vars(module).items() if callable(value) and key[0] != "_"]
        raise InputError(f"arch {arch!r}: {source} has no {name!r}; it has {', '.join(near)}")
    factory: Callable[..., Any] = found
    return factory


def _imported(source: str) -> Any:
    """A module by its dotted name, also one in the folder that the command is run in."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        return importlib.import_module(source)
    finally:
        sys.path.remove(here)


def _module_of(path: Path) -> Any:
    """A module from its file; what lies beside it can be imported by it."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    spec = importlib.util.spec_from_file_location(f"{path.stem}_{digest}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    beside = str(path.resolve().parent)
    sys.path.insert(0, beside)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(beside)
    return module


def _known(library: str, name: str) -> None:
    """Refuse a network that a library does not have."""
    known = _torchvision_names() if library == "torchvision" else _timm_names()
    if name.split(".")[0] not in known:
        near = ", ".join(difflib.get_close_matches(name, known, n=6, cutoff=0.4))
        raise InputError(f"{library} has no network {name!r}; near it: {near or 'nothing'}")


def _torchvision_names() -> list[str]:
    """The classifiers of torchvision."""
    import torchvision.models

    names: list[str] = torchvision.models.list_models(module=torchvision.models)
    return names


def _timm_names() -> list[str]:
    try:
        import timm
    except ImportError as error:
        raise InputError("timm is not installed; pip install 'sdd-eval[timm]'") from error
    names: list[str] = timm.list_models()
    return names


LIBRARIES: Mapping[str, Callable[[ModelSpec, str, dict[str, Any]], nn.Module]] = {
    "torchvision": _from_torchvision,
    "timm": _from_timm,
}
