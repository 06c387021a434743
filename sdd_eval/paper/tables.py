"""Every number of the paper's fourteen tables, from `tables.csv` beside this file.

Lee, Park, Seo, Kang, "Self-Knowledge Distillation via Dropout" (arXiv 2208.05642).
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import importlib.resources
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

#: Metrics of which less is better.
LOWER = frozenset({"ece", "fpr_at_95_tpr", "detection_error"})
#: Metrics of which neither more nor less is better.
NEITHER = frozenset({"p_assumption_1", "assumption_2_r", "assumption_2_r1"})


@dataclass(frozen=True)
class PaperNumber:
    """One printed number: rates are fractions, `rounding` is half a unit of the last digit."""

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
    def higher_is_better(self) -> bool | None:
        """Which way is better; None where neither is."""
        return None if self.metric in NEITHER else self.metric not in LOWER

    @property
    def percent(self) -> bool:
        """Whether the paper prints it in percent."""
        return self.unit == "%"

    @property
    def seeds(self) -> int:
        """How many networks are behind it: three, but one for FGSM and CIFAR-100-C.

        The paper says three; for Tables 5 and 6 its authors' code evaluates one.
        """
        return 1 if self.table in (5, 6) else 3


@functools.cache
def paper_numbers() -> tuple[PaperNumber, ...]:
    """The numbers in the order in which the tables print them."""
    source = importlib.resources.files("sdd_eval.paper") / "tables.csv"
    rows = csv.DictReader(io.StringIO(source.read_text(encoding="utf-8")))
    return tuple(_number(row) for row in rows)


def _number(row: Mapping[str, str]) -> PaperNumber:
    """One line of the file."""
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
    """The numbers as a table; `at` is JSON there."""
    import pandas

    rows = [dataclasses.asdict(each) for each in paper_numbers()]
    frame: pandas.DataFrame = pandas.DataFrame(
        [{**row, "at": json.dumps(row["at"])} for row in rows]
    )
    return frame
