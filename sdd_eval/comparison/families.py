"""Families of hypotheses: which numbers are corrected together, whatever is shown of them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sdd_eval.comparison.corruption import MEAN
from sdd_eval.comparison.records import MetricDifference, PairComparison
from sdd_eval.former_names import current_selector
from sdd_eval.statistics.tests import holm_bonferroni

Families = Mapping[str, tuple[str, ...]]

#: The family of numbers that sum a network up; every other family is of cells.
HEADLINE = "headline"
#: The families of a study whose file names none, or lacks one of them.
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
#: Axes on which only some places sum a network up: what the value there begins with.
_SUMMARY = {
    "corruption": (MEAN,),
    "outliers": ("average",),
    "gradient": ("stable",),
    "detector": ("odin", "msp"),
    "score": ("msp",),
}
#: Axes that no number that sums a network up has.
_PARTS = ("severity", "bin", "half", "grid", "part", "layer", "epoch")
#: Temperatures that were fitted to the network.
_FITTED = ("fitted", "cross-fitted", "validation")


def study_families(study: Path) -> dict[str, tuple[str, ...]]:
    """The families that the study's file fixed; those of `DEFAULT` where it does not say."""
    return {**DEFAULT, **_fixed(study)}


def _fixed(study: Path) -> dict[str, tuple[str, ...]]:
    """The families that the study's file names."""
    try:
        said = json.loads((study / "study.json").read_text(encoding="utf-8"))["families"]
        return {
            str(name): tuple(current_selector(str(one)) for one in each)
            for name, each in said.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def unmatched_selectors(study: Path, found: Sequence[PairComparison]) -> list[str]:
    """A line for each selector of the study's file that selects no number of a comparison.

    A metric that is spelt wrongly would leave its family without anybody's notice.
    """
    numbers = {(row.evaluator, row.metric) for each in found for row in each.rows}
    return [
        f"family {name}: no number that was compared is {selector}"
        for name, selectors in _fixed(study).items()
        for selector in selectors
        if not any(_selects(selector, *number) for number in numbers)
    ]


def is_headline(at: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """Whether a number sums a network up, or is one of many cells.

    >>> is_headline({"outliers": "average"}, {}), is_headline({"outliers": "svhn"}, {})
    (True, False)
    """
    if any(name in at for name in _PARTS) or at.get("temperature") in _FITTED:
        return False
    if "epsilon" in at and at["epsilon"] != settings.get("epsilon", at["epsilon"]):
        return False
    return all(str(at[name]).startswith(begins) for name, begins in _SUMMARY.items() if name in at)


def family_of(
    evaluator: str,
    metric: str,
    at: Mapping[str, Any],
    settings: Mapping[str, Any],
    within: Families,
) -> str:
    """The family that a number belongs to; empty where it belongs to none.

    A selector is EVALUATOR or EVALUATOR.METRIC. What sums a network up is of the headline family
    and no other; cells, single corruptions and sets of outliers are of the others. A grid tries one
    detector many times: its cells are of no family, or the setting that was fixed beforehand would
    pay for them.
    """
    if "grid" in at:
        return ""
    summary = is_headline(at, settings)
    for name, selectors in within.items():
        if (name == HEADLINE) == summary and any(_selects(s, evaluator, metric) for s in selectors):
            return name
    return ""


def _selects(selector: str, evaluator: str, metric: str) -> bool:
    """Whether a selector is of a metric; mCA's is also of mCA with other frost."""
    of, _, named = selector.partition(".")
    return of == evaluator and (
        not named or metric == named or metric.startswith((f"{named}_15_", f"{named}_19_"))
    )


def family_sizes(rows: Sequence[MetricDifference]) -> dict[str, int]:
    """How many tests each family holds."""
    found: dict[str, int] = {}
    for row in rows:
        if row.family and row.p is not None:
            found[row.family] = found.get(row.family, 0) + 1
    return found


def adjust_rows(rows: Sequence[MetricDifference]) -> list[MetricDifference]:
    """The rows with Holm's adjusted p-values, each within its family, and with the family's size.

    Give it all rows that are compared: what is left out before makes a family smaller.
    """
    found = list(rows)
    for name, size in family_sizes(rows).items():
        members = [i for i, row in enumerate(rows) if row.family == name and row.p is not None]
        values = holm_bonferroni([rows[i].p or 0.0 for i in members])
        for i, value in zip(members, values, strict=True):
            found[i] = dataclasses.replace(rows[i], adjusted=float(value), size=size)
    return found


def adjust_together(found: Sequence[PairComparison]) -> list[PairComparison]:
    """The comparisons with p-values adjusted over all of them."""
    rows = iter(adjust_rows([row for each in found for row in each.rows]))
    return [dataclasses.replace(each, rows=tuple(next(rows) for _ in each.rows)) for each in found]
