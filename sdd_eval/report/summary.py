"""Means over seeds: rows that differ in nothing but seed and checkpoint become one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdd_eval.comparison.protocols import kind_of
from sdd_eval.report.table import COLUMNS, axes_of
from sdd_eval.statistics.seeds import spread

if TYPE_CHECKING:
    import pandas

#: What may differ between the rows of one mean.
_OVER = (
    "checkpoint",
    "seed",
    "value",
    "low",
    "high",
    "level",
    "interval",
    "run",
    "note",
    "fingerprint",
)

#: The columns of `summary.csv` before the axes; `n` counts networks, `images` the images of each.
SUMMARY = (
    "study",
    "group",
    "method",
    "sd_dropout",
    "dataset",
    "arch",
    "evaluator",
    "metric",
    "mean",
    "std",
    "n",
    "unit",
    "images",
    "limited",
    "protocol",
    "data",
    "setting",
    "test_set",
)


def summarise(results: pandas.DataFrame) -> pandas.DataFrame:
    """Mean, sample standard deviation (NaN for one network) and count, for each group and place.

    Rows with a note stay out, and limited rows never meet full ones.
    """
    import pandas

    axes = axes_of(results)
    kept = results[results["note"] == ""]
    kept = _with_kinds(kept)
    by = [name for name in COLUMNS if name not in _OVER] + axes + ["fingerprint"]
    rows = []
    for _, alike in kept.groupby(by, dropna=False, sort=False):
        found = spread(alike["value"])
        row = alike.iloc[0].to_dict()
        rows.append({**row, "mean": found.mean, "std": found.std, "n": found.n, "images": row["n"]})
    summary = pandas.DataFrame(rows, columns=[*SUMMARY, *axes], dtype=object)
    typed: pandas.DataFrame = summary.astype({"mean": float, "std": float})
    return typed


def usable(results: pandas.DataFrame) -> pandas.DataFrame:
    """The rows that figures and headline numbers are made of.

    Rows with a note are out; so are limited rows of a metric and group that has full ones.
    Protocols are those of the group, not of one network.
    """
    kept = results[results["note"] == ""]
    keys = ["study", "test_set", "group", "arch", "evaluator", "metric"]
    has_full = kept.groupby(keys, dropna=False)["limited"].transform("min") == 0
    return _with_kinds(kept[~(kept["limited"] & has_full)])


def _with_kinds(results: pandas.DataFrame) -> pandas.DataFrame:
    """The table with protocols that the seeds of a group share."""
    protocols = [kind_of(str(each)) for each in results["protocol"]]
    changed: pandas.DataFrame = results.assign(protocol=protocols)
    return changed
