"""Metrics under corruption: accuracy and ECE of cells, means over complete sets, CE and mCE.

Corruption errors (CE) are relative to a baseline. Unlike ImageNet with AlexNet, CIFAR has no
conventional baseline, so the name of the baseline is an axis of the number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, product
from typing import Any

import numpy as np

from sdd_eval.arrays import Arrays
from sdd_eval.errors import InputError
from sdd_eval.metrics.arrays import Floats
from sdd_eval.metrics.corruption import (
    FIFTEEN,
    LEAST_LOSS,
    NINETEEN,
    SEVERITIES,
    ErrorRatio,
    cell_calibration_errors,
    corruption_errors,
    error_ratios,
)
from sdd_eval.protocol import Protocol
from sdd_eval.statistics.statistic import Quantity, Statistic, mean_of_cells, shares, unpaired

#: Suffix of the metrics that are means over corruptions, by the origin of the frost images.
FROST = {
    "official": "",
    "synthetic": "_synthetic_frost",
    "photographs": "_photographed_frost",
    "unknown": "_unknown_frost",
}
SETS = {FIFTEEN: "15 corruptions", NINETEEN: "19 corruptions"}
#: How synthetic frost differs from the published photographs, by recipe version (2 and later);
#: measured on 400 images.
SYNTHETIC_FROST = (
    "weaker than the published photographs: a ResNet-56 is 8 to 14 points more accurate under it, "
    "and about 0.7 points in the mean over the 15",
    "not the published photographs, but changes pixels by as much on average and in spread",
)
#: Why the numbers have no paired test.
UNMEASURED = "it counts what could not be measured"
NO_BASELINE = "this study has no run of the baseline, or its arrays were not stored"

#: A corruption and a severity.
Cell = tuple[str, int]


def measured_cells(arrays: Arrays) -> list[Cell]:
    """Return the cells in the arrays of `Corruption.collect` that are not missing."""
    missing, none = arrays.facts.get("missing", {}), [""] * len(SEVERITIES)
    return [
        (name, severity)
        for name in arrays.coordinates("corruption")
        for severity, reason in zip(SEVERITIES, missing.get(name, none), strict=True)
        if not reason
    ]


@dataclass(frozen=True)
class Source:
    """The origin of the corrupted images and of their frost, and the version of the recipe.

    Numbers measured on images from another version of the recipe have a different protocol and are
    never combined.
    """

    origin: str
    frost: str
    recipe: int = 1

    def of(self, corruption: str) -> str:
        """Describe the origin of the images of a corruption."""
        return self.with_frost if corruption == "frost" else self._corruptions

    @property
    def with_frost(self) -> str:
        """Description of the origin of a set that includes frost."""
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


def cell_statistics(arrays: Arrays, source: Source, bins: int) -> Iterator[Statistic]:
    """Yield all numbers that need no baseline; the arguments are those of `Corruption`."""
    cells, names = measured_cells(arrays), arrays.coordinates("corruption")
    measured = [cell in cells for cell in _cells(names)]
    correct, confidence = (
        np.concatenate(list(arrays.along(kind, "corruption").values()), axis=1)[:, measured]
        for kind in ("correct", "confidence")
    )
    yield from _missing(arrays.facts.get("missing", {}))
    accuracies = [
        _fraction("accuracy", _at(*cell), f"top-1 accuracy, {source.of(cell[0])}") for cell in cells
    ]
    yield shares(accuracies, list(correct.T))
    quantities, groups = _complete(_accuracies(cells, source), cells)
    if quantities:
        yield mean_of_cells(quantities, [correct[:, over].mean(axis=1) for over in groups])
    quantities, groups = _complete(_calibration(cells, source, bins), cells)
    yield cell_calibration_errors(quantities, groups, confidence, correct, bins)


#: A number, and the cells that it averages.
Group = tuple[Quantity, Sequence[Cell]]


def _complete(
    groups: Iterable[Group], cells: Sequence[Cell]
) -> tuple[list[Quantity], list[list[int]]]:
    """Return the numbers whose cells are all measured, and the positions of these cells."""
    complete = [(quantity, over) for quantity, over in groups if set(over) <= set(cells)]
    positions = [[cells.index(cell) for cell in over] for _, over in complete]
    return [quantity for quantity, _ in complete], positions


def _accuracies(cells: Sequence[Cell], source: Source) -> Iterator[Group]:
    """Yield the mean accuracy of each corruption, and the means over the 15 and the 19."""
    for name in dict.fromkeys(name for name, _ in cells):
        text = f"top-1 accuracy, mean of severities 1–5, {source.of(name)}"
        yield _fraction("accuracy", _at(name), text), _cells([name])
    suffix = FROST[source.frost]
    for metric, over in ((f"mca{'_15' * bool(suffix)}", FIFTEEN), ("mca_19", NINETEEN)):
        text = f"mean top-1 accuracy over {SETS[over]} × 5 severities, {source.with_frost}"
        yield _fraction(metric + suffix, {}, text), _cells(over)


def _calibration(cells: Sequence[Cell], source: Source, bins: int) -> Iterator[Group]:
    """Yield the ECE of each cell, and its means over severities, the 15 corruptions, and both."""
    bins_text, axis = f"{bins} equal-width bins, T = 1", {"bins": bins}
    for name, severity in cells:
        text = f"ECE, {bins_text}, {source.of(name)}"
        yield _fraction("ece", _at(name, severity) | axis, text), [(name, severity)]
    mean = f"mean of the ECEs of cells ({bins_text}), not ECE of all images"
    for name in dict.fromkeys(name for name, _ in cells):
        text = f"{mean}: severities 1–5, {source.of(name)}"
        yield _fraction("ece", _at(name) | axis, text), _cells([name])
    for severity in SEVERITIES:
        text = f"{mean}: {SETS[FIFTEEN]} at one severity, {source.with_frost}"
        over = [(name, severity) for name in FIFTEEN]
        yield _fraction("ece", _at(source.mean, severity) | axis, text), over
    text = f"{mean}: {SETS[FIFTEEN]} × 5 severities, {source.with_frost}"
    yield _fraction("ece", _at(source.mean) | axis, text), _cells(FIFTEEN)


def _missing(missing: Mapping[str, Sequence[str]]) -> Iterator[Statistic]:
    """Yield the number of missing severities of each corruption, from the reasons by severity."""
    for name, reasons in missing.items():
        severities = [severity for severity, why in zip(SEVERITIES, reasons, strict=True) if why]
        without = [SETS[over] for over in (FIFTEEN, NINETEEN) if name in over]
        protocol = {
            "definition": f"severities of {name} that could not be looked at: "
            f"{', '.join(map(str, severities))}",
            "reasons": "; ".join(dict.fromkeys(filter(None, reasons))),
            "without": f"so there is no mean over {' or '.join(without)}",
        }
        yield unpaired(
            Quantity("missing", "count", _at(name), protocol), len(severities), UNMEASURED
        )


def _fraction(metric: str, at: Mapping[str, Any], definition: str) -> Quantity:
    return Quantity(metric, "fraction", at, {"definition": definition})


def _at(corruption: str, severity: int | None = None) -> dict[str, Any]:
    """Return the axes of a corruption, or of one of its severities."""
    return {"corruption": corruption} | ({"severity": severity} if severity else {})


def _cells(names: Iterable[str]) -> list[Cell]:
    """Return all cells of some corruptions."""
    return list(product(names, SEVERITIES))


UNIT = "percent of baseline"
CE, RELATIVE = "corruption_error", "relative_corruption_error"


def baseline_statistics(
    arrays: Arrays, baseline: Mapping[str, Arrays | None], source: Source
) -> Iterator[Statistic]:
    """Yield `corruption_error` and `relative_corruption_error`, and their means over the 15.

    The errors of the baseline are averaged over its networks, by name. If the arrays of one of them
    are not stored, the numbers are NaN and only state why there is no paired test. A ratio that is
    undefined for the baseline is counted as `missing`. Raise InputError if the baseline was
    evaluated on a different number of images.
    """
    known = [side for side in baseline.values() if side is not None]
    names = _whole_corruptions([arrays, *known])
    if not names:
        return
    rows = _ratio_rows(names, list(baseline), source)
    if len(known) < len(baseline):
        yield from (unpaired(row.quantity, math.nan, NO_BASELINE) for row in rows)
        return
    errors, reference = _errors([arrays], names), _errors(known, names)
    ratios = corruption_errors(errors.mean(axis=0), reference.mean(axis=0))
    defined = [not np.isnan(ratios[int(row.relative), list(row.over)]).any() for row in rows]
    for row, is_defined in zip(rows, defined, strict=True):
        if len(row.over) == 1 and not is_defined:
            yield unpaired(_undefined(row.quantity), 1.0, UNMEASURED)
    if any(defined):
        itself = len(known) == 1 and _is_same_network(arrays, known[0])
        yield error_ratios(list(compress(rows, defined)), errors, reference, itself=itself)


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
            mean = metric.replace("corruption", "mean_corruption") + FROST[source.frost]
            protocol = {
                "definition": f"mean over {SETS[FIFTEEN]} of {what}",
                "ratio": f"{how}, {source.with_frost}",
            }
            over = [names.index(name) for name in FIFTEEN]
            rows.append(ErrorRatio(Quantity(mean, UNIT, at, protocol), over, metric == RELATIVE))
    return rows


def _undefined(quantity: Quantity) -> Quantity:
    """Return the number that counts an undefined ratio."""
    conditions = Protocol(quantity.protocol)
    protocol = {"undefined": f"{quantity.metric} is not defined", **conditions}
    return Quantity("missing", "count", {**quantity.at, "of": quantity.metric}, protocol)


def _in_words(baseline: Sequence[str]) -> str:
    """Return the names of the baseline's networks as text."""
    names = ", ".join(baseline)
    return names if len(baseline) == 1 else f"(mean over {len(baseline)} networks: {names})"


