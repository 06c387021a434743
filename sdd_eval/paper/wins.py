"""Corruptions that one side wins and loses, with intervals over images, and over seeds if any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sdd_eval.errors import InputError
from sdd_eval.statistics.bootstrap import basic_interval, bootstrap_means
from sdd_eval.statistics.intervals import Interval
from sdd_eval.statistics.seeds import seeds_and_images

#: What the arrays of `corruption` are called: "correct_NAME" (n, severities); "correct_clean" (n,)
#: is of the images as they are, and where "missing_NAME" is there a severity could not be seen.
FLAGS, CLEAN, MISSING = "correct_", "clean", "missing_"

#: One network's arrays by name.
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Won:
    """A corruption's accuracy, mean over severities: other side minus base, and its interval."""

    corruption: str
    difference: float
    interval: Interval

    @property
    def result(self) -> Literal["won", "lost", "neither"]:
        """Won or lost where the interval excludes no change."""
        if self.interval.low > 0:
            return "won"
        return "lost" if self.interval.high < 0 else "neither"


def corruptions_won(base: Sequence[Arrays], other: Sequence[Arrays]) -> tuple[Won, ...]:
    """Every corruption that all networks were measured on, in the order of the first's arrays.

    An image is drawn with all its severities, and for all networks at once. With at least two
    networks a side the interval is over new seeds and new images, else over new images alone.

    Raises:
        InputError: a side has no network, or they were measured on different images.
    """
    if not base or not other:
        raise InputError("a side has no network whose corruptions were measured")
    networks = (*base, *other)
    shared = [
        name
        for name in (key.removeprefix(FLAGS) for key in base[0] if key.startswith(FLAGS))
        if name != CLEAN
        and all(FLAGS + name in each and MISSING + name not in each for each in networks)
    ]
    if not shared:
        raise InputError("the networks have no corruption in common")
    return tuple(_won(name, base, other) for name in shared)


def _won(name: str, base: Sequence[Arrays], other: Sequence[Arrays]) -> Won:
    """One corruption."""
    flags = [np.asarray(each[FLAGS + name], dtype=np.float64) for each in (*base, *other)]
    if len({len(each) for each in flags}) > 1:
        raise InputError(f"{name} was measured on different images")
    columns = [each.mean(axis=1) for each in flags]
    images = np.stack(columns, axis=1)
    means, drawn = images.mean(axis=0), bootstrap_means(images)
    cut = len(base)
    difference = float(means[cut:].mean() - means[:cut].mean())
    if min(cut, len(other)) > 1:
        interval = seeds_and_images(means[:cut], drawn[:, :cut], means[cut:], drawn[:, cut:])
    else:
        changes = drawn[:, cut:].mean(axis=1) - drawn[:, :cut].mean(axis=1)
        interval = basic_interval(difference, changes)
    return Won(name, difference, interval)
