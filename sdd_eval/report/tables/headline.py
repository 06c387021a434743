"""The headline table: one row per group, one column per metric, the best means marked."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from sdd_eval import plugins
from sdd_eval.comparison.run_statistics import key
from sdd_eval.comparison.store import ComparisonSet
from sdd_eval.evaluators.evaluator import task_of
from sdd_eval.figures.selection import baselines, group_names, where
from sdd_eval.metrics.formatting import format_setting
from sdd_eval.metrics.registry import Metric, metric, registered
from sdd_eval.records import CLASSIFICATION, task_of_arch
from sdd_eval.report.tables.results import axes_of
from sdd_eval.report.tables.summary import CONDITIONS, ComparableResults, comparable_results, usable
from sdd_eval.statistics.hypothesis_tests import Verdict
from sdd_eval.statistics.seeds import (
    MIN_SEEDS,
    Difference,
    SeedSummary,
    adjust,
    difference,
    summarize_seeds,
)

if TYPE_CHECKING:
    import pandas

#: Differences over seeds by (base, other) group.
Changes = Mapping[tuple[str, str], Difference]
#: "best" of methods, by training seeds, or "best network", by images.
Mark = Literal["", "best", "best network"]


@dataclass(frozen=True)
class HeadlineColumn:
    """One number: the evaluator, the metric, and the axes that select its rows (`at`).

    `prefer` selects one of several measured settings; the table shows only that one. An optional
    column is shown only if it was measured. `heading` replaces the metric's title.
    """

    evaluator: str
    metric: str
    at: Mapping[str, Any] = field(default_factory=dict)
    prefer: Mapping[str, Any] = field(default_factory=dict)
    optional: bool = False
    heading: str = ""

    @property
    def entry(self) -> Metric:
        """The metric's entry in the registry."""
        return metric(self.metric)

    @property
    def title(self) -> str:
        """The heading, by default the metric's title."""
        return self.heading or self.entry.title

    @property
    def phrase(self) -> str:
        """The heading within a sentence."""
        return self.heading or self.entry.phrase

    @property
    def arrow(self) -> str:
        """The direction of better values."""
        return self.entry.arrow


_FGSM = {"variant": "authors", "gradient": "stable", "temperature": 1.0}
#: The variant that the paper describes; the authors' one gives higher accuracies.
_STANDARDISED = {**_FGSM, "variant": "standardised"}
_FIFTH = {"epsilon": 0.2}
_ODIN = {"detector": "odin", "outliers": "average"}
_ODIN_DEFAULT = {"temperature": 1000.0, "epsilon": 0.0028}

#: All columns, in order.
COLUMNS = (
    HeadlineColumn("accuracy", "accuracy"),
    HeadlineColumn("calibration", "ece", {"temperature": None}, {"bins": 10}),
    HeadlineColumn("fgsm", "fgsm_accuracy", _FGSM, _FIFTH, heading="FGSM, authors'"),
    HeadlineColumn("fgsm", "fgsm_accuracy", _STANDARDISED, _FIFTH, True, "FGSM, standardised"),
    *(
        HeadlineColumn("corruption", f"mca{frost}", optional=True)
        for frost in ("", "_15_synthetic_frost", "_15_photographed_frost", "_15_unknown_frost")
    ),
    HeadlineColumn("odin", "auroc", _ODIN, _ODIN_DEFAULT, heading="ODIN AUROC"),
    HeadlineColumn("odin", "fpr_at_95_tpr", _ODIN, _ODIN_DEFAULT, heading="ODIN FPR95"),
    HeadlineColumn("detection", "map", optional=True),
    HeadlineColumn("detection", "map50", optional=True),
)


