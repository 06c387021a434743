"""`sdd-eval plugins`: the installed plugins, and whether they can be imported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sdd_eval import plugins
from sdd_eval.cli.flags import parse
from sdd_eval.cli.terminal import table
from sdd_eval.errors import InputError


@dataclass(frozen=True)
class Flags:
    """List the installed plugins and whether they can be imported."""


def run(arguments: Sequence[str]) -> int:
    """List the plugins of every group; return 1 if one cannot be imported."""
    parse(Flags, arguments, "plugins")
    rows, broken = [], False
    for group in plugins.GROUPS:
        for name, point in plugins.points(group).items():
            try:
                plugins.load(group, name)
                state = "ok"
            except InputError as error:
                state, broken = str(error).split("cannot be imported: ")[-1], True
            package = f"{point.dist.name} {point.dist.version}" if point.dist else ""
            rows.append((group, name, point.value, package, state))
    print(table(rows, ("group", "name", "object", "package", "state")))
    return 1 if broken else 0
