"""Choosing rows of a tidy table: by where they hold, by group, with means over seeds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from sdd_eval.metrics.corruption import NINETEEN
from sdd_eval.statistics.seeds import SeedSummary, summarize_seeds

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import pandas
    from numpy.typing import NDArray


def where(results: pandas.DataFrame, **values: Any) -> pandas.DataFrame:
    """The rows whose columns have these values; None stands for an empty cell.

    Numbers are compared as numbers, also in a table that was read from a CSV file.
    """
    import numpy as np

    left = np.arange(len(results))
    # Words first: they leave few rows to look at for a number, which takes longer.
    for name, value in sorted(values.items(), key=lambda each: not isinstance(each[1], str)):
        if name in results:
            left = left[_equals(results[name].iloc[left], value)]
        elif value is not None:
            left = left[:0]
    chosen: pandas.DataFrame = results.iloc[left]
    return chosen


def _equals(column: pandas.Series[Any], value: Any) -> NDArray[np.bool_]:
    """Which cells of a column have a value."""
    import numpy as np
    import pandas

    if value is None:
        empty: NDArray[np.bool_] = column.isna().to_numpy(dtype=bool)
        return empty
    if isinstance(value, int | float):
        distinct_numbers = pandas.to_numeric(column, errors="coerce").to_numpy(dtype=float)
        close: NDArray[np.bool_] = np.isclose(distinct_numbers, value, rtol=1e-9, atol=0)
        return close
    same: NDArray[np.bool_] = (column == value).fillna(False).to_numpy(dtype=bool)
    return same


def group_names(results: pandas.DataFrame) -> list[str]:
    """The groups: cross-entropy first, each method without SD-Dropout before with it."""
    first = results.drop_duplicates("group")
    keys = {}
    for group, method, weight in zip(
        first["group"], first["method"], first["sd_dropout"], strict=True
    ):
        known = isinstance(method, str)
        amount = 0.0 if weight is None or math.isnan(weight) else float(weight)
        keys[group] = (not known, method != "ce", str(method), amount, group)
    return sorted(keys, key=keys.__getitem__)


def with_sd_dropout(results: pandas.DataFrame) -> dict[str, bool]:
    """Whether each group was trained with the SD-Dropout term."""
    first = results.drop_duplicates("group")
    weights = first["sd_dropout"].astype(float)
    return dict(zip(first["group"], (weights > 0).tolist(), strict=True))


def baselines(results: pandas.DataFrame) -> dict[str, str]:
    """For each group with SD-Dropout, the one that differs only in not having it."""
    first = results.drop_duplicates("group")
    plain = {}
    for row in first.to_dict("records"):
        if row["sd_dropout"] == 0:
            plain[row["method"], _setting(row)] = row["group"]
    found = {}
    for row in first.to_dict("records"):
        if row["sd_dropout"] > 0 and (row["method"], _setting(row)) in plain:
            found[row["group"]] = plain[row["method"], _setting(row)]
    return found


def _setting(row: Mapping[Any, Any]) -> str:
    """What sets a group apart besides its method; a table read from CSV has NaN for nothing."""
    value = row.get("setting")
    return value if isinstance(value, str) else ""


def spreads(results: pandas.DataFrame, *by: str) -> dict[Any, SeedSummary]:
    """Mean and standard deviation of the values, for each value of the columns `by`."""
    keys = by[0] if len(by) == 1 else list(by)
    found: dict[Any, SeedSummary] = {}
    for key, values in results.groupby(keys, dropna=False, sort=False)["value"]:
        found[key] = summarize_seeds(values.dropna())
    return found


def distinct_numbers(results: pandas.DataFrame, name: str) -> list[float]:
    """The distinct numbers of a column, ascending."""
    import pandas

    values = pandas.to_numeric(results[name], errors="coerce").dropna().unique().tolist()
    return sorted(float(value) for value in values)


def benchmark_order(corruptions: Any) -> list[str]:
    """Corruptions in the benchmark's order, unknown ones after them by name."""
    rank = {name: index for index, name in enumerate(NINETEEN)}
    return sorted(set(corruptions), key=lambda name: (rank.get(name, len(rank)), name))


def mean_and_std(value: SeedSummary, digits: int = 3, factor: float = 1) -> str:
    """A spread as text: "0.043 ± 0.004", or the mean alone where there is one seed."""
    mean = f"{value.mean * factor:.{digits}f}"
    return mean if math.isnan(value.std) else f"{mean} ± {value.std * factor:.{digits}f}"


def one_space(rows: pandas.DataFrame) -> pandas.DataFrame:
    """Of each reading the rows with the commonest constants: two spaces do not mix in a mean."""
    import pandas

    if "constants" not in rows or rows.empty:
        return rows
    chosen = []
    for _, alike in rows.groupby("variant", sort=False):
        named = alike["constants"].dropna()
        common = None if named.empty else named.value_counts().index[0]
        chosen.append(where(alike, constants=common))
    return pandas.concat(chosen)