@dataclass(frozen=True)
class HeadlineCell:
    """The values of one group's seeds with their measurement conditions, or why there are none."""

    values: tuple[float, ...] = ()
    reason: str = ""
    mark: Mark = ""
    images: int = 0
    limited: bool = False
    data: str = ""
    protocol: str = ""
    fingerprint: str = ""
    checkpoints: tuple[str, ...] = ()
    intervals: tuple[tuple[float, float, float], ...] = ()
    """Each network's interval over images as (low, high, level); NaN where there is none."""

    @property
    def conditions(self) -> tuple[object, ...]:
        """The measurement conditions, which must agree for a comparison."""
        return self.images, self.limited, self.data, self.protocol, self.fingerprint

    @property
    def summary(self) -> SeedSummary:
        """Mean and standard deviation over the seeds."""
        return summarize_seeds(self.values)


@dataclass(frozen=True)
class HeadlineRow:
    """One group of checkpoints in one part of the results.

    `base` is the group that differs only in not having SD-Dropout, empty if there is none, and
    `changes` are the differences from it over seeds, None for cells that are not comparable.
    """

    comparison: ComparableResults
    group: str
    cells: tuple[HeadlineCell, ...]
    base: str = ""
    changes: tuple[Difference | None, ...] = ()


@dataclass(frozen=True)
class Headline:
    """The headline table; `at` of columns is complete, `comparisons` are stored, by study."""

    columns: tuple[HeadlineColumn, ...]
    rows: tuple[HeadlineRow, ...]
    comparisons: Mapping[str, Sequence[ComparisonSet]] = field(default_factory=dict)

    @property
    def units(self) -> str:
        """What the numbers are and in which unit, in words."""
        others = [column.title for column in self.columns if not column.entry.percent]
        unit = f"all but {' and '.join(others)} in %" if others else "in %"
        return f"Mean ± standard deviation over n seeds; {unit}"

    @property
    def marks(self) -> set[Mark]:
        """The marks of all cells."""
        return {cell.mark for row in self.rows for cell in row.cells if cell.mark}


def headline(
    results: pandas.DataFrame, comparisons: Mapping[str, Sequence[ComparisonSet]] | None = None
) -> Headline:
    """Return the headline table; a study's stored `comparisons` decide between single networks."""
    known = (*COLUMNS, *_registered_columns())
    shown = results[results["metric"].isin({column.metric for column in known})]
    rows = usable(shown)
    measured = set(zip(rows["evaluator"], rows["metric"], strict=True))
    columns = [c for c in known if not c.optional or (c.evaluator, c.metric) in measured]
    if not any(column.evaluator == "corruption" for column in columns):
        index = next(i for i, column in enumerate(columns) if column.evaluator == "odin")
        columns.insert(index, next(column for column in COLUMNS if column.metric == "mca"))
    resolved = tuple(_resolved(column, rows) for column in columns)
    stored = comparisons or {}
    return Headline(resolved, tuple(_headline_rows(resolved, results, stored)), stored)


def _registered_columns() -> Iterator[HeadlineColumn]:
    """Yield a column for each metric that an evaluator of another package registers."""
    for evaluator, metrics in registered().items():
        for one in metrics:
            yield HeadlineColumn(evaluator, one.name, optional=True)


def _resolved(column: HeadlineColumn, rows: pandas.DataFrame) -> HeadlineColumn:
    """Set all axes of a column, to the preferred values or else to the most common ones."""
    rows = where(rows, evaluator=column.evaluator, metric=column.metric, **column.at)
    preferred = where(rows, **column.prefer)
    rows = rows if preferred.empty else preferred
    if rows.empty:
        return dataclasses.replace(column, at={**column.at, **column.prefer})
    axes = axes_of(rows)
    sizes = rows.groupby(axes, dropna=False, sort=False).size()
    common = sizes.index[int(sizes.to_numpy().argmax())]
    values = zip(axes, common, strict=True)
    at = {axis: value for axis, value in values if value is not None and value == value}
    return dataclasses.replace(column, at={**at, **column.at})


