"""Means over seeds: rows that differ in nothing but seed and checkpoint become one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from sdd_eval.comparison.matching import comparable_protocol
from sdd_eval.comparison.run_statistics import PER_NETWORK_PROTOCOL
from sdd_eval.report.tables.results import COLUMNS, axes_of
from sdd_eval.statistics.seeds import SeedSummary, summarize_seeds

if TYPE_CHECKING:
    import pandas
    from numpy.typing import NDArray

#: How a number was measured: what differs in these is neither averaged nor set side by side.
WAYS = ("n", "limited", "data", "protocol", "fingerprint")

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
    axes = axes_of(results)
    kept = _with_kinds(results[results["note"] == ""])
    by = [name for name in COLUMNS if name not in _OVER] + axes + ["fingerprint"]
    firsts, found = _spreads(kept, by)
    summary = kept.iloc[firsts].assign(
        images=kept["n"].iloc[firsts],
        mean=[each.mean for each in found],
        std=[each.std for each in found],
        n=[each.n for each in found],
    )
    ordered = summary[[*SUMMARY, *axes]].reset_index(drop=True).astype(object)
    typed: pandas.DataFrame = ordered.astype({"mean": float, "std": float})
    return typed


def _spreads(
    rows: pandas.DataFrame, by: Sequence[str]
) -> tuple[NDArray[np.intp], list[SeedSummary]]:
    """The place of the first row of each group, in their order, and the spread of its values."""
    number = _group_numbers(rows, by)
    order = np.argsort(number, kind="stable")
    starts = np.flatnonzero(np.diff(number[order], prepend=-1))
    values = np.split(rows["value"].to_numpy(dtype=float)[order], starts[1:])
    return order[starts], [summarize_seeds(each) for each in values[: len(starts)]]


def _group_numbers(rows: pandas.DataFrame, by: Sequence[str]) -> NDArray[np.intp]:
    """Of each row the number of its group: all that agree in these columns, or have none there.

    pandas' groupby does the same, and takes seconds for forty columns of a hundred networks.
    """
    import pandas

    number = np.zeros(len(rows), dtype=np.intp)
    for name in by:
        codes, known = pandas.factorize(rows[name])
        number = pandas.factorize(number * (len(known) + 1) + codes + 1)[0]
    return number


def usable(results: pandas.DataFrame) -> pandas.DataFrame:
    """The rows that figures and headline numbers are made of.

    Rows with a note are out; so are limited rows of a metric and group that has full ones.
    Protocols are those of the group, not of one network.
    """
    kept = results[results["note"] == ""]
    limited = kept["limited"].to_numpy(dtype=bool)
    if limited.any():
        number = _group_numbers(kept, ("study", "test_set", "group", "arch", "evaluator", "metric"))
        kept = kept[~(limited & np.isin(number, number[~limited]))]
    return _with_kinds(kept)


def measured_alike(rows: pandas.DataFrame) -> pandas.DataFrame:
    """Of each number, wherever it holds, the rows of the way in which most networks were measured.

    So that a figure sets nothing side by side that is not of the same images by one protocol. Of
    ways that are equally common, one of all images, then the first.
    """
    place = _group_numbers(rows, ("evaluator", "dataset", "metric", *axes_of(rows)))
    own = rows["metric"].isin(PER_NETWORK_PROTOCOL)
    way = _group_numbers(rows.assign(protocol=rows["protocol"].mask(own, "")), WAYS)
    pair = _group_numbers(rows.assign(place=place, way=way), ("place", "way"))
    counts = np.bincount(pair)
    first = np.full(len(counts), len(rows), dtype=np.intp)
    np.minimum.at(first, pair, np.arange(len(rows)))
    order = np.lexsort((first, rows["limited"].to_numpy(dtype=bool)[first], -counts, place[first]))
    places = place[first[order]]
    chosen = order[np.diff(places, prepend=-1) != 0]
    kept: pandas.DataFrame = rows[np.isin(pair, chosen)]
    return kept


def _with_kinds(results: pandas.DataFrame) -> pandas.DataFrame:
    """The table with protocols that the seeds of a group share."""
    kinds = {each: comparable_protocol(str(each)) for each in results["protocol"].unique()}
    protocols = [kinds[each] for each in results["protocol"]]
    changed: pandas.DataFrame = results.assign(protocol=protocols)
    return changed


@dataclass(frozen=True)
class Comparison:
    """The rows of one study, test set and architecture."""

    study: str
    test_set: str
    arch: str
    results: pandas.DataFrame

    @property
    def title(self) -> str:
        """The test set and the architecture."""
        return f"{self.test_set}, {self.arch}"

    @cached_property
    def summary(self) -> pandas.DataFrame:
        """The means over seeds of what may stand in a table or figure, made once."""
        return summarise(usable(self.results))


def comparisons(results: pandas.DataFrame) -> list[Comparison]:
    """The comparisons of a table, in the order in which they occur."""
    found = []
    keys = ["study", "test_set", "arch"]
    for (study, test_set, arch), rows in results.groupby(keys, dropna=False, sort=False):
        name = arch if isinstance(arch, str) else "unknown architecture"
        found.append(Comparison(str(study), str(test_set), name, rows))
    return found


def names_apart(compared: Sequence[Comparison]) -> list[tuple[str, ...]]:
    """The words that tell each comparison from the others: none where there is one."""
    studies = {each.study for each in compared}
    settings = {each.title for each in compared}
    return [
        (
            *((each.study,) if len(studies) > 1 else ()),
            *((each.title,) if len(settings) > 1 else ()),
        )
        for each in compared
    ]
