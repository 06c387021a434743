"""Numbers under corruption: accuracy and ECE of cells, means over complete sets, CE and mCE.

Corruption errors (CE) are relative to a baseline. CIFAR has no conventional one, as ImageNet has
AlexNet, so its name is an axis of the number.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.arrays import Arrays
from sdd_eval.errors import InputError
from sdd_eval.metrics.arrays import Floats
from sdd_eval.metrics.corruption import (
    FIFTEEN,
    LEAST_LOSS,
    NINETEEN,
    SEVERITIES,
    corruption_errors,
    relative_corruption_errors,
)
from sdd_eval.metrics.corruption_statistics import ErrorRatio, cell_calibration_errors, error_ratios
from sdd_eval.protocol import Protocol
from sdd_eval.statistics.statistic import Quantity, Statistic, mean_of_cells, shares, unpaired

#: Metrics of the means over the 15 and the 19 corruptions, by the origin of the frost images.
NAMES = {
    "official": ("mca", "mca_19"),
    "synthetic": ("mca_15_synthetic_frost", "mca_19_synthetic_frost"),
    "photographs": ("mca_15_photographed_frost", "mca_19_photographed_frost"),
    "unknown": ("mca_15_unknown_frost", "mca_19_unknown_frost"),
}
SETS = {FIFTEEN: "15 corruptions", NINETEEN: "19 corruptions"}
#: How synthetic frost differs from the published photographs, measured on 400 images.
#: How synthetic frost differs from the published photographs, by version of the recipe from 2 on.
SYNTHETIC_FROST = (
    "weaker than the published photographs: a ResNet-56 is 8 to 14 points more accurate under it, "
    "and about 0.7 points in the mean over the 15",
    "not the published photographs, but changes pixels by as much on average and in spread",
)
#: Why numbers have no paired test.
UNMEASURED = "it counts what could not be measured"
NO_BASELINE = "this study has no run of the baseline, or its arrays were not stored"

#: A corruption and a severity.
Cell = tuple[str, int]
UNCORRUPTED: Cell = ("", 0)


@dataclass(frozen=True)
class Cells:
    """Per-image values (n,) of each measured cell, and why others are missing."""

    correct: Mapping[Cell, NDArray[np.bool_]]
    confidence: Mapping[Cell, NDArray[np.float32]]
    missing: Mapping[Cell, str]

    @property
    def corrupted(self) -> list[Cell]:
        """The measured cells except the uncorrupted images."""
        return [cell for cell in self.correct if cell != UNCORRUPTED]

    @property
    def images(self) -> int:
        """The number of images of a cell."""
        return len(next(iter(self.correct.values())))


def cells_of(arrays: Arrays) -> Cells:
    """Return the cells in the arrays of `Corruption.collect`."""
    missing = {
        (name, severity): reason
        for name, reasons in arrays.facts.get("missing", {}).items()
        for severity, reason in zip(SEVERITIES, reasons, strict=True)
        if reason
    }
    correct, confidence = (_measured(arrays, kind, missing) for kind in ("correct", "confidence"))
    return Cells(correct, confidence, missing)


def _measured(arrays: Arrays, kind: str, missing: Container[Cell]) -> dict[Cell, NDArray[Any]]:
    """Return the values (n,) of the uncorrupted images and of each cell that is not missing."""
    cells = {
        (name, severity): values[:, index]
        for name, values in arrays.along(kind, "corruption").items()
        for index, severity in enumerate(SEVERITIES)
        if (name, severity) not in missing
    }
    return {UNCORRUPTED: arrays[kind], **cells}


#: A number, and the cells that it is the mean of.
Group = tuple[Quantity, Sequence[Cell]]


@dataclass(frozen=True)
class Source:
    """The origin of the corrupted images and of their frost, and the version of the recipe.

    Numbers of images by another version of the recipe have another protocol and are never joined.
    """

    origin: str
    frost: str
    recipe: int = 1

    def of(self, corruption: str) -> str:
        """Return the origin of the images of a corruption in words."""
        return self.with_frost if corruption == "frost" else self._corruptions

    @property
    def with_frost(self) -> str:
        """The origin of a set that includes frost, in words."""
        described = self.frost == "synthetic" and self.recipe > 1
        note = f" ({SYNTHETIC_FROST[min(self.recipe, 3) - 2]})" if described else ""
        return f"{self._corruptions}, {self.frost} frost{note}"

    @property
    def _corruptions(self) -> str:
        recipe = f" by recipe {self.recipe}" if self.recipe > 1 else ""
        return f"corruptions {self.origin}{recipe}" if recipe else f"{self.origin} corruptions"

    @property
    def mean(self) -> str:
        """The value of the axis `corruption` of a mean over the 15."""
        return "mean of 15" + ("" if self.frost == "official" else f", {self.frost} frost")


def cell_statistics(cells: Cells, source: Source, bins: int) -> Iterator[Statistic]:
    """Yield all numbers that need no baseline; the arguments are those of `Corruption`."""
    names = cells.corrupted
    yield from _missing(cells)
    quantities = []
    for name, severity in names:
        at = {"corruption": name, "severity": severity}
        text = f"top-1 accuracy, {source.of(name)}"
        quantities.append(Quantity("accuracy", "fraction", at, {"definition": text}))
    yield shares(quantities, [cells.correct[cell] for cell in names])
    correct = np.stack([cells.correct[cell] for cell in names], axis=1)
    quantities, groups = _complete(_accuracies(cells, source), names)
    if quantities:
        yield mean_of_cells(quantities, [correct[:, over].mean(axis=1) for over in groups])
    confidence = np.stack([cells.confidence[cell] for cell in names], axis=1)
    quantities, groups = _complete(_calibration(cells, source, bins), names)
    yield cell_calibration_errors(quantities, groups, confidence, correct, bins)


def _complete(
    groups: Iterable[Group], names: Sequence[Cell]
) -> tuple[list[Quantity], list[list[int]]]:
    """Return the numbers whose cells are all measured, and the positions of these."""
    index = {cell: i for i, cell in enumerate(names)}
    complete = [
        (quantity, [index[cell] for cell in over])
        for quantity, over in groups
        if all(cell in index for cell in over)
    ]
    return [quantity for quantity, _ in complete], [over for _, over in complete]


def _accuracies(cells: Cells, source: Source) -> Iterator[Group]:
    """Yield the mean accuracies of corruptions, and over the 15 and the 19."""
    for name in _names(cells):
        text = f"top-1 accuracy, mean of severities 1–5, {source.of(name)}"
        quantity = Quantity("accuracy", "fraction", {"corruption": name}, {"definition": text})
        yield quantity, _severities(name)
    for metric, over in zip(NAMES[source.frost], (FIFTEEN, NINETEEN), strict=True):
        text = f"mean top-1 accuracy over {SETS[over]} × 5 severities, {source.with_frost}"
        yield Quantity(metric, "fraction", {}, {"definition": text}), _all_severities(over)


def _calibration(cells: Cells, source: Source, bins: int) -> Iterator[Group]:
    """Yield the ECE of each cell, and its means over severities, over the 15, and over both."""
    bins_text = f"{bins} equal-width bins, T = 1"
    for name, severity in cells.corrupted:
        at = {"corruption": name, "severity": severity, "bins": bins}
        text = f"ECE, {bins_text}, {source.of(name)}"
        yield Quantity("ece", "fraction", at, {"definition": text}), [(name, severity)]
    mean = f"mean of the ECEs of cells ({bins_text}), not ECE of all images"
    for name in _names(cells):
        text = f"{mean}: severities 1–5, {source.of(name)}"
        at = {"corruption": name, "bins": bins}
        yield Quantity("ece", "fraction", at, {"definition": text}), _severities(name)
    for severity in SEVERITIES:
        at = {"corruption": source.mean, "severity": severity, "bins": bins}
        text = f"{mean}: {SETS[FIFTEEN]} at one severity, {source.with_frost}"
        yield (
            Quantity("ece", "fraction", at, {"definition": text}),
            [(name, severity) for name in FIFTEEN],
        )
    text = f"{mean}: {SETS[FIFTEEN]} × 5 severities, {source.with_frost}"
    at = {"corruption": source.mean, "bins": bins}
    yield Quantity("ece", "fraction", at, {"definition": text}), _all_severities(FIFTEEN)


def _missing(cells: Cells) -> Iterator[Statistic]:
    """Yield the number of missing severities of each corruption, and the reasons."""
    for name in dict.fromkeys(name for name, _ in cells.missing):
        severities = [severity for missing, severity in cells.missing if missing == name]
        reasons = dict.fromkeys(cells.missing[name, severity] for severity in severities)
        without = [SETS[over] for over in (FIFTEEN, NINETEEN) if name in over]
        protocol = {
            "definition": f"severities of {name} that could not be looked at: "
            f"{', '.join(map(str, severities))}",
            "reasons": "; ".join(reasons),
            "without": f"so there is no mean over {' or '.join(without)}",
        }
        quantity = Quantity("missing", "count", {"corruption": name}, protocol)
        yield unpaired(quantity, len(severities), UNMEASURED)


def _names(cells: Cells) -> list[str]:
    """Return the corruptions with a measured cell."""
    return list(dict.fromkeys(name for name, _ in cells.corrupted))


def _severities(name: str) -> list[Cell]:
    """Return all cells of a corruption."""
    return [(name, severity) for severity in SEVERITIES]


def _all_severities(names: Sequence[str]) -> list[Cell]:
    """Return all cells of some corruptions."""
    return [cell for name in names for cell in _severities(name)]


UNIT = "percent of baseline"
#: Suffixes of the metrics of means over the 15, by the origin of the frost images.
SUFFIXES = {
    "official": "",
    "synthetic": "_synthetic_frost",
    "photographs": "_photographed_frost",
    "unknown": "_unknown_frost",
}
CE, RELATIVE = "corruption_error", "relative_corruption_error"


def baseline_statistics(
    cells: Cells, baseline: Mapping[str, Cells | None], source: Source
) -> Iterator[Statistic]:
    """Yield `corruption_error` and `relative_corruption_error`, and their means over the 15.

    The errors of the baseline are averaged over its networks, by name. If the cells of one were not
    stored, the numbers are NaN and only say why there is no paired test. A ratio that is undefined
    for the baseline is `missing`. Raise InputError for a baseline of another number of images.
    """
    known = [side for side in baseline.values() if side is not None]
    names = _whole_corruptions([cells, *known])
    if not names:
        return
    rows = _ratio_rows(names, list(baseline), source)
    if len(known) < len(baseline):
        yield from (unpaired(row.quantity, math.nan, NO_BASELINE) for row in rows)
        return
    errors, reference = _errors([cells], names), _errors(known, names)
    defined = _defined(errors, reference)
    for row in rows:
        if len(row.over) == 1 and not defined[int(row.relative), row.over[0]]:
            yield unpaired(_undefined(row.quantity), 1.0, UNMEASURED)
    rows = [row for row in rows if all(defined[int(row.relative), column] for column in row.over)]
    if rows:
        itself = len(known) == 1 and _is_same_network(cells, known[0])
        yield error_ratios(rows, errors, reference, itself=itself)


def _ratio_rows(names: Sequence[str], baseline: Sequence[str], source: Source) -> list[ErrorRatio]:
    """Return the errors of each corruption, and their means over the 15 if these are complete."""
    at = {"baseline": " + ".join(baseline)}
    of_baseline = f"those of the baseline {_in_words(baseline)}"
    text = f"top-1 errors summed over severities 1–5, in percent of {of_baseline}"
    of_increase = (
        "what top-1 errors, summed over severities 1–5, exceed the clean error by, in percent of "
        f"{of_baseline}"
    )
    ratio = "100 × a ratio of sums"
    lost = f"{ratio}, missing where the baseline's is below {LEAST_LOSS:g} per severity"
    rows = []
    for metric, what, how in ((CE, text, ratio), (RELATIVE, of_increase, lost)):
        for column, name in enumerate(names):
            axes = {"corruption": name, **at}
            protocol = {"definition": what, "ratio": f"{how}, {source.of(name)}"}
            quantity = Quantity(metric, UNIT, axes, protocol)
            rows.append(ErrorRatio(quantity, [column], metric == RELATIVE))
        if set(FIFTEEN) <= set(names):
            mean = metric.replace("corruption", "mean_corruption") + SUFFIXES[source.frost]
            protocol = {
                "definition": f"mean over {SETS[FIFTEEN]} of {what}",
                "ratio": f"{how}, {source.with_frost}",
            }
            over = [names.index(name) for name in FIFTEEN]
            rows.append(ErrorRatio(Quantity(mean, UNIT, at, protocol), over, metric == RELATIVE))
    return rows


def _defined(own: Floats, baseline: Floats) -> Floats:
    """Return whether CE (row 0) and relative CE (row 1) of each corruption are defined (2, C)."""
    errors, reference = own.mean(axis=0), baseline.mean(axis=0)
    ratios = [
        corruption_errors(errors[1:], reference[1:]),
        relative_corruption_errors(errors[1:], errors[0], reference[1:], reference[0]),
    ]
    return ~np.isnan(ratios)


def _undefined(quantity: Quantity) -> Quantity:
    """Return the number that counts an undefined ratio."""
    conditions = Protocol(quantity.protocol)
    protocol = {"undefined": f"{quantity.metric} is not defined", **conditions}
    return Quantity("missing", "count", {**quantity.at, "of": quantity.metric}, protocol)


def _in_words(baseline: Sequence[str]) -> str:
    """Return the names of the baseline's networks in words."""
    names = ", ".join(baseline)
    return names if len(baseline) == 1 else f"(mean over {len(baseline)} networks: {names})"


