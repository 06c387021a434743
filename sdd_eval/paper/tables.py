"""The numbers of the paper's fourteen tables, read from `tables.csv`, and the best of each contest.

A contest is a set of numbers that the paper compares with one another, such as one metric of all
methods on one data set.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import importlib.resources
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sdd_eval.metrics.registry import metric

if TYPE_CHECKING:
    import pandas

#: Conditions in which the members of a contest may differ; they share all others.
_CONTESTED = frozenset({"direction", "position", "variant", "lambda", "drop"})
#: Tables that compare each method only with itself plus SD-Dropout.
_BY_METHOD = frozenset({1, 2})
#: The table whose bold type is known: SD-Dropout in every cell.
BOLD_TABLE = 7


@dataclass(frozen=True)
class PaperNumber:
    """A printed number: rates as fractions, `rounding` is half a unit of the last digit."""

    table: int
    dataset: str
    model: str
    method: str
    sd_dropout: bool
    metric: str
    value: float
    rounding: float
    unit: str
    at: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""

    @property
    def better(self) -> str:
        """Which values are better, "higher" or "lower"; empty if neither are."""
        return metric(self.metric).better

    @property
    def percent(self) -> bool:
        """Whether the paper prints it in percent."""
        return self.unit == "%"

    @property
    def seeds(self) -> int:
        """The number of networks behind the mean: one in Tables 5 and 6, else three.

        The paper states three; its authors' code for Tables 5 and 6 evaluates one.
        """
        return 1 if self.table in (5, 6) else 3


@functools.cache
def paper_numbers() -> tuple[PaperNumber, ...]:
    """Return all numbers in the order of the tables."""
    source = importlib.resources.files("sdd_eval.paper") / "tables.csv"
    rows = csv.DictReader(io.StringIO(source.read_text(encoding="utf-8")))
    return tuple(_number(row) for row in rows)


def _number(row: Mapping[str, str]) -> PaperNumber:
    scale = 100 if row["unit"] == "%" else 1
    decimals = len(row["value"].partition(".")[2])
    return PaperNumber(
        table=int(row["table"]),
        dataset=row["dataset"],
        model=row["model"],
        method=row["method"],
        sd_dropout=row["sd_dropout"] == "1",
        metric=row["metric"],
        value=float(row["value"]) / scale,
        rounding=0.5 * 10**-decimals / scale,
        unit=row["unit"],
        at=json.loads(row["at"] or "{}"),
        note=row["note"] or "",
    )


def paper_frame() -> pandas.DataFrame:
    """Return all numbers as a data frame, with the column `at` as JSON."""
    import pandas

    rows = [dataclasses.asdict(number) for number in paper_numbers()]
    frame: pandas.DataFrame = pandas.DataFrame(
        [{**row, "at": json.dumps(row["at"])} for row in rows]
    )
    return frame


def contest_key(number: PaperNumber) -> str:
    """Return what the members of a number's contest share: table, data, metric, conditions."""
    shared = {name: value for name, value in number.at.items() if name not in _CONTESTED}
    method = number.method if number.table in _BY_METHOD else ""
    key = (number.table, number.dataset, number.model, number.metric, method, shared)
    return json.dumps(key, sort_keys=True)


def best_values(numbers: Sequence[PaperNumber], values: Mapping[int, float]) -> set[int]:
    """Return the indices of the numbers whose value is the best of its contest, ties included.

    `values` are printed or measured ones, by index into `numbers`. A contest needs at least two
    values and a metric with a better direction.
    """
    contests: dict[str, list[int]] = {}
    for index in values:
        if numbers[index].better:
            contests.setdefault(contest_key(numbers[index]), []).append(index)
    winners: set[int] = set()
    for indices in contests.values():
        if len(indices) > 1:
            pick = max if numbers[indices[0]].better == "higher" else min
            best = pick(values[index] for index in indices)
            winners |= {index for index in indices if values[index] == best}
    return winners


def wrongly_bold(numbers: Sequence[PaperNumber]) -> tuple[PaperNumber, ...]:
    """Return the numbers that Table 7 prints in bold although the competing value is better."""
    best = best_values(numbers, {index: number.value for index, number in enumerate(numbers)})
    return tuple(
        number
        for index, number in enumerate(numbers)
        if number.table == BOLD_TABLE and number.sd_dropout and index not in best
    )
