"""The columns of the headline table: the numbers that summarise a network."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sdd_eval.figures.selection import where
from sdd_eval.metrics.formatting import format_setting
from sdd_eval.metrics.registry import Metric, metric, registered
from sdd_eval.report.tables.results import axes_of
from sdd_eval.report.tables.summary import usable

if TYPE_CHECKING:
    import pandas


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
#: The variant that the paper describes; the authors' variant gives higher accuracies.
_STANDARDISED = {**_FGSM, "variant": "standardised"}
_FIFTH = {"epsilon": 0.2}
_ODIN = {"detector": "odin", "outliers": "average"}
_MSP = {"detector": "msp", "outliers": "average"}
_ODIN_DEFAULT = {"temperature": 1000.0, "epsilon": 0.0028}

#: All columns, in order.
COLUMNS = (
    HeadlineColumn("accuracy", "accuracy"),
    HeadlineColumn("calibration", "ece", {"temperature": None}, {"bins": 10}),
    HeadlineColumn(
        *("calibration", "ece", {"temperature": "cross-fitted"}, {"bins": 10}, True),
        heading="ECE after scaling",
    ),
    HeadlineColumn("fgsm", "fgsm_accuracy", _FGSM, _FIFTH, heading="FGSM, authors'"),
    HeadlineColumn("fgsm", "fgsm_accuracy", _STANDARDISED, _FIFTH, True, "FGSM, standardised"),
    HeadlineColumn(
        *("attack", "audit_worst_case", {"temperature": 1.0}, {"epsilon": 2 / 255}, True),
        heading="Worst case of the audit",
    ),
    *(
        HeadlineColumn("corruption", f"mca{frost}", optional=True)
        for frost in ("", "_15_synthetic_frost", "_15_photographed_frost", "_15_unknown_frost")
    ),
    HeadlineColumn("odin", "auroc", _ODIN, _ODIN_DEFAULT, heading="ODIN AUROC"),
    HeadlineColumn("odin", "fpr_at_95_tpr", _ODIN, _ODIN_DEFAULT, heading="ODIN FPR95"),
    HeadlineColumn("ood", "auroc", _MSP, optional=True, heading="MSP AUROC"),
    HeadlineColumn("detection", "map", optional=True),
    HeadlineColumn("detection", "map50", optional=True),
)


def headline_columns(results: pandas.DataFrame) -> tuple[HeadlineColumn, ...]:
    """Return the columns with complete axes; optional ones only if they were measured."""
    known = (*COLUMNS, *_registered_columns())
    rows = usable(results[results["metric"].isin({column.metric for column in known})])
    measured = set(zip(rows["evaluator"], rows["metric"], strict=True))
    columns = [c for c in known if not c.optional or (c.evaluator, c.metric) in measured]
    if not any(column.evaluator == "corruption" for column in columns):
        index = next(i for i, column in enumerate(columns) if column.evaluator == "odin")
        columns.insert(index, next(column for column in COLUMNS if column.metric == "mca"))
    return tuple(_resolved(column, rows) for column in columns)


def _registered_columns() -> Iterator[HeadlineColumn]:
    """Yield a column for each metric that an evaluator of another package registers."""
    for evaluator, metrics in registered().items():
        for one in metrics:
            yield HeadlineColumn(evaluator, one.name, optional=True)


def _resolved(column: HeadlineColumn, rows: pandas.DataFrame) -> HeadlineColumn:
    """Set all axes of a column to the preferred values, or else to the most common ones."""
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


def settings_label(column: HeadlineColumn) -> str:
    """Return the settings that a column shows, in words."""
    labels = []
    for axis, value in column.at.items():
        if value is None:  # rows without this axis
            continue
        if axis == "outliers" and value == "average":
            labels.append("mean over the OOD sets")
        elif axis == "variant":
            labels += ["a weak attack"] if value == "authors" else []
        elif axis == "bins":
            labels.append(f"{value} bins")
        elif axis == "epsilon" and column.evaluator == "attack":
            labels.append(f"ε {255 * value:g}/255")
        elif axis not in _UNNAMED and (axis, value) != ("temperature", 1.0):
            labels.append(f"{_SYMBOLS.get(axis, axis)} {format_setting(value)}")
    return ", ".join(labels)


#: Axes that are part of the heading, or whose values are in the protocol.
_UNNAMED = ("detector", "gradient", "constants", "norm")
_SYMBOLS = {"epsilon": "ε", "temperature": "T"}