def _whole_corruptions(sides: Sequence[Arrays]) -> list[str]:
    """Return the corruptions whose cells are all measured for both the network and the baseline."""
    counts = sorted({len(side["correct"]) for side in sides})
    if len(counts) > 1:
        raise InputError(f"network and baseline were measured on {counts} images, not on the same")
    names = sides[0].coordinates("corruption")
    measured = set.intersection(*(set(measured_cells(side)) for side in sides))
    return [name for name in names if measured >= set(_cells([name]))]


def _errors(networks: Sequence[Arrays], corruptions: Sequence[str]) -> Floats:
    """Return each image's clean error and mean error per corruption (n, 1 + C), over networks."""
    correct = []
    for network in networks:
        cells = network.along("correct", "corruption")
        shares = [cells[name].mean(axis=1) for name in corruptions]
        correct.append([network["correct"], *shares])
    errors: Floats = 1 - np.mean(correct, axis=0).T
    return errors


def _is_same_network(arrays: Arrays, other: Arrays) -> bool:
    """Whether two networks have the same confidences and correct predictions in all cells."""
    one, two = (
        {(entry.name, *entry.at.values()): entry.read() for entry in side.entries}
        for side in (arrays, other)
    )
    return one.keys() == two.keys() and all(
        np.array_equal(one[name], two[name], equal_nan=True) for name in one
    )
