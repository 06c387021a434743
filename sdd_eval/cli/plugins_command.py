"""`sdd-eval plugins`: what is installed, and what of it does not import."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sdd_eval import plugins
from sdd_eval.cli.flags import parse, table
from sdd_eval.errors import InputError


@dataclass(frozen=True)
class Flags:
    """No flags."""


def run(arguments: Sequence[str]) -> int:
    """List every plugin of every group; 1 if one does not import."""
    parse(Flags, arguments, "plugins", "What is installed, and what of it does not import.")
    rows, broken = [], False
    for group in plugins.GROUPS:
        for name, point in plugins.points(group).items():
            try:
                plugins.load(group, name)
                state = "ok"
            except InputError as error:
                state, broken = str(error).split("does not import: ")[-1], True
            package = f"{point.dist.name} {point.dist.version}" if point.dist else ""
            rows.append((group, name, point.value, package, state))
    print(table(rows, ("group", "name", "object", "package", "state")))
    return 1 if broken else 0
