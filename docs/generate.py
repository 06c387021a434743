"""Write the reference pages of the documentation that follow from the code.

Usage: python docs/generate.py

Pages: commands with their flags, the study file, metrics, the columns of results.csv, plugins and
former names. They go to docs/reference/, where git ignores them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import io
import os
import pkgutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.update(COLUMNS="100", NO_COLOR="1")

from sdd_eval import evaluate, metrics, plugins, records, statistics
from sdd_eval.cli import COMMANDS, data_command, exit_code, export_command
from sdd_eval.cli.flags import attribute_docs
from sdd_eval.evaluators.evaluator import task_of
from sdd_eval.former_names import FORMER_NAMES
from sdd_eval.metrics import registry
from sdd_eval.models.build import build
from sdd_eval.records import ModelSpec, Recipe
from sdd_eval.report.tables import results
from sdd_eval.studies import schema

REFERENCE = Path(__file__).parent / "reference"
#: Subcommands that have flags of their own.
SUBCOMMANDS = {
    "data": tuple(data_command.COMMANDS),
    "export": tuple(export_command.COMMANDS),
    "paper": ("claims", "figure-1"),
}


def main(folder: Path = REFERENCE) -> None:
    """Write every page into a folder."""
    folder.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (folder / f"{name}.md").write_text(page(), encoding="utf-8")


def commands() -> str:
    """Return the page of every command: its summary and its help."""
    parts = [
        "# Commands\n\nEvery command has `--help`. Exit codes: 0 success, 1 a job failed or a "
        "check did not hold, 2 invalid input (one line says what), 130 interrupted.\n"
    ]
    for name, summary in COMMANDS.items():
        parts.append(f"## {name}\n\n{summary[0].upper()}{summary[1:]}.\n\n{help_of(name)}")
        parts += [f"### {name} {sub}\n\n{help_of(name, sub)}" for sub in SUBCOMMANDS.get(name, ())]
    parts.append(
        "## Evaluators\n\nOne command for each evaluator, built-in or plugin. All of them take one "
        "or more checkpoints.\n"
    )
    parts += [f"### {name}\n\n{help_of(name)}" for name in plugins.names("evaluators")]
    return "\n".join(parts)


def help_of(*arguments: str) -> str:
    """Return the help of a command as a block of text."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
        exit_code([*arguments, "--help"])
    text = "\n".join(line.rstrip() for line in output.getvalue().strip().splitlines())
    return f"```text\n{text}\n```\n"


def study_file() -> str:
    """Return the page of the study file: its tables, and the fields of a recipe."""
    summary, _, example = inspect.cleandoc(schema.__doc__ or "").partition("\n\n")
    return (
        f"# Study file\n\n{summary}\n\n```toml\n{example}\n```\n\n"
        "[Write a study](../how-to/study.md) explains the tables one by one.\n\n"
        "## Fields of a recipe\n\nFields of `[recipe]` and `[[train]]`; with dashes instead of "
        "underscores they are the flags of `sdd-eval train`.\n\n"
        + table(("field", "default", "meaning"), fields(Recipe))
    )


def metrics_page() -> str:
    """Return the page of metrics: what each evaluator measures, and the functions behind it."""
    parts = [
        "# Metrics\n\nEvery metric by family, and what each evaluator reports. "
        "[What each number means](../explanation/numbers.md) explains them in context.\n"
    ]
    heading = ("metric", "title", "unit", "better", "definition", "source")
    for family, facts in registered().items():
        parts.append(f"## Family: {family}\n\n" + table(heading, facts))
    parts.append(
        "## Evaluators\n\nWhat each evaluator reports for a small network on twenty digits with "
        "its default settings: axes (columns of `results.csv` that say where the value holds), and "
        "the convention that is stored with the number. Some metrics need more than that, for "
        "example `--baseline` or `--audit`.\n"
    )
    for name, rows in measured().items():
        parts.append(f"### {name}\n\n" + table(("metric", "axes", "convention"), rows))
    parts.append("## Functions\n\nThe metrics as functions of NumPy arrays.\n")
    parts += [f"::: {module}\n    options: {{heading_level: 3}}\n" for module in modules(metrics)]
    return "\n".join(parts)


