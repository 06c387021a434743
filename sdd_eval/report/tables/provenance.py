"""The provenance of the numbers: settings, data, environment, times and commands of the runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdd_eval.metrics.formatting import format_setting
from sdd_eval.report.runs import StudyRun
from sdd_eval.report.tables.groups import used_recipe

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class EvaluatorRuns:
    """The versions and settings of one evaluator, and a row of text for each of its runs."""

    evaluator: str
    versions: tuple[int, ...]
    settings: tuple[str, ...]
    runs: tuple[Mapping[str, str], ...]


@dataclass(frozen=True)
class DataSetRow:
    """A data set behind some numbers: name, origin, number of images and fingerprint."""

    name: str
    origin: str
    images: str
    fingerprint: str


@dataclass(frozen=True)
class CheckpointRow:
    """A checkpoint with the recipe that it was trained with, as text."""

    checkpoint: str
    group: str
    weights: str
    recipe: tuple[tuple[str, str], ...]


def evaluator_runs(runs: Sequence[StudyRun], evaluator: str) -> EvaluatorRuns:
    """Return the runs of an evaluator."""
    entries = [entry for entry in runs if entry.run.evaluator == evaluator]
    return EvaluatorRuns(
        evaluator=evaluator,
        versions=tuple(sorted({entry.run.evaluator_version for entry in entries})),
        settings=_distinct(map(_settings, entries)),
        runs=tuple(_run_row(entry) for entry in entries),
    )


def _settings(entry: StudyRun) -> str:
    """Return the settings of a run, and the evaluator from whose logits it is derived, if any."""
    source = entry.run.provenance.derived_from
    derived = f" (derived from the logits of {source})" if source else ""
    return format_setting(dict(entry.run.settings)) + derived


def _run_row(entry: StudyRun) -> dict[str, str]:
    run, provenance = entry.run, entry.run.provenance
    seconds = provenance.seconds
    return {
        "checkpoint": run.checkpoint,
        "data set": run.dataset,
        "images": f"{run.n:,}" + (f" (limit {run.limit:,})" if run.limit is not None else ""),
        "seconds": "—" if seconds is None else f"{seconds:.1f}",
        "device": format_setting(provenance.device),
        "threads": format_setting(provenance.threads),
        "time": format_setting(provenance.created),
        "command": format_setting(provenance.command),
        "file": entry.name,
    }


def runs_table(runs: Iterable[StudyRun]) -> pandas.DataFrame:
    """Return a row per run, with the full hashes of its weights and its images.

    A run has one row here and many in `results.csv`, which have its name in the column `run`.
    """
    import pandas

    rows = [
        {
            "run": entry.name,
            "study": entry.study,
            "checkpoint": entry.run.checkpoint,
            "weights_sha256": entry.run.weights_sha256,
            "dataset": entry.run.dataset,
            "data_fingerprint": entry.run.data_fingerprint,
            "evaluator": entry.run.evaluator,
            "evaluator_version": entry.run.evaluator_version,
            "limit": entry.run.limit,
            "n": entry.run.n,
            "created": entry.run.provenance.created,
        }
        for entry in runs
    ]
    table: pandas.DataFrame = pandas.DataFrame(rows, dtype=object)
    return table


def data_sets(runs: Iterable[StudyRun]) -> list[DataSetRow]:
    """Return every data set of the runs, once for each content."""
    rows: dict[DataSetRow, None] = {}
    for entry in runs:
        for name, facts in entry.run.provenance.data.items():
            size = "—" if facts.images is None else f"{facts.images:,}"
            if facts.frost is not None:
                size = f"{facts.frost} frost"
            fingerprint = (facts.fingerprint or "—")[:12]
            rows[DataSetRow(name, format_setting(facts.origin), size, fingerprint)] = None
    return list(rows)


def environment(runs: Iterable[StudyRun]) -> list[tuple[str, str]]:
    """Return package versions, machine, device, threads and TF32; all values if runs differ."""
    values: dict[str, list[str]] = {}
    for entry in runs:
        provenance = entry.run.provenance
        facts: dict[str, Any] = dict(provenance.versions or {})
        facts |= {n: getattr(provenance, n) for n in ("machine", "device", "threads", "tf32")}
        if provenance.folding is not None:
            folded, total = map(provenance.folding.get, ("folded", "batch_norms"))
            facts["batch norms folded"] = f"{folded} of {total}"
        if provenance.resizing is not None:
            facts["resizing of image files"] = str(provenance.resizing)
        for name, value in facts.items():
            values.setdefault(name, []).append(format_setting(value))
    return [(name, ", ".join(_distinct(texts))) for name, texts in values.items()]


def checkpoints(runs: Iterable[StudyRun], labels: Mapping[str, str]) -> list[CheckpointRow]:
    """Return every checkpoint with its recipe; `labels` gives the group of each run."""
    rows: dict[tuple[str, str, str], CheckpointRow] = {}
    for entry in runs:
        recipe = used_recipe(entry)
        facts = tuple((name.replace("_", " "), format_setting(v)) for name, v in recipe.items())
        run, group = entry.run, labels[entry.name]
        key = (entry.study, run.checkpoint, run.weights_sha256)
        rows[key] = CheckpointRow(run.checkpoint, group, run.weights_sha256[:12], facts)
    return list(rows.values())


def shared_recipe(rows: Sequence[CheckpointRow]) -> tuple[tuple[str, str], ...]:
    """Return the settings that all recipes share; empty for fewer than two recipes."""
    recipes = [row.recipe for row in rows if row.recipe]
    if len(recipes) < 2:
        return ()
    shared = set(recipes[0]).intersection(*recipes[1:])
    return tuple(fact for fact in recipes[0] if fact in shared)


def total_seconds(runs: Iterable[StudyRun]) -> float:
    """Return the total time of the runs in seconds."""
    return sum(entry.run.provenance.seconds or 0.0 for entry in runs)


def command_labels(runs: Iterable[StudyRun]) -> dict[str, str]:
    """Return the distinct commands of the runs with their labels C1, C2 and so on."""
    commands = [entry.run.provenance.command for entry in runs]
    distinct = _distinct(command for command in commands if command)
    return {command: f"C{number}" for number, command in enumerate(distinct, start=1)}


def _distinct(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))
