"""`sdd-eval completion SHELL`: a script that completes commands, flags and checkpoints."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from sdd_eval import cli, plugins
from sdd_eval.cli.flags import parse
from sdd_eval.errors import InputError

Shell = Literal["bash", "zsh", "fish", ""]


@dataclass(frozen=True)
class Flags:
    """Print a shell script that completes commands, flags and names of checkpoints."""

    shell: Annotated[tyro.conf.Positional[Shell], tyro.conf.arg(metavar="SHELL")] = ""
    """bash, zsh or fish."""


def run(arguments: Sequence[str]) -> int:
    """Print the script."""
    shell = parse(Flags, arguments, "completion").shell
    if not shell:
        raise InputError("no shell is named; use: sdd-eval completion bash, zsh or fish")
    flags = {name: tuple(_flags(name)) for name in _commands()}
    print(_fish(flags) if shell == "fish" else _bash(flags, zsh=shell == "zsh"))
    return 0


def _commands() -> list[str]:
    """Return all commands and evaluators."""
    return [*cli.COMMANDS, *(name.replace("_", "-") for name in plugins.names("evaluators"))]


def _flags(command: str) -> Iterator[str]:
    """Yield the flags in the help of a command, and its subcommands."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        cli.dispatch([command, "--help"])
    yield from dict.fromkeys(re.findall(r"(?m)^[│ ]*(?:-\w, )?(--[a-z][\w-]*)", text.getvalue()))
    yield from re.findall(r"(?m)^  ([\w-]+)  +\S", text.getvalue())  # subcommands of `data`


def _is_flag(word: str) -> bool:
    return word.startswith("--")


_BASH = """\
_sdd_eval() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} words=
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "{commands}" -- "$word"))
        return
    fi
    case ${{COMP_WORDS[1]}} in
{cases}
    esac
    if [[ $word != -* ]]; then
        words="${{words//--*/}} $(ls checkpoints 2>/dev/null)"
    fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
    [ ${{#COMPREPLY[@]}} -gt 0 ] || COMPREPLY=($(compgen -f -- "$word"))
}}
complete -o filenames -F _sdd_eval sdd-eval"""


def _bash(flags: Mapping[str, Sequence[str]], *, zsh: bool) -> str:
    """Return a script for bash, or for zsh, which can run bash scripts."""
    # Subcommands come first, so that only they complete a word that is not a flag.
    ordered = {name: sorted(words, key=_is_flag) for name, words in flags.items()}
    lines = (f'    {name}) words="{" ".join(words)}" ;;' for name, words in ordered.items())
    cases = "\n".join(lines)
    script = _BASH.format(commands=" ".join(flags), cases=cases)
    return f"autoload -U +X bashcompinit && bashcompinit\n{script}" if zsh else script


def _fish(flags: Mapping[str, Sequence[str]]) -> str:
    """Return a script for fish."""
    lines = [f"complete -c sdd-eval -n __fish_use_subcommand -f -a '{' '.join(flags)}'"]
    for name, words in flags.items():
        seen = f"complete -c sdd-eval -n '__fish_seen_subcommand_from {name}'"
        lines += [f"{seen} -l {w[2:]}" if _is_flag(w) else f"{seen} -a {w}" for w in words]
        lines.append(f"{seen} -a '(ls checkpoints 2>/dev/null)'")
    return "\n".join(lines)
