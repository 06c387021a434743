"""Every command, with generated values for the flags that it really has."""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path
from typing import Any

import pytest
import tyro
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sdd_eval import cli, plugins
from sdd_eval.cli.data_command import COMMANDS as DATA_COMMANDS
from sdd_eval.cli.export_command import COMMANDS as EXPORT_COMMANDS

#: Commands with sub-commands, and the words that select one.
SUB_COMMANDS = {
    "data": tuple(DATA_COMMANDS),
    "export": tuple(EXPORT_COMMANDS),
    "paper": ("", "claims", "figure-1"),
    "train": tuple(f"--method {name}" for name in plugins.names("methods")),
}
COMMANDS = [
    f"{name} {word}".strip() for name in cli.COMMANDS for word in SUB_COMMANDS.get(name, ("",))
] + [name.replace("_", "-") for name in plugins.names("evaluators")]

#: What a command is given so that it has work to do, which takes a moment.
ARGUMENTS = {
    "quickstart": "--limit 0",
    "train": (
        "--dataset tiny --arch small_cnn --epochs 1 --batch-size 4 --standardisation tiny "
        "--augmentation crop --threads 1"
    ),
    "train-detector": "--from net --dataset tiny --epochs 1",
    "import": "imported --arch small_cnn --weights weights.pt --dataset tiny --threads 1",
    "batch": "small.toml --threads 1",
    "report": "default --threads 1",
    "evaluate": "net --evaluators accuracy --limit 4 --threads 1",
    "compare": "net other --no-figures --threads 1",
    "paper": "small --threads 1",
    "paper claims": "small --no-cost --threads 1",
    "proposition": "--threads 1",
    "data get": "digits",
    "data add": "new pictures",
    "data corrupt": "tiny --corruptions fog --threads 1",
    "data check": "tiny",
    "export model-card": "net",
    "export tensorboard": "net",
    "show": "net",
    "EVALUATOR": "net --limit 4 --threads 1",
}
#: Exit code 1 is an answer of these: a check failed, an accuracy was missed, a job failed.
MAY_FAIL = {
    "import",
    "batch",
    "quickstart",
    "evaluate",
    "compare",
    "paper",
    "proposition",
    "data check",
    "plugins",
}

INTEGERS = ("-1", "0", "three", "1.5", "", "1e3", "nan", "7 8", "9" * 25, "2147483648")
NUMBERS = ("nan", "inf", "-inf", "-0.1", "1e400", "1e-400", "x", "", "1e300", "0", "-1e300")
TEXTS = (
    *("", " ", ".", "..", "../up", "a/b", "/", "~", "-", "--", "None", "nan", "0", "x\ny", "näme"),
    *("x" * 300, "x" * 5000, "a\0b", "a\udcffb", "a:b", "x.py:f", "network.py:network", "tini"),
    *("torchvision:nothing", "timm:nothing", "http://x", "[]", "{}", "%s", "uniform", "net"),
)
PATHS = (
    *("", "missing", "missing/below", "small.toml", "small.toml/below", "data", "pictures", "fifo"),
    *("/dev/null", "/dev/full", "x" * 5000, "a\0b", "a\udcffb", "images.npy", "checkpoints/net"),
)
#: Flags of which a huge number is a valid wish that takes for ever.
ENDLESS = ("epochs", "steps")
#: Flags that take long without being wrong.
SLOW = ("compile", "cost", "audit")


@dataclasses.dataclass(frozen=True)
class Flag:
    """A flag of a command and the type of its value."""

    name: str
    hint: Any


class Captured(BaseException):
    """Raised instead of reading the flags of a command."""


def flags_of(words: list[str]) -> list[Flag]:
    """Return the flags of a command, from the dataclass that it reads its arguments into."""
    kinds: list[Any] = []

    def capture(kind: Any, **_: Any) -> None:
        kinds.append(kind)
        raise Captured

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tyro, "cli", capture)
        with pytest.raises(Captured):
            cli.dispatch(words)
    return list(fields_of(kinds[0]))


def fields_of(kind: Any) -> typing.Iterator[Flag]:
    """Yield the flags of a dataclass, nested ones included; positional arguments are none."""
    hints = typing.get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        base, *marks = (
            typing.get_args(hints[field.name])
            if hasattr(hints[field.name], "__metadata__")
            else (hints[field.name],)
        )
        if dataclasses.is_dataclass(base):
            yield from fields_of(base)
        elif field.init and not {tyro.conf.Positional, tyro.conf.Suppress} & _markers(marks):
            names = [mark.name for mark in marks if getattr(mark, "name", None)]
            name = names[0] if names else field.name.replace("_", "-")
            yield Flag(name, base)


