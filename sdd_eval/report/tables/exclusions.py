"""Exclude rows from means, and note the reason on each excluded row."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sdd_eval.records import Run

if TYPE_CHECKING:
    import pandas

#: Columns that, with the axes, identify a number.
_KEY = ("study", "checkpoint", "evaluator", "dataset", "metric", "n", "limited", "fingerprint")

Notes = dict[Any, str]
Runs = Mapping[str, Run]


def with_notes(table: pandas.DataFrame, axes: Sequence[str], runs: Runs) -> pandas.DataFrame:
    """Return the table with a `note` on rows excluded from means; `runs` are by column `run`."""
    table = table.copy()
    for mark in (
        _per_run(_outdated_weights, runs),
        _per_run(_outdated_versions, runs),
        _not_finite,
        lambda rows: _duplicates(rows, axes),
        _per_run(_same_network, runs),
    ):
        noted = table["note"] != ""
        notes: Notes = mark(table[~noted] if noted.any() else table)
        if notes:
            table.loc[list(notes), "note"] = list(notes.values())
    return table


def _per_run(
    mark: Callable[[pandas.DataFrame, Runs], Mapping[str, str]], runs: Runs
) -> Callable[[pandas.DataFrame], Notes]:
    """Extend notes on runs to notes on all rows of these runs."""

    def mark_rows(table: pandas.DataFrame) -> Notes:
        notes = mark(table.drop_duplicates("run"), runs)
        if not notes:
            return {}
        return {index: notes[run] for index, run in table["run"].items() if run in notes}

    return mark_rows


def _network_id(run: Run) -> str:
    model = json.dumps(run.provenance.model, sort_keys=True)
    return f"{run.weights_sha256} {model}"


def _outdated_weights(rows: pandas.DataFrame, runs: Runs) -> dict[str, str]:
    """Note runs of replaced weights: only the most recently evaluated weights are included."""
    notes = {}
    for _, names in rows.groupby(["study", "checkpoint"], sort=False)["run"]:
        last = max(names, key=lambda name: (runs[name].provenance.created, name))
        newest = _network_id(runs[last])
        for name in names:
            if (network := _network_id(runs[name])) != newest:
                notes[name] = (
                    f"older weights {network[:12]}; the checkpoint was evaluated later with "
                    f"{newest[:12]}"
                )
    return notes


def _outdated_versions(rows: pandas.DataFrame, runs: Runs) -> dict[str, str]:
    """Note runs of an older evaluator version if the study has runs of a newer one."""
    notes = {}
    for (_, evaluator), names in rows.groupby(["study", "evaluator"], sort=False)["run"]:
        newest = max(runs[name].evaluator_version for name in names)
        for name in names:
            if (version := runs[name].evaluator_version) < newest:
                notes[name] = f"{evaluator} version {version}; the study has version {newest}"
    return notes


def _not_finite(table: pandas.DataFrame) -> Notes:
    import numpy as np

    rows = table.index[~np.isfinite(table["value"].to_numpy(dtype=float))]
    return dict.fromkeys(rows, "not a finite number")


def _duplicates(table: pandas.DataFrame, axes: Sequence[str]) -> Notes:
    """Note numbers that two runs measured: all but one if they agree, all if they disagree."""
    notes = {}
    keys = [*_KEY, *axes]
    repeated = table[table.duplicated(keys, keep=False)]
    for _, rows in repeated.groupby(keys, dropna=False, sort=False):
        if rows["value"].nunique() == 1:
            first, *others = rows.index
            notes.update(dict.fromkeys(others, f"duplicate of {rows.loc[first, 'run']}"))
            continue
        values = ", ".join(f"{value:.6g}" for value in rows["value"])
        notes.update(dict.fromkeys(rows.index, f"runs disagree on this number: {values}"))
    return notes


def _same_network(rows: pandas.DataFrame, runs: Runs) -> dict[str, str]:
    """Note runs of a copy of another checkpoint in the group, which is not another seed."""
    notes = {}
    for _, members in rows.groupby(["study", "group", "arch"], dropna=False, sort=False):
        owners: dict[str, str] = {}
        for name, checkpoint in zip(members["run"], members["checkpoint"], strict=True):
            first = owners.setdefault(_network_id(runs[name]), checkpoint)
            if first != checkpoint:
                notes[name] = f"same weights as {first}"
    return notes
