"""Numbers under corruption: accuracy and ECE of cells, means over complete sets, CE and mCE.

Corruption errors (CE) are relative to a baseline. CIFAR has no conventional one, as ImageNet has
AlexNet, so its name is an axis of the number.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdd_eval.errors import InputError
from sdd_eval.evaluators.corruption.cells import (
    UNCORRUPTED,
    Cell,
    Cells,
    Resampled,
    ResampledEce,
    resampled_accuracy,
    resampled_ece,
)
from sdd_eval.evaluators.intervals import Intervals, share, with_interval
from sdd_eval.metrics.corruption import (
    FIFTEEN,
    LEAST_LOSS,
    NINETEEN,
    SEVERITIES,
    corruption_errors,
    relative_corruption_errors,
)
from sdd_eval.records import Measurement
from sdd_eval.statistics.bootstrap import Floats
from sdd_eval.statistics.intervals import Interval

#: Metrics of the means over the 15 and the 19 corruptions, by the origin of the frost images.
NAMES = {
    "official": ("mca", "mca_19"),
    "synthetic": ("mca_15_synthetic_frost", "mca_19_synthetic_frost"),
    "photographs": ("mca_15_photographed_frost", "mca_19_photographed_frost"),
    "unknown": ("mca_15_unknown_frost", "mca_19_unknown_frost"),
}
SETS = {FIFTEEN: "15 corruptions", NINETEEN: "19 corruptions"}
#: How images are resampled for the interval of a mean over cells.
TOGETHER = "an image drawn with all its renderings"


@dataclass(frozen=True)
class Source:
    """The origin of the corrupted images, and of their frost."""

    origin: str
    frost: str

    def of(self, corruption: str) -> str:
        """Return the origin of the images of a corruption in words."""
        return self.with_frost if corruption == "frost" else f"{self.origin} corruptions"

    @property
    def with_frost(self) -> str:
        """The origin of a set that includes frost, in words."""
        return f"{self.origin} corruptions, {self.frost} frost"

    @property
    def mean(self) -> str:
        """The value of the axis `corruption` of a mean over the 15."""
        return "mean of 15" + ("" if self.frost == "official" else f", {self.frost} frost")


def rows(cells: Cells, source: Source, bins: int, intervals: Intervals) -> Iterator[Measurement]:
    """Yield all numbers that need no baseline."""
    correct = {cell: cells.correct[cell] for cell in cells.corrupted}
    accuracy = resampled_accuracy(correct, intervals)
    yield from _missing(cells)
    for name, severity in cells.corrupted:
        text = f"top-1 accuracy, {source.of(name)}"
        at = {"corruption": name, "severity": severity}
        yield share("accuracy", cells.correct[name, severity], at, text, intervals)
    for name in _names(cells):
        text = f"top-1 accuracy, mean of severities 1–5, {source.of(name)}"
        yield from _mean("accuracy", accuracy, _severities(name), {"corruption": name}, text)
    for metric, over in zip(NAMES[source.frost], (FIFTEEN, NINETEEN), strict=True):
        text = f"mean top-1 accuracy over {SETS[over]} × 5 severities, {source.with_frost}"
        yield from _mean(metric, accuracy, _all_severities(over), {}, text)
    yield from _calibration(resampled_ece(cells, bins, intervals), cells, source, bins)


def _calibration(
    ece: ResampledEce, cells: Cells, source: Source, bins: int
) -> Iterator[Measurement]:
    """Yield the ECE of each cell, and its means over severities, over the 15, and over both."""
    bins_text = f"{bins} equal-width bins, T = 1"
    for name, severity in cells.corrupted:
        at = {"corruption": name, "severity": severity, "bins": bins}
        text = f"ECE, {bins_text}, {source.of(name)}"
        yield from _mean("ece", ece, [(name, severity)], at, text)
    mean = f"mean of the ECEs of cells ({bins_text}), not ECE of all images"
    for name in _names(cells):
        text = f"{mean}: severities 1–5, {source.of(name)}"
        yield from _mean("ece", ece, _severities(name), {"corruption": name, "bins": bins}, text)
    for severity in SEVERITIES:
        at = {"corruption": source.mean, "severity": severity, "bins": bins}
        text = f"{mean}: {SETS[FIFTEEN]} at one severity, {source.with_frost}"
        yield from _mean("ece", ece, [(name, severity) for name in FIFTEEN], at, text)
    text = f"{mean}: {SETS[FIFTEEN]} × 5 severities, {source.with_frost}"
    at = {"corruption": source.mean, "bins": bins}
    yield from _mean("ece", ece, _all_severities(FIFTEEN), at, text)


def _missing(cells: Cells) -> Iterator[Measurement]:
    """Yield the number of missing severities of each corruption, and the reasons."""
    for name in dict.fromkeys(name for name, _ in cells.missing):
        severities = [severity for missing, severity in cells.missing if missing == name]
        reasons = dict.fromkeys(cells.missing[name, severity] for severity in severities)
        without = [SETS[over] for over in (FIFTEEN, NINETEEN) if name in over]
        text = (
            f"severities of {name} that could not be looked at: "
            f"{', '.join(map(str, severities))}; {'; '.join(reasons)}; "
            f"so there is no mean over {' or '.join(without)}"
        )
        yield Measurement("missing", float(len(severities)), "count", {"corruption": name}, text)


def _mean(
    metric: str,
    resampled: Resampled | ResampledEce,
    over: Sequence[Cell],
    at: Mapping[str, Any],
    text: str,
) -> Iterator[Measurement]:
    """Yield a mean over cells with its interval, if all cells are measured."""
    mean = resampled.mean(over)
    if mean is not None:
        yield _with_interval(Measurement(metric, mean[0], "fraction", at, text), mean[1])


def _with_interval(number: Measurement, interval: Interval) -> Measurement:
    """Return a number of several cells with its interval."""
    return with_interval(
        number, dataclasses.replace(interval, method=f"{interval.method}, {TOGETHER}")
    )


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


@dataclass(frozen=True)
class _Ratios:
    """A ratio of each corruption (C,), and in resamples of the images (resamples, C)."""

    names: Sequence[str]
    values: Floats
    resamples: Floats
    intervals: Intervals

    def over(self, names: Sequence[str]) -> tuple[float, Floats] | None:
        """Return the mean over corruptions, and in resamples; None if a ratio is undefined."""
        if not set(names) <= set(self.names):
            return None
        columns = [self.names.index(name) for name in names]
        value = float(self.values[columns].mean())
        return None if np.isnan(value) else (value, self.resamples[:, columns].mean(axis=1))


def baseline_rows(
    cells: Cells, baseline: Mapping[str, Cells], source: Source, intervals: Intervals
) -> Iterator[Measurement]:
    """Yield `corruption_error` and `relative_corruption_error`, and their means over the 15.

    The errors of the baseline are averaged over its networks. Both sides are resampled together,
    an image with all its corrupted versions.

    Raises:
        InputError: the baseline was measured on another number of images.
    """
    names = whole_corruptions([cells, *baseline.values()])
    if not names:
        return
    sides: list[list[Cells]] = [[cells], list(baseline.values())]
    network, reference = (_accuracy(names, side, intervals) for side in sides)
    at = {"baseline": " + ".join(baseline)}
    of_baseline = f"those of the baseline {_in_words(baseline)}; 100 × a ratio of sums"
    text = f"top-1 errors summed over severities 1–5, in percent of {of_baseline}"
    yield from _ratio_rows(CE, _plain(names, network, reference), at, text, source)
    text = (
        "what top-1 errors, summed over severities 1–5, exceed the clean error by, in percent of "
        f"{of_baseline}, missing where the baseline's is below {LEAST_LOSS:g} per severity"
    )
    yield from _ratio_rows(RELATIVE, _relative(names, network, reference), at, text, source)


def _in_words(baseline: Mapping[str, Cells]) -> str:
    """Return the names of the baseline's networks in words."""
    names = ", ".join(baseline)
    return names if len(baseline) == 1 else f"(mean over {len(baseline)} networks: {names})"


