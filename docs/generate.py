"""Write the reference pages of the documentation that follow from the code.

Usage: python docs/generate.py

Pages: commands with their flags, the study file, the columns of results.csv, plugins, former names.
They go to docs/reference/, which git ignores.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import inspect
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["COLUMNS"] = "100"
os.environ["NO_COLOR"] = "1"

from sdd_eval import plugins
from sdd_eval.cli import COMMANDS, exit_code
from sdd_eval.records import Recipe
from sdd_eval.report.tables import results
from sdd_eval.studies import schema

REFERENCE = Path(__file__).parent / "reference"
#: Subcommands that have flags of their own.
SUBCOMMANDS = {"data": ("list", "get", "add", "corrupt", "check", "cache"), "paper": ("claims",)}


def main() -> None:
    """Write every page."""
    REFERENCE.mkdir(exist_ok=True)
    pages = {
        "commands": commands(),
        "study-file": study_file(),
        "results-csv": results_columns(),
        "plugins": plugin_tables(),
    }
    for name, text in pages.items():
        (REFERENCE / f"{name}.md").write_text(text, encoding="utf-8")


def commands() -> str:
    """Return the page of every command: its summary and its help."""
    parts = ["# Commands\n\nEvery command has `--help`. Exit codes: 0 success, 1 a job failed or a check did not hold, "
             "2 bad input (one line says what), 130 interrupted.\n"]
    for name, summary in COMMANDS.items():
        parts.append(f"## {name}\n\n{summary[0].upper()}{summary[1:]}.\n\n{help_of(name)}")
        parts += [f"### {name} {sub}\n\n{help_of(name, sub)}" for sub in SUBCOMMANDS.get(name, ())]
    parts.append("## Evaluators\n\nOne command for each evaluator, built-in or plugin.\n")
    for name in plugins.names("evaluators"):
        parts.append(f"### {name}\n\n{help_of(name)}")
    return "\n".join(parts)


def help_of(*arguments: str) -> str:
    """Return the help of a command as a block of text."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        exit_code([*arguments, "--help"])
    return f"```text\n{text.getvalue().strip()}\n```\n"


def study_file() -> str:
    """Return the page of the study file: its tables, and the fields of a recipe."""
    text = inspect.cleandoc(schema.__doc__ or "")
    summary, _, example = text.partition("\n\n")
    rows = "\n".join(f"| `{name}` | {default} | {text} |" for name, default, text in fields(Recipe))
    return (
        f"# Study file\n\n{summary}\n\n```toml\n{example}\n```\n\n"
        "## Fields of a recipe\n\nIn `[recipe]` and `[[train]]`, and with dashes as flags of `train`.\n\n"
        f"| field | default | meaning |\n|---|---|---|\n{rows}\n"
    )


def results_columns() -> str:
    """Return the page of the columns of results.csv, from the module that writes it."""
    return f"# Columns of results.csv\n\n{inspect.cleandoc(results.__doc__ or '')}\n"


def plugin_tables() -> str:
    """Return the page of all installed plugins, a table a group."""
    parts = ["# Plugins\n\nBuilt-in plugins and yours are entry points of the same groups.\n"]
    for group in plugins.GROUPS:
        rows = [f"| `{name}` | {summary_of(group, name)} |" for name in plugins.names(group)]
        parts.append(f"## sdd_eval.{group}\n\n| name | summary |\n|---|---|\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def summary_of(group: str, name: str) -> str:
    """Return the first line of a plugin's docstring, or of its description."""
    plugin = plugins.load(group, name)
    text = getattr(plugin, "summary", None) or getattr(plugin, "description", None)
    text = text if isinstance(text, str) else inspect.getdoc(plugin) or ""
    return text.splitlines()[0] if text else ""


def fields(kind: Any) -> Iterator[tuple[str, str, str]]:
    """Yield the name, default and docstring of each field of a dataclass."""
    (tree,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(tree, ast.ClassDef)
    defaults = {field.name: field.default for field in dataclasses.fields(kind)}
    for statement, after in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(statement, ast.AnnAssign) and isinstance(after, ast.Expr):
            name = ast.unparse(statement.target)
            default = defaults[name]
            shown = "" if default in (None, dataclasses.MISSING) else f"`{default}`"
            yield name, shown, " ".join(ast.literal_eval(after.value).split())


if __name__ == "__main__":
    main()