def _whole_corruptions(sides: Sequence[Cells]) -> list[str]:
    """Return the corruptions whose cells are all measured on every side."""
    counts = sorted({side.images for side in sides})
    if len(counts) > 1:
        raise InputError(f"network and baseline were measured on {counts} images, not on the same")
    return [
        name
        for name in _names(sides[0])
        if all((name, severity) in side.correct for severity in SEVERITIES for side in sides)
    ]


def _errors(networks: Sequence[Cells], corruptions: Sequence[str]) -> Floats:
    """Return each image's clean error and mean error per corruption (n, 1 + C), over networks."""
    correct = [
        [
            network.correct[UNCORRUPTED],
            *(np.mean([network.correct[n, s] for s in SEVERITIES], axis=0) for n in corruptions),
        ]
        for network in networks
    ]
    errors: Floats = 1 - np.mean(np.asarray(correct, dtype=np.float64), axis=0).T
    return errors


def _is_same_network(cells: Cells, other: Cells) -> bool:
    """Whether two networks have the same confidences in all cells and are right for the same."""
    pairs: list[tuple[Mapping[Cell, Any], Mapping[Cell, Any]]] = [
        (cells.correct, other.correct),
        (cells.confidence, other.confidence),
    ]
    return all(
        one.keys() == two.keys() and all(np.array_equal(one[cell], two[cell]) for cell in one)
        for one, two in pairs
    )