def _headline_rows(
    columns: Sequence[HeadlineColumn],
    results: pandas.DataFrame,
    comparisons: Mapping[str, Sequence[ComparisonSet]],
) -> Iterator[HeadlineRow]:
    """Yield all rows, with the best means of each part of the results marked."""
    for comparison in comparable_results(results):
        groups = group_names(comparison.results)
        shown = comparison.results["metric"].isin({column.metric for column in columns})
        rows = usable(comparison.results[shown])
        cells = [
            [_cell(column, where(rows, group=group), comparison, group) for column in columns]
            for group in groups
        ]
        stored = comparisons.get(comparison.study, ())
        bases = baselines(comparison.results)
        marked, changes = [], []
        for column, *own in zip(columns, *cells, strict=True):
            by_group = dict(zip(groups, own, strict=True))
            changes.append(column_changes(by_group, column, bases))
            marked.append(mark(by_group, column, changes[-1], stored))
        for group in groups:
            base = bases.get(group, "")
            own_changes = (column_values.get((base, group)) for column_values in changes)
            of_group = tuple(column_values[group] for column_values in marked)
            yield HeadlineRow(comparison, group, of_group, base, tuple(own_changes))


def _cell(
    column: HeadlineColumn, rows: pandas.DataFrame, comparison: ComparableResults, group: str
) -> HeadlineCell:
    of_metric = where(rows, evaluator=column.evaluator, metric=column.metric)
    at = {axis: column.at.get(axis) for axis in axes_of(of_metric)}
    rows = where(of_metric, **at)
    if rows.empty:
        return HeadlineCell(reason=_reason(column, of_metric, comparison, group))
    conditions = rows.groupby(["dataset", *CONDITIONS], sort=False).size()
    if len(conditions) > 1:
        return HeadlineCell(
            reason=f"measured under {len(conditions)} different conditions; see its section"
        )
    first = rows.iloc[0]
    return HeadlineCell(
        values=tuple(rows["value"]),
        images=int(first["n"]),
        limited=bool(first["limited"]),
        data=str(first["data"]),
        protocol=str(first["protocol_id"]),
        fingerprint=str(first["fingerprint"]),
        checkpoints=tuple(rows["checkpoint"]),
        intervals=tuple(zip(rows["low"], rows["high"], rows["level"], strict=True)),
    )


def _reason(
    column: HeadlineColumn, of_metric: pandas.DataFrame, comparison: ComparableResults, group: str
) -> str:
    """Return why a cell is empty: excluded, measured with other settings, or not measured."""
    rows = where(comparison.results, group=group, evaluator=column.evaluator, metric=column.metric)
    if len(of_metric):
        return "measured only with other settings; see its section"
    if len(rows):
        return f"excluded: {rows['note'].iloc[0]}"
    task = task_of(plugins.load("evaluators", column.evaluator))
    if task != task_of_arch(comparison.arch):
        return f"for {'classifiers' if task == CLASSIFICATION else 'detectors'} only"
    return f"not measured (sdd-eval {column.evaluator} CHECKPOINT)"


def column_changes(
    cells: Mapping[str, HeadlineCell], column: HeadlineColumn, bases: Mapping[str, str]
) -> Changes:
    """Return the differences over seeds that a column's mark and the sentences below it are about.

    These are the differences of each group from its base without SD-Dropout and those of all groups
    from the best one. P-values are adjusted over all of them, so that mark and sentence agree.
    """
    pairs = [
        (base, group)
        for group, base in bases.items()
        if min(len(cells[name].values) for name in (base, group)) >= MIN_SEEDS
        and cells[base].conditions == cells[group].conditions
    ]
    best = best_group(cells, column)
    leads = [(group, best) for group in cells if best and cells[group].values and group != best]
    pairs += [pair for pair in leads if pair[::-1] not in pairs and pair not in pairs]
    values = ((cells[base].values, cells[group].values) for base, group in pairs)
    changes = dict(
        zip(pairs, adjust([difference(*pair_values) for pair_values in values]), strict=True)
    )
    return changes | {pair[::-1]: change.reversed for pair, change in changes.items()}


def best_group(cells: Mapping[str, HeadlineCell], column: HeadlineColumn) -> str:
    """Return the group of the best mean; empty if cells differ in conditions or none is better."""
    known = {group: cell for group, cell in cells.items() if cell.values}
    better = column.entry.better
    if len(known) < 2 or len({cell.conditions for cell in known.values()}) > 1 or not better:
        return ""
    sign = 1 if better == "higher" else -1
    return max(known, key=lambda group: sign * known[group].summary.mean)


