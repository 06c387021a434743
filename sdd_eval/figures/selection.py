"""Selection and aggregation of the rows of a results table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from sdd_eval.metrics.corruption import NINETEEN
from sdd_eval.statistics.bootstrap import Floats
from sdd_eval.statistics.seeds import SeedSummary, summarize_seeds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pandas
    from numpy.typing import NDArray


def where(results: pandas.DataFrame, **values: Any) -> pandas.DataFrame:
    """Return the rows whose columns have these values; None matches an empty cell.

    Numbers are compared as numbers, even in a table read from a CSV file.
    """
    rows = np.arange(len(results))
    # Text first: it leaves few rows for the slower comparison of numbers.
    for name, value in sorted(values.items(), key=lambda item: not isinstance(item[1], str)):
        if name in results:
            rows = rows[_equals(results[name].to_numpy()[rows], value)]
        elif value is not None:
            rows = rows[:0]
    selected: pandas.DataFrame = results.iloc[rows]
    return selected


def as_dicts(table: pandas.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table as dictionaries, several times as fast as `to_dict`."""
    names = [str(name) for name in table.columns]
    columns = [table.iloc[:, index].tolist() for index in range(len(names))]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _equals(cells: NDArray[Any], value: Any) -> NDArray[np.bool_]:
    import pandas

    if value is None:
        return np.asarray(pandas.isna(cells), dtype=bool)
    if isinstance(value, int | float):
        numbers = np.asarray(pandas.to_numeric(cells, errors="coerce"), dtype=float)
        return np.abs(numbers - value) <= 1e-9 * abs(value)
    return np.asarray(cells == value, dtype=bool)


def group_names(results: pandas.DataFrame) -> list[str]:
    """Return the groups: cross-entropy first, and each method before its SD-Dropout version."""
    first = results.drop_duplicates("group")
    keys = {}
    for group, method, weight in zip(
        first["group"], first["method"], first["sd_dropout"], strict=True
    ):
        unknown = not isinstance(method, str)
        amount = 0.0 if weight is None or math.isnan(weight) else float(weight)
        keys[group] = (unknown, method != "ce", str(method), amount, group)
    return sorted(keys, key=keys.__getitem__)


def with_sd_dropout(results: pandas.DataFrame) -> dict[str, bool]:
    """Return whether each group was trained with the SD-Dropout term."""
    first = results.drop_duplicates("group")
    weights = first["sd_dropout"].astype(float)
    return dict(zip(first["group"], (weights > 0).tolist(), strict=True))


def baselines(results: pandas.DataFrame) -> dict[str, str]:
    """Return, for each group with SD-Dropout, the one that differs only in lacking it."""
    rows = results.drop_duplicates("group").to_dict("records")
    plain = {_recipe_key(row): row["group"] for row in rows if row["sd_dropout"] == 0}
    return {
        row["group"]: plain[_recipe_key(row)]
        for row in rows
        if row["sd_dropout"] > 0 and _recipe_key(row) in plain
    }


def _recipe_key(row: Mapping[Any, Any]) -> tuple[str, str]:
    """Return method and setting; a table read from CSV has NaN for an empty setting."""
    setting = row.get("setting")
    return row["method"], setting if isinstance(setting, str) else ""


def spreads(results: pandas.DataFrame, *by: str) -> dict[Any, SeedSummary]:
    """Return mean and standard deviation of the values, for each value of the columns `by`."""
    keys = by[0] if len(by) == 1 else list(by)
    groups = results.groupby(keys, dropna=False, sort=False)["value"]
    return {key: summarize_seeds(values.dropna()) for key, values in groups}


def spreads_by_number(results: pandas.DataFrame, name: str) -> dict[float, SeedSummary]:
    """Return mean and standard deviation of the values by ascending number of a column."""
    known = results[results[name].notna()]
    return dict(sorted((float(key), value) for key, value in spreads(known, name).items()))


def distinct_numbers(results: pandas.DataFrame, name: str) -> list[float]:
    """Return the distinct numbers of a column in ascending order."""
    import pandas

    values = pandas.to_numeric(results[name], errors="coerce").dropna().unique().tolist()
    return sorted(float(value) for value in values)


def preferred_number(results: pandas.DataFrame, name: str, preferred: float) -> float:
    """Return the preferred number if a column has it, else its smallest one."""
    numbers = distinct_numbers(results, name)
    return preferred if preferred in numbers else numbers[0]


def benchmark_order(corruptions: Any) -> list[str]:
    """Return corruptions in the benchmark's order, then unknown ones by name."""
    return known_first(set(corruptions), NINETEEN)


def known_first(names: Iterable[str], order: Iterable[str]) -> list[str]:
    """Return names in a known order, then unknown ones by name."""
    rank = {name: index for index, name in enumerate(order)}
    return sorted(names, key=lambda name: (rank.get(name, len(rank)), name))


def one_space(rows: pandas.DataFrame) -> pandas.DataFrame:
    """Return only each variant's FGSM rows with its most common standardisation constants."""
    import pandas

    if "constants" not in rows or rows.empty:
        return rows
    selected = []
    for _, variant in rows.groupby("variant", sort=False):
        constants = variant["constants"].dropna()
        common = None if constants.empty else constants.value_counts().index[0]
        selected.append(where(variant, constants=common))
    return pandas.concat(selected)


def fgsm_rows(
    results: pandas.DataFrame, titles: Mapping[str, Any]
) -> tuple[pandas.DataFrame, pandas.DataFrame, list[str]]:
    """Return the FGSM rows at T = 1, those after the attack, and the variants as in `titles`."""
    rows = one_space(where(results, evaluator="fgsm", temperature=1.0))
    attacked = where(rows, metric="fgsm_accuracy", gradient="stable")
    measured = set() if attacked.empty else set(attacked["variant"])
    known = [name for name in titles if name in measured]
    return rows, attacked, [*known, *sorted(measured - set(titles))]


def pooled_bins(rows: pandas.DataFrame, bins: int) -> tuple[Floats, Floats, Floats]:
    """Return count, mean confidence and accuracy (bins,), 0 if empty, over all networks' images."""
    names = ("bin_count", "bin_confidence", "bin_accuracy")
    known = rows[rows["metric"].isin(names)]
    table = known.pivot(index=["checkpoint", "bin"], columns="metric", values="value")
    values = table.reindex(columns=list(names)).to_numpy(dtype=float)
    index = table.index.get_level_values("bin").to_numpy(dtype=int) - 1
    counts: Floats = np.bincount(index, values[:, 0], bins).astype(np.float64)
    confidence, accuracy = (
        np.bincount(index, values[:, 0] * np.nan_to_num(values[:, column]), bins)
        for column in (1, 2)
    )
    safe = np.where(counts > 0, counts, 1)
    return counts, confidence / safe, accuracy / safe


def bin_values(rows: pandas.DataFrame, metric: str, bins: int) -> Floats:
    """Return a metric (bins,) of one network; 0 where a bin has no row."""
    values = np.zeros(bins)
    selected = where(rows, metric=metric)
    values[selected["bin"].to_numpy(dtype=int) - 1] = selected["value"].to_numpy(dtype=float)
    return values
