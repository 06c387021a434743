"""The scores behind detection rows: which network is drawn, and the outlier sets in order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sdd_eval.figures import Arrays
from sdd_eval.figures.rows import where

if TYPE_CHECKING:
    import pandas
    from numpy.typing import NDArray


def detection_rows(results: pandas.DataFrame, arrays: Arrays | None) -> pandas.DataFrame:
    """The AUROC rows, one an outlier set and network, whose scores are at hand."""
    rows = where(results, metric="auroc", grid=None)  # a grid's cells have scores of their own
    rows = rows.loc[rows["outliers"].notna() & (rows["outliers"] != "average")]
    if arrays is None:
        return where(rows, run=None)
    known = {run: _names(arrays, run) for run in rows["run"].unique()}
    kept = [
        {"scores", f"scores_{outliers}"} <= known[run]
        for run, outliers in zip(rows["run"], rows["outliers"], strict=True)
    ]
    with_scores: pandas.DataFrame = rows[kept]
    return _one_setting(with_scores)


def _names(arrays: Arrays, run: str) -> set[str]:
    return set(arrays[run]) if run in arrays else set()


def _one_setting(rows: pandas.DataFrame) -> pandas.DataFrame:
    """The rows of one temperature and ε, the commonest: curves of two settings do not mix."""
    if rows.empty:
        return rows
    sizes = rows.groupby(["temperature", "epsilon"], dropna=False, sort=False).size()
    temperature, epsilon = sizes.index[int(sizes.to_numpy().argmax())]
    return where(rows, temperature=_or_none(temperature), epsilon=_or_none(epsilon))


def _or_none(value: Any) -> Any:
    """None for a missing value, as `where` wants it."""
    return None if value is None or value != value else value


def outlier_sets(rows: pandas.DataFrame) -> list[str]:
    """The names of the outlier sets, in the order of the runs."""
    return list(dict.fromkeys(rows["outliers"]))


def scores_of(row: Mapping[Any, Any], arrays: Arrays) -> tuple[NDArray[Any], NDArray[Any]]:
    """In-distribution and outlier scores of one row."""
    stored = arrays[row["run"]]
    return stored["scores"], stored[f"scores_{row['outliers']}"]


def setting(rows: pandas.DataFrame) -> str:
    """The detector and its setting in words, e.g. "ODIN, T = 1000, ε = 0.0028"."""
    first = rows.iloc[0]
    words = [str(first["detector"]).upper()]
    for name, sign in (("temperature", "T"), ("epsilon", "ε")):
        if _or_none(first[name]) is not None:
            words.append(f"{sign} = {float(first[name]):g}")
    return ", ".join(words)
