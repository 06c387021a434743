"""Which rows may enter a mean, and why others may not: nothing is averaged in silence."""

from __future__ import annotations

from collections.abc import Mapping
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
        lambda t: _other_formats(t, formats),
        lambda t: _old_weights(t, created, weights),
        lambda t: _old_versions(t, versions),
        _not_numbers,
        _twice,
        lambda t: _same_network(t, weights),
    ):
        notes: dict[Any, str] = mark(table[table["note"] == ""])
        if notes:
            table.loc[list(notes), "note"] = list(notes.values())
    return table


def _other_formats(table: pandas.DataFrame, formats: Mapping[str, int]) -> dict[Any, str]:
    """Rows of files that this version would write otherwise: what they mean is not sure."""
    return {
        index: f"format {formats[run]} of the file; this version writes {FORMAT}"
        for index, run in table["run"].items()
        if formats[run] != FORMAT
    }


def _old_weights(
    table: pandas.DataFrame, created: Mapping[str, str], weights: Mapping[str, str]
) -> dict[Any, str]:
    """Rows of weights that a checkpoint no longer has: of two, those evaluated last are kept."""
    notes = {}
    for _, rows in table.groupby(["study", "checkpoint"], sort=False):
        runs = sorted(set(rows["run"]), key=lambda run: (created[run], run))
        if not runs:
            continue
        newest = weights[runs[-1]]
        for index, run in rows["run"].items():
            if weights[run] != newest:
                notes[index] = (
                    f"older weights {weights[run][:12]}; the checkpoint was evaluated later "
                    f"with {newest[:12]}"
                )
    return notes


def _old_versions(table: pandas.DataFrame, versions: Mapping[str, int]) -> dict[Any, str]:
    """Rows of an evaluator's older version, where a newer one measured anything in the study."""
    notes = {}
    for (_, evaluator), rows in table.groupby(["study", "evaluator"], sort=False):
        newest = max(versions[run] for run in rows["run"])
        for index, run in rows["run"].items():
            if versions[run] < newest:
                notes[index] = f"{evaluator} version {versions[run]}; there is version {newest}"
    return notes


def _not_numbers(table: pandas.DataFrame) -> dict[Any, str]:
    """Rows whose value is NaN or infinite."""
    import numpy as np

    bad = table.index[~np.isfinite(table["value"].to_numpy(dtype=float))]
    return dict.fromkeys(bad, "not a finite number")


def _twice(table: pandas.DataFrame) -> dict[Any, str]:
    """The same number from two runs: one is kept if they agree, none if they disagree."""
    from sdd_eval.report.table import axes_of

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


def _same_network(table: pandas.DataFrame, weights: Mapping[str, str]) -> dict[Any, str]:
    """Rows of a second checkpoint with the same weights in the same group: not another seed."""
    notes = {}
    for _, rows in table.groupby(["study", "group", "arch"], dropna=False, sort=False):
        owner: dict[str, str] = {}
        for index, run, checkpoint in zip(rows.index, rows["run"], rows["checkpoint"], strict=True):
            first = owner.setdefault(weights[run], checkpoint)
            if first != checkpoint:
                notes[index] = f"the same weights as {first}"
    return notes