def whole_corruptions(sides: Sequence[Cells]) -> list[str]:
    """Return the corruptions whose cells are all measured on every side."""
    counts = sorted({side.images for side in sides})
    if len(counts) > 1:
        raise InputError(f"network and baseline were measured on {counts} images, not on the same")
    names = dict.fromkeys(name for name, _ in sides[0].corrupted)
    return [
        name
        for name in names
        if all((name, severity) in side.correct for severity in SEVERITIES for side in sides)
    ]


def _accuracy(names: Sequence[str], networks: Sequence[Cells], intervals: Intervals) -> Resampled:
    """Return the accuracy of each cell and of clean images, averaged over networks."""
    shares = {
        cell: np.mean([network.correct[cell] for network in networks], axis=0)
        for cell in [UNCORRUPTED, *_all_severities(names)]
    }
    return resampled_accuracy(shares, intervals)


def _errors(names: Sequence[str], side: Resampled) -> tuple[Floats, Floats]:
    """Return errors averaged over severities (C,), and (resamples, C)."""
    values = [np.mean([side.values[name, s] for s in SEVERITIES]) for name in names]
    resamples = [np.mean([side.resamples[name, s] for s in SEVERITIES], axis=0) for name in names]
    return 1 - np.array(values), 1 - np.stack(resamples, axis=1)


