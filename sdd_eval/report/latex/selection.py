"""The metrics and methods that LaTeX tables show, as named by `--columns`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sdd_eval.errors import unknown_name
from sdd_eval.report.tables.columns import HeadlineColumn
from sdd_eval.report.tables.headline import HeadlineRow


@dataclass(frozen=True)
class Selection:
    """Names of metrics and groups in the order of the tables; all if there are none."""

    metrics: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    def columns(self, columns: Sequence[HeadlineColumn]) -> list[HeadlineColumn]:
        """Return the columns of the selected metrics; all if none of them is selected."""
        chosen = [one for name in self.metrics for one in columns if name in names_of(one)]
        return list({id(one): one for one in chosen or columns}.values())

    def groups_of(self, known: Sequence[str]) -> list[str]:
        """Return the groups among the known ones; all if none of these is selected."""
        return [group for group in self.groups if group in known] or [*known]

    def rows(self, rows: Sequence[HeadlineRow]) -> list[HeadlineRow]:
        """Return the rows of the groups."""
        groups = self.groups_of([*dict.fromkeys(row.group for row in rows)])
        return [row for group in groups for row in rows if row.group == group]


def names_of(column: HeadlineColumn) -> tuple[str, ...]:
    """Return the names by which a column may be selected."""
    return column.metric, f"{column.evaluator}.{column.metric}", column.title


def selection(
    names: Iterable[str],
    columns: Iterable[HeadlineColumn],
    rows: Iterable[HeadlineRow],
    *,
    skip_unknown: bool = False,
) -> Selection:
    """Return the selection of the metrics of some columns and of the groups of some rows.

    Raises:
        InputError: a name is neither a metric nor a group, and such names are not skipped, as they
            are in a study whose methods are not all trained yet.
    """
    metrics = dict.fromkeys(name for column in columns for name in names_of(column))
    groups = dict.fromkeys(row.group for row in rows)
    unknown = [name for name in names if name not in metrics and name not in groups]
    if unknown and not skip_unknown:
        raise unknown_name("metric or method of --columns", unknown[0], [*metrics, *groups])
    return Selection(
        tuple(name for name in names if name in metrics),
        tuple(name for name in names if name in groups and name not in metrics),
    )
