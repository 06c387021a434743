"""What may stand side by side: networks of one architecture on one test set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from sdd_eval.report.tables.summary import summarise, usable

if TYPE_CHECKING:
    import pandas


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