def registered() -> dict[str, list[tuple[str, ...]]]:
    """Return name, title, unit, direction, definition and source of all metrics, by family."""
    families: dict[str, list[tuple[str, ...]]] = {}
    for one in registry.built_in().values():
        facts = (f"`{one.name}`", one.title, one.unit, one.better, one.definition, one.source)
        families.setdefault(one.family, []).append(facts)
    return families


def measured() -> dict[str, list[tuple[str, str, str]]]:
    """Return name, axes and convention of the metrics of each evaluator, by evaluator."""
    network = build(ModelSpec("small_cnn", 10, (0.3,), (0.4,), 8))
    examples = {}
    with tempfile.TemporaryDirectory() as root:
        for name in plugins.names("evaluators"):
            if task_of(plugins.load("evaluators", name)) != records.CLASSIFICATION:
                continue
            run = evaluate(network, name, data="digits", limit=20, root=Path(root))
            first: dict[str, records.Measurement] = {}
            for measurement in run.measurements:
                first.setdefault(measurement.metric, measurement)
            examples[name] = [
                (f"`{m.metric}`", ", ".join(f"`{axis}`" for axis in m.at), m.protocol.text)
                for m in first.values()
            ]
    return examples


def python_api() -> str:
    """Return the page of the Python API: the two entry points, records, protocols, statistics."""
    parts = [
        "# Python API\n\n`sdd_eval.load` and `sdd_eval.evaluate` are the entry points; "
        "[the tutorial](../tutorial.md#from-python) has an example. "
        "[Metrics](metrics.md#functions) lists the functions of `sdd_eval.metrics`.\n"
    ]
    for title, names in API.items():
        parts.append(f"## {title}\n")
        parts += [f"::: {name}\n    options: {{heading_level: 3}}\n" for name in names]
    parts.append("## Statistics\n")
    names = modules(statistics)
    parts += [f"::: {name}\n    options: {{heading_level: 3}}\n" for name in names]
    return "\n".join(parts)


def modules(package: Any) -> list[str]:
    """Return the public modules of a package."""
    infos = pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
    return [info.name for info in infos if not info.name.rpartition(".")[2].startswith("_")]


def results_columns() -> str:
    """Return the page of the columns of results.csv, from the module that writes it."""
    return f"# Columns of results.csv\n\n{inspect.cleandoc(results.__doc__ or '')}\n"


def plugin_tables() -> str:
    """Return the page of all installed plugins, a table a group, and the settings of methods."""
    parts = [
        "# Plugins\n\nBuilt-in plugins and those of other packages are entry points of the same "
        "groups; `sdd-eval plugins` lists what is installed.\n"
    ]
    for group in plugins.GROUPS:
        rows = [(f"`{name}`", summary_of(group, name)) for name in plugins.names(group)]
        parts.append(f"## sdd_eval.{group}\n\n" + table(("name", "summary"), rows))
    parts.append("## Settings of the training methods\n")
    parts += [text for name in plugins.names("methods") if (text := method_settings(name))]
    return "\n".join(parts)


def method_settings(name: str) -> str:
    """Return the section of a method's settings; empty where it has none."""
    rows = list(fields(plugins.load("methods", name)))
    return f"### {name}\n\n{table(('setting', 'default', 'meaning'), rows)}" if rows else ""


def summary_of(group: str, name: str) -> str:
    """Return one line on a plugin: a figure's title and caption, a set's summary, a docstring."""
    plugin = plugins.load(group, name)
    if group == "figures":
        title, caption = getattr(plugin, "title", name), getattr(plugin, "caption", "")
        return f"{title}: {caption.partition('. ')[0].rstrip('.')}." if caption else title
    text = getattr(plugin, "summary", None)
    text = text if isinstance(text, str) else inspect.getdoc(plugin) or ""
    first = text.partition("\n\n")[0].replace("\n", " ").removeprefix("Return ")
    return first[:1].upper() + first[1:]


def former_names() -> str:
    """Return the page of former names, which are accepted for one more release."""
    rows = [(f"`{old}`", f"`{new}`", where) for old, new, where in renamed()]
    return (
        "# Former names\n\nVersion 0.1 used these names. They are accepted for one "
        "more release with a `DeprecationWarning`; runs and checkpoints that were stored under "
        "them are read without one.\n\n"
        + table(("former", "present", "where"), rows)
        + "\n## Replaced\n\nCode and scripts that use these names must be changed.\n\n"
        + table(("former", "present", "where"), REPLACED)
    )


