"""Families of hypotheses: the measurements whose p-values are adjusted together."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sdd_eval.comparison.records import MetricDifference, PairComparison
from sdd_eval.former_names import current_selector
from sdd_eval.metrics.registry import registered
from sdd_eval.statistics.hypothesis_tests import holm_bonferroni

Families = Mapping[str, tuple[str, ...]]

#: The family of measurements that summarise a network; other families contain individual cells.
HEADLINE = "headline"
#: Default families, used if the study file does not define them.
DEFAULT: Families = {
    HEADLINE: (
        *("accuracy.accuracy", "calibration.ece", "fgsm.fgsm_accuracy", "corruption.mca"),
        *("odin.auroc", "ood.auroc", "detection.map"),
    ),
    "cells": (
        *("corruption.accuracy", "corruption.ece", "odin.auroc", "odin.fpr_at_95_tpr"),
        *("ood.auroc", "ood.fpr_at_95_tpr"),
    ),
}
#: Axes on which only values with these prefixes summarise a network. For other frost images, their
#: origin is appended to the mean over the 15 corruptions.
_SUMMARY = {
    "corruption": ("mean of 15",),
    "outliers": ("average",),
    "gradient": ("stable",),
    "detector": ("odin", "msp"),
    "score": ("msp",),
}
#: Axes that no summarising measurement has.
_CELL_AXES = ("severity", "bin", "half", "grid", "part", "layer", "epoch")
#: Values of the axis `temperature` that were fitted to the network.
_FITTED_TEMPERATURES = ("fitted", "cross-fitted", "validation")


def study_families(study: Path) -> dict[str, tuple[str, ...]]:
    """Return the families of a study: the default ones, overridden by those of its file.

    The default headline family also includes the metrics registered by evaluators of other
    packages.
    """
    others = [f"{name}.{one.name}" for name, metrics in registered().items() for one in metrics]
    headline = (*DEFAULT[HEADLINE], *others)
    return {**DEFAULT, HEADLINE: headline, **_defined_families(study)}


def _defined_families(study: Path) -> dict[str, tuple[str, ...]]:
    """Return the families that the study file defines."""
    try:
        families = json.loads((study / "study.json").read_text(encoding="utf-8"))["families"]
        return {
            str(name): tuple(current_selector(str(selector)) for selector in selectors)
            for name, selectors in families.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def unmatched_selectors(study: Path, pairs: Sequence[PairComparison]) -> list[str]:
    """Return a line for each selector and family in the study file without compared numbers.

    Otherwise, it would go unnoticed that a misspelt metric is missing from its family.
    """
    rows = [row for pair in pairs for row in pair.rows]
    metrics, filled = {(row.evaluator, row.metric) for row in rows}, {row.family for row in rows}
    defined = _defined_families(study)
    unmatched = [
        f"family {name}: no compared number matches {selector}"
        for name, selectors in defined.items()
        for selector in selectors
        if not any(_matches(selector, *metric) for metric in metrics)
    ]
    return unmatched + [
        f"family {name} has no test: numbers that summarise a network belong to {HEADLINE}"
        for name in defined.keys() - filled
    ]


def is_headline(at: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """Whether a measurement at these axes summarises a network, rather than being one cell of many.

    >>> is_headline({"outliers": "average"}, {}), is_headline({"outliers": "svhn"}, {})
    (True, False)
    """
    if any(axis in at for axis in _CELL_AXES) or at.get("temperature") in _FITTED_TEMPERATURES:
        return False
    if "epsilon" in at and at["epsilon"] != settings.get("epsilon", at["epsilon"]):
        return False
    return all(
        str(at[axis]).startswith(prefixes) for axis, prefixes in _SUMMARY.items() if axis in at
    )


def family_of(
    evaluator: str,
    metric: str,
    at: Mapping[str, Any],
    settings: Mapping[str, Any],
    families: Families,
) -> str:
    """Return the family of a measurement; empty if it has none.

    A selector is EVALUATOR or EVALUATOR.METRIC. Summarising measurements can only be in the
    headline family, and cells, single corruptions and OOD sets only in others. Cells of a grid are
    in no family, because trying one detector many times would penalise the predefined setting.
    """
    if "grid" in at:
        return ""
    headline = is_headline(at, settings)
    for name, selectors in families.items():
        selected = any(_matches(selector, evaluator, metric) for selector in selectors)
        if selected and (name == HEADLINE) == headline:
            return name
    return ""


def _matches(selector: str, evaluator: str, metric: str) -> bool:
    """Whether a selector matches a metric; that of mCA also matches mCA with other frost images.

    The names of evaluators from other packages may contain dots.

    >>> _matches("my.speed.lead", "my.speed", "lead"), _matches("my.speed", "my.speed", "lead")
    (True, True)
    """
    if not f"{selector}.".startswith(f"{evaluator}."):
        return False
    name = selector.removeprefix(evaluator).removeprefix(".")
    return not name or metric == name or metric.startswith((f"{name}_15_", f"{name}_19_"))


def family_sizes(rows: Sequence[MetricDifference]) -> dict[str, int]:
    """Return the number of tests in each family."""
    sizes: dict[str, int] = {}
    for row in rows:
        if row.family and row.p is not None:
            sizes[row.family] = sizes.get(row.family, 0) + 1
    return sizes


def adjust_rows(rows: Sequence[MetricDifference]) -> list[MetricDifference]:
    """Return rows with Holm–Bonferroni adjusted p-values and the size of their family.

    Pass all compared rows, including those not shown: omitting rows would make a family smaller.
    """
    adjusted_rows = list(rows)
    for name, size in family_sizes(rows).items():
        members = [i for i, row in enumerate(rows) if row.family == name and row.p is not None]
        adjusted = holm_bonferroni([rows[i].p or 0.0 for i in members])
        for i, value in zip(members, adjusted, strict=True):
            adjusted_rows[i] = dataclasses.replace(rows[i], adjusted=float(value), size=size)
    return adjusted_rows


def adjust_together(pairs: Sequence[PairComparison]) -> list[PairComparison]:
    """Return comparisons with p-values adjusted over all of them."""
    rows = iter(adjust_rows([row for pair in pairs for row in pair.rows]))
    return [dataclasses.replace(pair, rows=tuple(next(rows) for _ in pair.rows)) for pair in pairs]
