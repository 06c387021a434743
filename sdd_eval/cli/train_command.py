"""`sdd-eval train`: the fields of a `Recipe` and of its method are the flags."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import tyro

from sdd_eval import plugins
from sdd_eval.cli.flags import Work, parse, prepared
from sdd_eval.cli.training_flags import Place, Reading, told, trained
from sdd_eval.errors import InputError, ReportedElsewhere
from sdd_eval.records import Recipe, former_names

#: Present names of renamed fields, by their former names.
_RENAMED = former_names(Recipe)


@dataclass(frozen=True)
class RecipeFlags(Recipe):
    """How to train; the defaults are the paper's on CIFAR-100."""

    method_options: tyro.conf.Suppress[Mapping[str, Any]] = field(default_factory=dict)


def run(arguments: Sequence[str]) -> int:
    """Train one checkpoint, or go on with one that was interrupted."""
    arguments = _present_flags(arguments)
    with _told_once():
        name = _method_name(arguments)
        method = plugins.load("methods", name)
        _refuse_others(name, arguments)
        program = "Train a checkpoint; the same command goes on with one that was interrupted."
        flags: Any = parse(_flags(method), arguments, "train", program)
        device = prepared(flags.work)

        from sdd_eval.training.distributed.processes import is_first
        from sdd_eval.training.recipe import validated
        from sdd_eval.training.train import train

        make = functools.partial(train, validated(_recipe(flags)))
    card = trained(make, device, flags.place, flags.reading, flags.work)
    if is_first():
        print(told(card, flags.place))
    return 0


def _present_flags(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with renamed flags under their present names.

    Warns:
        DeprecationWarning: the arguments use the former name of a flag.
    """
    present = {f"--{_dashed(old)}": f"--{_dashed(new)}" for old, new in _RENAMED.items()}
    renamed = []
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        if flag in present:
            message = f"{flag} is now called {present[flag]}; use that name"
            warnings.warn(message, DeprecationWarning, stacklevel=3)
        renamed.append(f"{present.get(flag, flag)}{equals}{value}")
    return renamed


def _dashed(name: str) -> str:
    return name.replace("_", "-")


@contextlib.contextmanager
def _told_once() -> Iterator[None]:
    """What is wrong with the command itself is wrong in all processes, and the first says so."""
    try:
        yield
    except InputError as error:
        from sdd_eval.training.distributed.processes import is_first

        if is_first():
            raise
        raise ReportedElsewhere("the first process says it") from error


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