def _plain(names: Sequence[str], network: Resampled, reference: Resampled) -> _Ratios:
    """Return the CE of each corruption."""
    (values, resamples), (of_baseline, resampled) = (
        _errors(names, side) for side in (network, reference)
    )
    return _Ratios(
        names,
        corruption_errors(values, of_baseline),
        corruption_errors(resamples, resampled),
        network.intervals,
    )


def _relative(names: Sequence[str], network: Resampled, reference: Resampled) -> _Ratios:
    """Return the relative CE of each corruption; resamples use no threshold on the baseline."""
    sides = (network, reference)
    (values, resamples), (of_baseline, resampled) = (_errors(names, side) for side in sides)
    clean, clean_of_baseline = (1 - side.values[UNCORRUPTED] for side in sides)
    clean_resamples, clean_resampled = (1 - side.resamples[UNCORRUPTED] for side in sides)
    return _Ratios(
        names,
        relative_corruption_errors(values, clean, of_baseline, clean_of_baseline),
        relative_corruption_errors(
            resamples, clean_resamples, resampled, clean_resampled, least=1e-9
        ),
        network.intervals,
    )


def _ratio_rows(
    metric: str, ratios: _Ratios, at: Mapping[str, Any], text: str, source: Source
) -> Iterator[Measurement]:
    """Yield the ratio of each corruption, or `missing` if undefined, and the mean over the 15."""
    lowest = 0 if metric == CE else -np.inf
    undefined = [name for name in ratios.names if ratios.over([name]) is None]
    for name in undefined:
        axes = {"corruption": name, **at, "of": metric}
        why = f"{metric} is not defined; {text}, {source.of(name)}"
        yield Measurement("missing", 1.0, "count", axes, why)
    defined = [name for name in ratios.names if name not in undefined]
    means = {(metric, name): ([name], source.of(name)) for name in defined}
    mean = metric.replace("corruption", "mean_corruption") + SUFFIXES[source.frost]
    means[mean, ""] = (list(FIFTEEN), source.with_frost)
    for (of, name), (over, origin) in means.items():
        ratio = ratios.over(over)
        if ratio is not None:
            interval = ratios.intervals.basic(ratio[0], ratio[1], lowest, np.inf)
            axes = {"corruption": name, **at} if name else {**at}
            protocol = f"{text}, {origin}"
            if not name:
                protocol = f"mean over {SETS[FIFTEEN]} of {protocol}"
            yield _with_interval(Measurement(of, ratio[0], UNIT, axes, protocol), interval)
