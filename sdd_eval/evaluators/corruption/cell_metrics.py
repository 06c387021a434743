"""Accuracies and calibration errors under corruption: of cells, and means over complete sets."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sdd_eval.evaluators.corruption.cell_ece import ResampledEce, resampled_ece
from sdd_eval.evaluators.corruption.cells import (
    Cell,
    Cells,
    Resampled,
    resampled_accuracy,
)
from sdd_eval.evaluators.intervals import Intervals, beside, share
from sdd_eval.metrics.corruption import FIFTEEN, NINETEEN, SEVERITIES
from sdd_eval.records import Measurement
from sdd_eval.statistics.intervals import Interval

#: What a mean over the 15 or the 19 is called, by where its frost is from: never one name for two.
NAMES = {
    "official": ("mca", "mca_19"),
    "synthetic": ("mca_15_synthetic_frost", "mca_19_synthetic_frost"),
    "photographs": ("mca_15_photographed_frost", "mca_19_photographed_frost"),
    "unknown": ("mca_15_unknown_frost", "mca_19_unknown_frost"),
}
SETS = {FIFTEEN: "15 corruptions", NINETEEN: "19 corruptions"}
#: How images are drawn for the interval of a mean over cells.
TOGETHER = "an image drawn with all its renderings"


@dataclass(frozen=True)
class Source:
    """Where the images are from, and what their frost was made of."""

    origin: str
    frost: str

    def of(self, corruption: str) -> str:
        """The source of the images of a corruption."""
        return self.with_frost if corruption == "frost" else f"{self.origin} corruptions"

    @property
    def with_frost(self) -> str:
        """The source of images that frost is among."""
        return f"{self.origin} corruptions, {self.frost} frost"

    @property
    def mean(self) -> str:
        """What stands as `corruption` of a mean over the 15; official frost goes without saying."""
        return "mean of 15" + ("" if self.frost == "official" else f", {self.frost} frost")


def rows(cells: Cells, source: Source, bins: int, intervals: Intervals) -> Iterator[Measurement]:
    """All measurements that need no baseline."""
    right = {cell: cells.correct[cell] for cell in cells.corrupted}
    accuracy = resampled_accuracy(right, intervals)
    yield from _missing(cells)
    yield from _accuracy_of_cells(cells, source, intervals)
    for name in _names(cells):
        told = f"top-1 accuracy, mean of severities 1–5, {source.of(name)}"
        yield from _mean("accuracy", accuracy, _severities(name), {"corruption": name}, told)
    for metric, over in zip(NAMES[source.frost], (FIFTEEN, NINETEEN), strict=True):
        told = f"mean top-1 accuracy over {SETS[over]} × 5 severities, {source.with_frost}"
        places = [cell for name in over for cell in _severities(name)]
        yield from _mean(metric, accuracy, places, {}, told)
    yield from _calibration(resampled_ece(cells, bins, intervals), cells, source, bins)


def _accuracy_of_cells(cells: Cells, source: Source, intervals: Intervals) -> Iterator[Measurement]:
    """The accuracy of each cell, whose images are distinct."""
    for name, severity in cells.corrupted:
        told = f"top-1 accuracy, {source.of(name)}"
        at = {"corruption": name, "severity": severity}
        yield share("accuracy", cells.correct[name, severity], at, told, intervals)


def _calibration(
    found: ResampledEce, cells: Cells, source: Source, bins: int
) -> Iterator[Measurement]:
    """ECE of each cell, and means of it over severities, over the 15 corruptions, over both."""
    cell_told = f"ECE, {bins} equal-width bins, T = 1"
    for name, severity in cells.corrupted:
        at = {"corruption": name, "severity": severity, "bins": bins}
        told = f"{cell_told}, {source.of(name)}"
        yield from _mean("ece", found, [(name, severity)], at, told)
    mean = f"mean of the ECEs of cells ({cell_told.removeprefix('ECE, ')}), not ECE of all images"
    for name in _names(cells):
        told = f"{mean}: severities 1–5, {source.of(name)}"
        yield from _mean("ece", found, _severities(name), {"corruption": name, "bins": bins}, told)
    for severity in SEVERITIES:
        at = {"corruption": source.mean, "severity": severity, "bins": bins}
        told = f"{mean}: {SETS[FIFTEEN]} at one severity, {source.with_frost}"
        yield from _mean("ece", found, [(name, severity) for name in FIFTEEN], at, told)
    places = [cell for name in FIFTEEN for cell in _severities(name)]
    told = f"{mean}: {SETS[FIFTEEN]} × 5 severities, {source.with_frost}"
    yield from _mean("ece", found, places, {"corruption": source.mean, "bins": bins}, told)


def _missing(cells: Cells) -> Iterator[Measurement]:
    """How many severities of a corruption were not looked at, and why."""
    for name in dict.fromkeys(name for name, _ in cells.missing):
        severities = [severity for each, severity in cells.missing if each == name]
        reasons = dict.fromkeys(cells.missing[name, severity] for severity in severities)
        without = [SETS[over] for over in (FIFTEEN, NINETEEN) if name in over]
        told = (
            f"severities of {name} that could not be looked at: "
            f"{', '.join(map(str, severities))}; {'; '.join(reasons)}; "
            f"so there is no mean over {' or '.join(without)}"
        )
        yield Measurement("missing", float(len(severities)), "count", {"corruption": name}, told)


def _mean(
    metric: str,
    found: Resampled | ResampledEce,
    over: Sequence[Cell],
    at: Mapping[str, Any],
    told: str,
) -> Iterator[Measurement]:
    """A mean over cells with its interval, if all of them are there."""
    mean = found.mean(over)
    if mean is not None:
        yield measured(Measurement(metric, mean[0], "fraction", at, told), mean[1])


def measured(number: Measurement, found: Interval) -> Measurement:
    """A number of several cells with its interval."""
    return beside(number, dataclasses.replace(found, method=f"{found.method}, {TOGETHER}"))


def _names(cells: Cells) -> list[str]:
    """The corruptions of which anything was looked at."""
    return list(dict.fromkeys(name for name, _ in cells.corrupted))


def _severities(name: str) -> list[Cell]:
    """All cells of a corruption."""
    return [(name, severity) for severity in SEVERITIES]