def _markers(marks: list[Any]) -> set[Any]:
    markers = {tyro.conf.Positional, tyro.conf.Suppress}
    return {m for m in markers if any(typing.get_args(m[int])[1] is mark for mark in marks)}


def values_of(flag: Flag) -> st.SearchStrategy[list[str]]:
    """Return lists of arguments of a flag: bad ones for the most part."""
    hint = flag.hint
    arguments = [a for a in typing.get_args(hint) if a is not type(None)]
    several = typing.get_origin(hint) is tuple or any(
        typing.get_origin(a) is tuple for a in arguments
    )
    words = [
        w
        for a in (hint, *arguments)
        if typing.get_origin(a) is typing.Literal
        for w in typing.get_args(a)
    ]
    kinds = str(hint)
    pool: tuple[str, ...] = TEXTS
    if words:
        pool = (*words, "x", "")
    elif "int" in kinds and "str" not in kinds:
        pool = INTEGERS[:-2] if flag.name in ENDLESS else INTEGERS
    elif "float" in kinds and "str" not in kinds:
        pool = NUMBERS
    elif "Path" in kinds:
        pool = PATHS
    value = st.sampled_from(pool)
    if hint is bool:
        return st.sampled_from([[f"--{flag.name}"], [f"--no-{flag.name}"], [f"--{flag.name}=x"]])
    if several:
        return st.lists(value, max_size=3).map(lambda values: [f"--{flag.name}", *values])
    separate = value.map(lambda v: [f"--{flag.name}", v])
    return separate | value.map(lambda v: [f"--{flag.name}={v}"])


def arguments_of(command: str) -> list[str]:
    """Return the arguments with which a command has work to do."""
    first = command.split()[0]
    default = ARGUMENTS["EVALUATOR"] if first not in cli.COMMANDS else ""
    return ARGUMENTS.get(command, ARGUMENTS.get(first, default)).split()


@st.composite
def command_lines(draw: st.DrawFn, command: str) -> list[str]:
    """Draw a command line with one or two generated flags."""
    words = command.split()
    flags = [flag for flag in flags_of(words) if flag.name not in SLOW]
    given_flags = draw(st.lists(st.sampled_from(flags), min_size=1, max_size=2)) if flags else []
    generated = [word for flag in given_flags for word in draw(values_of(flag))]
    positional = arguments_of(command)
    replaced = command != "quickstart" and draw(st.integers(0, 7)) == 0
    if replaced:  # an argument too many, or one of them replaced
        position = draw(st.integers(0, len(positional)))
        positional[position : position + 1] = [draw(st.sampled_from(TEXTS))]
    if command == "quickstart":  # a valid one takes a minute
        return [*words, *generated, *positional]
    return [*words, *positional, *generated]


def check(project: Any, command: str, data: st.DataObject) -> None:
    """Draw a command line and check how it ends."""
    words = data.draw(command_lines(command))
    try:
        project.check(words, may_fail=bool({command, command.split()[0]} & MAY_FAIL))
    finally:
        project.restore()


OPTIONS: dict[str, Any] = {
    "derandomize": True,
    "deadline": None,
    "database": None,
    "suppress_health_check": list(HealthCheck),
    "phases": [Phase.generate],  # a command line is short enough without being shrunk
}


@pytest.mark.parametrize("command", COMMANDS)
def test_bad_flags_are_refused_in_one_line(command, project):
    @settings(max_examples=3, **OPTIONS)
    @given(st.data())
    def cases(data):
        check(project, command, data)

    cases()


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_many_bad_flags_are_refused_in_one_line(command, project):
    @settings(max_examples=30, **OPTIONS)
    @given(st.data())
    def cases(data):
        check(project, command, data)

    cases()


def test_every_command_and_its_flags_are_found():
    assert {command.split()[0] for command in COMMANDS} == {*cli.COMMANDS} | {
        name.replace("_", "-") for name in plugins.names("evaluators")
    }
    found = {flag.name: flag.hint for flag in flags_of(["train", "--method", "ls"])}
    assert found["smoothing"] is float
    assert found["threads"] == int | None
    assert {"checkpoint", "method-options"}.isdisjoint(found)
    assert "from" in {flag.name for flag in flags_of(["train-detector"])}
    assert found["checkpoints"] is Path
