"""`sdd-eval train`: the fields of a `Recipe` and of its method are the flags."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tyro

from sdd_eval import plugins
from sdd_eval.cli.bars import Bar
from sdd_eval.cli.flags import Work, parse, prepared
from sdd_eval.data.root import data_root
from sdd_eval.errors import InputError
from sdd_eval.records import Card, Recipe


@dataclass(frozen=True)
class RecipeFlags(Recipe):
    """How to train; the defaults are the paper's on CIFAR-100."""

    method_options: tyro.conf.Suppress[Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """Where the checkpoint goes."""

    name: str | None = None
    """Name of the checkpoint; by default DATASET-ARCH-METHOD[-sddλ]-seedN, and before the seed what
    is unusual in the method, e.g. -drop0.3 or -validation5000."""
    checkpoints: Path = Path("checkpoints")
    """Folder of checkpoints."""
    overwrite: bool = False
    """Replace a checkpoint of this name that has another recipe."""


@dataclass(frozen=True)
class Reading:
    """How photographs are read."""

    workers: int | None = None
    """Processes that decode and augment photographs; default: as many as threads, none for one."""


def run(arguments: Sequence[str]) -> int:
    """Train one checkpoint, or go on with one that was interrupted."""
    name = _method_name(arguments)
    method = plugins.load("methods", name)
    _refuse_others(name, arguments)
    program = "Train a checkpoint; the same command goes on with one that was interrupted."
    flags: Any = parse(_flags(method), arguments, "train", program)
    device = prepared(flags.work)

    from sdd_eval.training.processes import is_first
    from sdd_eval.training.train import train

    with Bar(unit="images") as bar:
        card = train(
            _recipe(flags),
            flags.place.checkpoints,
            name=flags.place.name,
            data_root=data_root(flags.work.data_root),
            device=device,
            workers=flags.reading.workers,
            overwrite=flags.place.overwrite,
            progress=bar,
            trust_code=flags.work.trust_code,
        )
    if is_first():
        print(_told(card, flags.place.checkpoints / card.name))
    return 0


def _method_name(arguments: Sequence[str]) -> str:
    """The value of --method, needed before the flags are known: it brings flags of its own."""
    for here, after in zip(arguments, [*arguments[1:], ""], strict=True):
        if here == "--method":
            return after.replace("-", "_")
        if here.startswith("--method="):
            return here.removeprefix("--method=").replace("-", "_")
    return Recipe.method


def _refuse_others(name: str, arguments: Sequence[str]) -> None:
    """Refuse an option that only other methods have.

    Raises:
        InputError: naming the option, whose it is, and those that this method has.
    """
    own = _options(name)
    for argument in arguments:
        option = argument.partition("=")[0].replace("_", "-")
        others = [each for each in plugins.names("methods") if option in _options(each)]
        if others and option not in own:
            raise InputError(
                f"{option} is an option of method {' and '.join(others)}, not of {name}, whose "
                f"options are: {', '.join(own) or 'none'}"
            )


def _options(name: str) -> list[str]:
    """The flags of a method's settings; none of a plugin that does not import."""
    try:
        kind = plugins.load("methods", name)
    except InputError:
        return []
    return [f"--{each.name.replace('_', '-')}" for each in dataclasses.fields(kind)]


def _flags(method: Any) -> type[Any]:
    groups = {
        "recipe": RecipeFlags,
        "method": method,
        "place": Place,
        "reading": Reading,
        "work": Work,
    }
    fields = [(name, kind, field(default_factory=kind)) for name, kind in groups.items()]
    return dataclasses.make_dataclass("Flags", fields, frozen=True)


def _recipe(flags: Any) -> Recipe:
    """The recipe with its method's name as plugins have it, and the method's own settings."""
    values = {f.name: getattr(flags.recipe, f.name) for f in dataclasses.fields(Recipe)}
    values["method"] = flags.recipe.method.replace("-", "_")
    values["method_options"] = dataclasses.asdict(flags.method)
    return Recipe(**values)


def _told(card: Card, folder: Path) -> str:
    numbers = "  ".join(f"{name} {value:.4g}" for name, value in card.metrics.items())
    return f"{folder}\n{numbers}"
