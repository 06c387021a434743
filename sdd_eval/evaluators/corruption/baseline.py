"""Errors under corruption in percent of a named baseline's: CE, relative CE, and their means.

Such a number says nothing without its baseline: CIFAR has no conventional one, as ImageNet has
AlexNet, so the baseline's name stands in `at` and in the protocol.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdd_eval.errors import InputError
from sdd_eval.evaluators.corruption.cell_metrics import SETS, Source, measured
from sdd_eval.evaluators.corruption.cells import (
    UNCORRUPTED,
    Cells,
    Resampled,
    resampled_accuracy,
)
from sdd_eval.evaluators.intervals import Intervals
from sdd_eval.metrics.corruption import (
    FIFTEEN,
    LEAST_LOSS,
    SEVERITIES,
    corruption_errors,
    relative_corruption_errors,
)
from sdd_eval.records import Measurement
from sdd_eval.statistics.bootstrap import Floats

UNIT = "percent of baseline"
#: What a mean over the 15 has after its name, by where its frost is from.
SUFFIXES = {
    "official": "",
    "synthetic": "_synthetic_frost",
    "photographs": "_photographed_frost",
    "unknown": "_unknown_frost",
}
CE, RELATIVE = "corruption_error", "relative_corruption_error"


@dataclass(frozen=True)
class _Ratios:
    """A ratio of each corruption (C,), and over resamples of the images (resamples, C)."""

    names: Sequence[str]
    values: Floats
    drawn: Floats
    intervals: Intervals

    def over(self, names: Sequence[str]) -> tuple[float, Floats] | None:
        """The mean over some corruptions, and (resamples,); None where one is not defined."""
        if not set(names) <= set(self.names):
            return None
        columns = [self.names.index(name) for name in names]
        value = float(self.values[columns].mean())
        return None if np.isnan(value) else (value, self.drawn[:, columns].mean(axis=1))


def baseline_rows(
    cells: Cells, baseline: Mapping[str, Cells], source: Source, intervals: Intervals
) -> Iterator[Measurement]:
    """`corruption_error` and `relative_corruption_error` per corruption, and means over the 15.

    `baseline` are the networks, by name, over which the baseline's errors are averaged. Both sides
    are resampled together, an image with all its renderings.

    Raises:
        InputError: the baseline was measured on another number of images.
    """
    names = whole_corruptions([cells, *baseline.values()])
    if not names:
        return
    sides: list[list[Cells]] = [[cells], list(baseline.values())]
    own, other = (_errors(names, side, intervals) for side in sides)
    at = {"baseline": " + ".join(baseline)}
    told = f"those of the baseline {_called(baseline)}; 100 × a ratio of sums"
    plain = f"top-1 errors summed over severities 1–5, in percent of {told}"
    yield from _rows(CE, _plain(names, own, other), at, plain, source)
    loss = (
        "what top-1 errors, summed over severities 1–5, exceed the clean error by, in percent of "
        f"{told}, missing where the baseline's is below {LEAST_LOSS:g} per severity"
    )
    yield from _rows(RELATIVE, _relative(names, own, other), at, loss, source)


def _called(baseline: Mapping[str, Cells]) -> str:
    """The baseline's networks in words."""
    names = ", ".join(baseline)
    return names if len(baseline) == 1 else f"(mean over {len(baseline)} networks: {names})"


def whole_corruptions(sides: Sequence[Cells]) -> list[str]:
    """The corruptions of which every side has every severity."""
    counts = sorted({side.images for side in sides})
    if len(counts) > 1:
        raise InputError(f"network and baseline were measured on {counts} images, not on the same")
    names = dict.fromkeys(name for name, _ in sides[0].corrupted)
    return [
        name
        for name in names
        if all((name, severity) in side.correct for severity in SEVERITIES for side in sides)
    ]


def _errors(names: Sequence[str], networks: Sequence[Cells], intervals: Intervals) -> Resampled:
    """The accuracy of each corruption over its severities, and of the images as they are."""
    places = [UNCORRUPTED, *((name, severity) for name in names for severity in SEVERITIES)]
    shares = {
        place: np.mean([each.correct[place] for each in networks], axis=0) for place in places
    }
    return resampled_accuracy(shares, intervals)


def _of_corruptions(names: Sequence[str], side: Resampled) -> tuple[Floats, Floats]:
    """Mean errors over severities (C,), and (resamples, C)."""
    values = [np.mean([side.values[name, s] for s in SEVERITIES]) for name in names]
    drawn = [np.mean([side.drawn[name, s] for s in SEVERITIES], axis=0) for name in names]
    return 1 - np.array(values), 1 - np.stack(drawn, axis=1)


def _plain(names: Sequence[str], own: Resampled, other: Resampled) -> _Ratios:
    """CE of each corruption."""
    (ours, our_draws), (theirs, their_draws) = (_of_corruptions(names, x) for x in (own, other))
    return _Ratios(
        names,
        corruption_errors(ours, theirs),
        corruption_errors(our_draws, their_draws),
        own.intervals,
    )


def _relative(names: Sequence[str], own: Resampled, other: Resampled) -> _Ratios:
    """Relative CE of each corruption; a resample has one wherever the images as they are do."""
    (ours, our_draws), (theirs, their_draws) = (_of_corruptions(names, x) for x in (own, other))
    clean, their_clean = (1 - side.values[UNCORRUPTED] for side in (own, other))
    drawn_clean, their_drawn_clean = (1 - side.drawn[UNCORRUPTED] for side in (own, other))
    return _Ratios(
        names,
        relative_corruption_errors(ours, clean, theirs, their_clean),
        relative_corruption_errors(
            our_draws, drawn_clean, their_draws, their_drawn_clean, least=1e-9
        ),
        own.intervals,
    )


def _rows(
    metric: str, found: _Ratios, at: Mapping[str, Any], told: str, source: Source
) -> Iterator[Measurement]:
    """The ratio of each corruption, `missing` where there is none, and the mean over the 15."""
    lowest = 0 if metric == CE else -np.inf
    undefined = [name for name in found.names if found.over([name]) is None]
    for name in undefined:
        text = f"{metric} is not defined; {told}, {source.of(name)}"
        yield Measurement("missing", 1.0, "count", {"corruption": name, **at, "of": metric}, text)
    defined = [name for name in found.names if name not in undefined]
    means = {(metric, name): ([name], source.of(name)) for name in defined}
    mean = metric.replace("corruption", "mean_corruption") + SUFFIXES[source.frost]
    means[mean, ""] = (list(FIFTEEN), source.with_frost)
    for (called, name), (over, where) in means.items():
        ratio = found.over(over)
        if ratio is not None:
            interval = found.intervals.basic(ratio[0], ratio[1], lowest, np.inf)
            place = {"corruption": name, **at} if name else at
            text = f"{told}, {where}" if name else f"mean over {SETS[FIFTEEN]} of {told}, {where}"
            yield measured(Measurement(called, ratio[0], UNIT, place, text), interval)
