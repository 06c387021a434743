"""How the numbers were measured: settings, data, machines, times and commands behind the runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sdd_eval.report.formatting import setting
from sdd_eval.report.runs import Found
from sdd_eval.report.tables.groups import recipe_of


@dataclass(frozen=True)
class Measured:
    """What is common to the runs of one evaluator, and each run."""

    evaluator: str
    versions: tuple[int, ...]
    settings: tuple[str, ...]
    runs: tuple[Mapping[str, str], ...]


@dataclass(frozen=True)
class DataSet:
    """A data set that numbers rest on: name, origin, images, fingerprint."""

    name: str
    origin: str
    images: str
    fingerprint: str


@dataclass(frozen=True)
class Trained:
    """How a checkpoint came to be."""

    checkpoint: str
    group: str
    weights: str
    recipe: tuple[tuple[str, str], ...]


def measured(runs: Sequence[Found], evaluator: str) -> Measured:
    """The runs of an evaluator."""
    own = [found for found in runs if found.run.evaluator == evaluator]
    return Measured(
        evaluator=evaluator,
        versions=tuple(sorted({found.run.evaluator_version for found in own})),
        settings=_distinct(setting(dict(found.run.settings)) for found in own),
        runs=tuple(_run(found) for found in own),
    )


def _run(found: Found) -> dict[str, str]:
    """One run as a row of text."""
    run, told = found.run, found.run.provenance
    return {
        "checkpoint": run.checkpoint,
        "data set": run.dataset,
        "images": f"{run.n:,}" + (f" (limit {run.limit:,})" if run.limit is not None else ""),
        "seconds": _seconds(told.get("seconds")),
        "device": setting(told.get("device")),
        "threads": setting(told.get("threads")),
        "when": setting(told.get("created")),
        "command": setting(told.get("command")),
        "file": found.name,
    }


def _seconds(value: Any) -> str:
    return f"{value:.1f}" if isinstance(value, int | float) else "—"


def data_sets(runs: Iterable[Found]) -> list[DataSet]:
    """Every data set of the runs once for each content."""
    found: dict[DataSet, None] = {}
    for each in runs:
        data = each.run.provenance.get("data")
        for name, entry in (data if isinstance(data, Mapping) else {}).items():
            entry = entry if isinstance(entry, Mapping) else {"origin": entry}
            images = entry.get("images")
            shown = f"{images:,}" if isinstance(images, int) else setting(entry.get("frost"))
            if "frost" in entry:
                shown = f"{setting(entry['frost'])} frost"
            print_of = str(entry.get("fingerprint") or "")[:12] or "—"
            key = DataSet(str(name), setting(entry.get("origin")), shown, print_of)
            found[key] = None
    return list(found)


def surroundings(runs: Iterable[Found]) -> list[tuple[str, str]]:
    """Versions of packages, machines and arithmetic; all values where runs differ."""
    values: dict[str, list[str]] = {}
    for each in runs:
        told = each.run.provenance
        versions = told.get("versions")
        facts = dict(versions) if isinstance(versions, Mapping) else {}
        facts |= {name: told.get(name) for name in ("machine", "device", "threads", "tf32")}
        folding = told.get("folding")
        if isinstance(folding, Mapping):
            folded, norms = folding.get("folded"), folding.get("batch_norms")
            facts["batch norms folded"] = f"{folded} of {norms}"
        for name, value in facts.items():
            values.setdefault(str(name), []).append(setting(value))
    return [(name, ", ".join(_distinct(found))) for name, found in values.items()]


def trained(runs: Iterable[Found], labels: Mapping[str, str]) -> list[Trained]:
    """Every checkpoint with its recipe; `labels` gives the group of each run."""
    found: dict[tuple[str, str, str], Trained] = {}
    for each in runs:
        recipe = recipe_of(each) or {}
        rows = tuple((name.replace("_", " "), setting(value)) for name, value in recipe.items())
        key = (each.study, each.run.checkpoint, each.run.weights_sha256)
        weights = each.run.weights_sha256[:12]
        found[key] = Trained(each.run.checkpoint, labels[each.name], weights, rows)
    return list(found.values())


def in_common(found: Sequence[Trained]) -> tuple[tuple[str, str], ...]:
    """The facts that all recipes share; none where there is one recipe."""
    recipes = [each.recipe for each in found if each.recipe]
    if len(recipes) < 2:
        return ()
    shared = set(recipes[0]).intersection(*recipes[1:])
    return tuple(fact for fact in recipes[0] if fact in shared)


def seconds(runs: Iterable[Found]) -> float:
    """How long all measuring took."""
    told = [found.run.provenance.get("seconds") for found in runs]
    return sum(float(value) for value in told if isinstance(value, int | float))


def commands(runs: Iterable[Found]) -> dict[str, str]:
    """The distinct commands that made the runs, each with the mark that stands for it: C1, C2 …"""
    told = [found.run.provenance.get("command") for found in runs]
    distinct = _distinct(str(command) for command in told if command)
    return {command: f"C{number}" for number, command in enumerate(distinct, start=1)}


def _distinct(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))