def mark(
    cells: Mapping[str, HeadlineCell],
    column: HeadlineColumn,
    changes: Changes,
    stored: Sequence[ComparisonSet] = (),
) -> dict[str, HeadlineCell]:
    """Mark the best mean if its lead over every other group is significant.

    Only cells measured on the same images under the same protocol are compared. Groups of several
    networks are compared by Welch's test over seeds, adjusted as in `column_changes`; a stored
    comparison of the same groups must not contradict it. A single network is compared by the
    study's stored comparisons only, and its mark is one of the network, not of its method.
    """
    best = best_group(cells, column)
    known = {group: cell for group, cell in cells.items() if cell.values}
    verdicts = {
        verdict(column, cell, cells[best], changes[group, best], stored)
        for group, cell in known.items()
        if best and group != best
    }
    if verdicts != {column.entry.better}:
        return dict(cells)
    several = min(len(cell.values) for cell in known.values()) > 1
    chosen: Mark = "best" if several else "best network"
    return {**cells, best: dataclasses.replace(cells[best], mark=chosen)}


def verdict(
    column: HeadlineColumn,
    base: HeadlineCell,
    other: HeadlineCell,
    change: Difference,
    stored: Sequence[ComparisonSet],
) -> Verdict:
    """Return the verdict on a difference of two cells over seeds, unless a comparison denies it.

    With a single network on a side it is that of the stored comparisons.
    """
    compared = _stored_verdict(column, base, other, stored)
    single = min(len(base.values), len(other.values)) < 2
    return compared if single or compared == "not distinguishable" else change.verdict


def _stored_verdict(
    column: HeadlineColumn, base: HeadlineCell, other: HeadlineCell, stored: Sequence[ComparisonSet]
) -> Verdict:
    """Return what the current comparisons of two cells agree on; empty if there are none."""
    at = {axis: value for axis, value in column.at.items() if value is not None}
    number = (column.evaluator, key(column.metric, at))
    sides = [set(cell.checkpoints) for cell in (base, other)]
    verdicts: set[Verdict] = set()
    for pair in (
        pair for comparison in stored if not comparison.outdated for pair in comparison.pairs
    ):
        compared = [set(pair.base), set(pair.others)]
        if compared in (sides, sides[::-1]):
            rows = [row for row in pair.rows if (row.evaluator, key(row.metric, row.at)) == number]
            stated = {row.verdict for row in rows if row.verdict}
            verdicts |= stated if compared == sides else {_REVERSED.get(v, v) for v in stated}
    return verdicts.pop() if len(verdicts) == 1 else "not distinguishable" if verdicts else ""


_REVERSED: Mapping[Verdict, Verdict] = {"higher": "lower", "lower": "higher"}
#: What the marks mean.
MARKS: Mapping[Mark, str] = {
    "best": "best mean; its lead over every other group is significant over seeds "
    "(Holm–Bonferroni-adjusted p at most .05 and an interval without 0)",
    "best network": "best of these networks in the study's comparisons on the same images; about "
    "these networks, not the method",
}


def seed_count(row: HeadlineRow) -> str:
    """Return the number of networks behind the row's cells: one count, or a range."""
    counts = sorted({len(cell.values) for cell in row.cells if cell.values}) or [0]
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]}–{counts[-1]}"


def settings_label(column: HeadlineColumn) -> str:
    """Return the settings that a column shows, in words."""
    labels = []
    for axis, value in column.at.items():
        if value is None:  # rows without this axis
            continue
        if axis == "outliers" and value == "average":
            labels.append("mean over the OOD sets")
        elif axis == "variant":
            labels.append("the authors' variant" if value == "authors" else f"{value} variant")
        elif axis != "detector":
            labels.append(f"{_SYMBOLS.get(axis, axis)} {format_setting(value)}")
    return ", ".join(labels)


_SYMBOLS = {"epsilon": "ε", "temperature": "T"}
