"""Which rows may enter a mean, and why others may not: nothing is averaged in silence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sdd_eval.records import FORMAT

if TYPE_CHECKING:
    import pandas

#: What makes two rows the same number measured twice, besides the axes.
_SAME = ("study", "checkpoint", "evaluator", "dataset", "metric", "n", "limited", "fingerprint")


def audited(
    table: pandas.DataFrame,
    created: Mapping[str, str],
    weights: Mapping[str, str],
    versions: Mapping[str, int],
    formats: Mapping[str, int],
) -> pandas.DataFrame:
    """The table with a `note` on each row that enters no mean.

    `created`, `weights`, `versions` and `formats` give each run's time, weights, evaluator's
    version and format of its file.
    """
    table = table.copy()
    for mark in (
        _of_runs(lambda runs: _other_formats(runs, formats)),
        _of_runs(lambda runs: _old_weights(runs, created, weights)),
        _of_runs(lambda runs: _old_versions(runs, versions)),
        _not_numbers,
        _twice,
        _of_runs(lambda runs: _same_network(runs, weights)),
    ):
        noted = table["note"] != ""
        notes: dict[Any, str] = mark(table[~noted] if noted.any() else table)
        if notes:
            table.loc[list(notes), "note"] = list(notes.values())
    return table


Notes = dict[Any, str]


def _of_runs(
    mark: Callable[[pandas.DataFrame], Mapping[str, str]],
) -> Callable[[pandas.DataFrame], Notes]:
    """Notes of rows from a mark that looks at a row a run and gives notes by run."""

    def of_rows(table: pandas.DataFrame) -> Notes:
        notes = mark(table.drop_duplicates("run"))
        if not notes:
            return {}
        return {index: notes[run] for index, run in table["run"].items() if run in notes}

    return of_rows


def _other_formats(runs: pandas.DataFrame, formats: Mapping[str, int]) -> dict[str, str]:
    """Files that this version would write otherwise: what they mean is not sure."""
    return {
        run: f"format {formats[run]} of the file; this version writes {FORMAT}"
        for run in runs["run"]
        if formats[run] != FORMAT
    }


def _old_weights(
    runs: pandas.DataFrame, created: Mapping[str, str], weights: Mapping[str, str]
) -> dict[str, str]:
    """Runs of weights that a checkpoint no longer has: of two, those evaluated last are kept."""
    notes = {}
    for _, alike in runs.groupby(["study", "checkpoint"], sort=False)["run"]:
        newest = weights[max(alike, key=lambda run: (created[run], run))]
        for run in alike:
            if weights[run] != newest:
                notes[run] = (
                    f"older weights {weights[run][:12]}; the checkpoint was evaluated later "
                    f"with {newest[:12]}"
                )
    return notes


def _old_versions(runs: pandas.DataFrame, versions: Mapping[str, int]) -> dict[str, str]:
    """Runs of an evaluator's older version, where a newer one measured anything in the study."""
    notes = {}
    for (_, evaluator), alike in runs.groupby(["study", "evaluator"], sort=False)["run"]:
        newest = max(versions[run] for run in alike)
        for run in alike:
            if versions[run] < newest:
                notes[run] = f"{evaluator} version {versions[run]}; there is version {newest}"
    return notes


def _not_numbers(table: pandas.DataFrame) -> Notes:
    """Rows whose value is NaN or infinite."""
    import numpy as np

    bad = table.index[~np.isfinite(table["value"].to_numpy(dtype=float))]
    return dict.fromkeys(bad, "not a finite number")


def _twice(table: pandas.DataFrame) -> Notes:
    """The same number from two runs: one is kept if they agree, none if they disagree."""
    from sdd_eval.report.tables.results import axes_of

    notes = {}
    keys = [*_SAME, *axes_of(table)]
    repeated = table[table.duplicated(keys, keep=False)]
    for _, rows in repeated.groupby(keys, dropna=False, sort=False):
        if rows["value"].nunique() == 1:
            first, *rest = rows.index
            notes.update(dict.fromkeys(rest, f"again in {rows.loc[first, 'run']}"))
            continue
        values = ", ".join(f"{value:.6g}" for value in rows["value"])
        notes.update(dict.fromkeys(rows.index, f"runs disagree under the same key: {values}"))
    return notes


def _same_network(runs: pandas.DataFrame, weights: Mapping[str, str]) -> dict[str, str]:
    """Runs of a second checkpoint with the same weights in the same group: not another seed."""
    notes = {}
    for _, alike in runs.groupby(["study", "group", "arch"], dropna=False, sort=False):
        owner: dict[str, str] = {}
        for run, checkpoint in zip(alike["run"], alike["checkpoint"], strict=True):
            first = owner.setdefault(weights[run], checkpoint)
            if first != checkpoint:
                notes[run] = f"the same weights as {first}"
    return notes