#: Names that were replaced: code and scripts that use them must be changed.
REPLACED = (
    (
        "`score(self, arrays)`",
        "`statistics(self, arrays)`",
        "method of an evaluator; `score` alone has no paired tests",
    ),
    ('`arrays_of("base", arrays)`', '`arrays.compared["base"]`', "Python API of evaluators"),
    ("`protocol`", "`protocol_id`, a row of `protocols.csv`", "column of results.csv"),
    ("`interval`", "`interval_id`, a row of `intervals.csv`", "column of results.csv"),
)


def renamed() -> Iterator[tuple[str, str, str]]:
    """Yield the former name, the present name and the place of everything that was renamed."""
    for old, new in records.former_names(Recipe).items():
        yield old, new, "field of a recipe"
        yield f"--{dashed(old)}", f"--{dashed(new)}", "flag of `train`"
    for evaluator, names in FORMER_NAMES.items():
        for kind in ("metrics", "axes", "settings"):
            for old, new in getattr(names, kind).items():
                singular = {"metrics": "metric", "axes": "axis", "settings": "setting"}[kind]
                yield old, new, f"{singular} of `{evaluator}`"
                if kind == "settings":
                    yield f"--{dashed(old)}", f"--{dashed(new)}", f"flag of `{evaluator}`"
    yield "subject.kept", "subject.stored", "Python API of evaluators"


def dashed(name: str) -> str:
    """Return a field's name as its flag is spelt."""
    return name.replace("_", "-")


def fields(kind: Any) -> Iterator[tuple[str, str, str]]:
    """Yield the name, default and docstring of each field of a dataclass."""
    docs = attribute_docs(kind)
    for field in dataclasses.fields(kind):
        shown = "" if field.default in (None, dataclasses.MISSING) else f"`{field.default}`"
        yield f"`{field.name}`", shown, docs[field.name]


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    cells = [header, ["---"] * len(header), *rows]
    lines = (" | ".join(cell.replace("|", "\\|") for cell in row) for row in cells)
    return "".join(f"| {line} |\n" for line in lines)


#: Sections of the Python API, each with what it documents.
API: Mapping[str, Sequence[str]] = {
    "Entry points": ("sdd_eval.load", "sdd_eval.evaluate", "sdd_eval.training.train.train"),
    "Records": (
        "sdd_eval.records.Run",
        "sdd_eval.records.Measurement",
        "sdd_eval.records.Card",
        "sdd_eval.records.ModelSpec",
        "sdd_eval.records.Recipe",
    ),
    "What plugins implement": (
        "sdd_eval.evaluators.evaluator.Evaluator",
        "sdd_eval.evaluators.subject.Subject",
        "sdd_eval.metrics.registry.Metric",
        "sdd_eval.evaluators.settings",
        "sdd_eval.evaluators.ood.detectors.detector",
        "sdd_eval.evaluators.batch.Batch",
        "sdd_eval.evaluators.batch.Training",
        "sdd_eval.training.methods.method",
        "sdd_eval.data.dataset",
        "sdd_eval.data.images.ImageSet",
        "sdd_eval.models.network.Network",
        "sdd_eval.figures.figure",
    ),
    "In notebooks": (
        "sdd_eval.presentation.Presentable",
        "sdd_eval.report.notebook.open_study",
        "sdd_eval.report.notebook.StudyFrame",
        "sdd_eval.report.notebook.to_frame",
        "sdd_eval.report.notebook.plot",
    ),
    "Exports": (
        "sdd_eval.export.numbers",
        "sdd_eval.export.model_card.write_model_card",
        "sdd_eval.export.wandb.to_wandb",
        "sdd_eval.export.tensorboard.to_tensorboard",
        "sdd_eval.export.mlflow.to_mlflow",
    ),
    "Errors": ("sdd_eval.errors.InputError",),
}

#: The generated pages.
PAGES = {
    "commands": commands,
    "study-file": study_file,
    "metrics": metrics_page,
    "python-api": python_api,
    "results-csv": results_columns,
    "plugins": plugin_tables,
    "former-names": former_names,
}

if __name__ == "__main__":
    main()
