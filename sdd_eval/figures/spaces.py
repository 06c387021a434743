"""Rows of FGSM that were measured in one standardised space, and may stand in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdd_eval.figures.rows import where

if TYPE_CHECKING:
    import pandas


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
