"""Dataclasses become flags; what is wrong with them becomes one line."""

from __future__ import annotations

import contextlib
import io
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import tyro

from sdd_eval.device import prepare_device, set_threads
from sdd_eval.errors import InputError

Flags = TypeVar("Flags")


@dataclass(frozen=True)
class Threads:
    """With how many threads to work."""

    threads: int | None = None
    """Threads of a CPU; by default the libraries' own choice. Give 1 to each of several processes,
    and where another one is busy: two threads that wait for it are slower than one."""


@dataclass(frozen=True)
class Work(Threads):
    """Where to work, and with what."""

    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    data_root: Path | None = None
    """Where data sets lie; by default $SDD_EVAL_DATA, else the user's cache folder."""
    trust_code: bool = False
    """Run the code of a network that is no library's: file.py:factory, package.module:factory."""


def parse(kind: type[Flags], arguments: Sequence[str], program: str, description: str) -> Flags:
    """Flags as a dataclass; `--help` prints and exits.

    Raises:
        InputError: a flag is unknown, lacks its value, or has a value of another type.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(
                kind,
                args=list(arguments),
                prog=f"sdd-eval {program}",
                description=description,
                config=(tyro.conf.OmitArgPrefixes,),
            )
    except SystemExit as error:
        if error.code == 0:
            raise
        raise InputError(_one_line(said.getvalue(), program)) from None


def _one_line(box: str, program: str) -> str:
    """The words of a drawn box of several paragraphs, without its frame and its hints on help."""
    words = []
    for line in box.splitlines():
        if line.startswith("│") and line.strip("│ ─"):
            words.append(line.strip("│ "))
    text = " ".join(words) or box.strip()
    text = text.split("For full helptext")[0].split("Argument helptext")[0].strip()
    return f"{text} (see sdd-eval {program} --help)"


def limit(work: Threads) -> None:
    """Limit the threads of NumPy's libraries and of torch, where it is imported.

    Raises:
        InputError: the number of threads is not positive.
    """
    set_threads(work.threads)


def prepared(work: Work) -> str:
    """Set threads and memory allocator; return the name of the device.

    Raises:
        InputError: there is no such device, or the number of threads is not positive.
    """
    return prepare_device(work.device, work.threads)


def command_line() -> str:
    """The command as it was typed, for the record."""
    return shlex.join(["sdd-eval", *sys.argv[1:]])


def table(rows: Sequence[Sequence[Any]], header: Sequence[str]) -> str:
    """Aligned columns, numbers to the right."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    numeric = [all(_is_number(row[i]) for row in cells[1:]) for i in range(len(header))]

    def line(row: list[str]) -> str:
        each = zip(row, widths, numeric, strict=True)
        padded = (c.rjust(w) if right else c.ljust(w) for c, w, right in each)
        return "  ".join(padded).rstrip()

    return "\n".join(map(line, cells))


def _is_number(cell: str) -> bool:
    return cell.strip("%-+,. ").replace(",", "").replace(".", "").isdigit() or cell in ("", "—")
