"""What the paper's text claims and no table of it shows: training cost, mask variance, corruptions.

Each function returns rows for a CSV file: plain numbers, with differences as fractions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from sdd_eval import plugins, training
from sdd_eval.errors import InputError
from sdd_eval.progress import Progress
from sdd_eval.records import ModelSpec, Recipe, decode
from sdd_eval.statistics.bootstrap import basic_interval, bootstrap_means
from sdd_eval.statistics.intervals import Interval
from sdd_eval.statistics.seeds import seeds_and_images

if TYPE_CHECKING:
    import pandas

#: Names of the arrays of the evaluator `corruption`: "correct_NAME" (n, severities),
#: "correct_clean" (n,), and "missing_NAME" if a severity is missing.
CORRECT, CLEAN, MISSING = "correct_", "clean", "missing_"

Row = Mapping[str, Any]
#: The arrays of one network by name.
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class CorruptionDifference:
    """Mean accuracy over the severities of a corruption, other minus base, with its interval."""

    corruption: str
    difference: float
    interval: Interval

    @property
    def result(self) -> Literal["won", "lost", "neither"]:
        """Whether the interval excludes zero, and on which side."""
        if self.interval.low > 0:
            return "won"
        return "lost" if self.interval.high < 0 else "neither"


def corruption_differences(
    base: Sequence[Arrays], other: Sequence[Arrays]
) -> tuple[CorruptionDifference, ...]:
    """Compare two groups of networks on every corruption that all of them were measured on.

    An image is resampled with all its severities and for all networks at once. With at least two
    networks in each group the interval is over new seeds and new images, else over new images.
    Raise InputError if a group is empty, or the networks have no corruption or other images.
    """
    if not base or not other:
        raise InputError("a side has no network whose corruptions were measured")
    networks = (*base, *other)
    shared = [
        name
        for name in (key.removeprefix(CORRECT) for key in base[0] if key.startswith(CORRECT))
        if name != CLEAN
        and all(CORRECT + name in each and MISSING + name not in each for each in networks)
    ]
    if not shared:
        raise InputError("the networks have no corruption in common")
    return tuple(_difference(name, base, other) for name in shared)


def _difference(name: str, base: Sequence[Arrays], other: Sequence[Arrays]) -> CorruptionDifference:
    correct = [np.asarray(each[CORRECT + name], dtype=np.float64) for each in (*base, *other)]
    if len({len(each) for each in correct}) > 1:
        raise InputError(f"{name} was measured on different images")
    images = np.stack([each.mean(axis=1) for each in correct], axis=1)
    means, resampled = images.mean(axis=0), bootstrap_means(images)
    n = len(base)
    difference = float(means[n:].mean() - means[:n].mean())
    if min(n, len(other)) > 1:
        interval = seeds_and_images(means[:n], resampled[:, :n], means[n:], resampled[:, n:])
    else:
        replicates = resampled[:, n:].mean(axis=1) - resampled[:, :n].mean(axis=1)
        interval = basic_interval(difference, replicates)
    return CorruptionDifference(name, difference, interval)


def corruption_rows(results: pandas.DataFrame, arrays: Mapping[str, Arrays]) -> Iterator[Row]:
    """Return a row per corruption and group of a results table, compared with plain cross-entropy.

    The table is of one test set and architecture; `arrays` are the per-image arrays of each run.
    """
    rows = results[(results["evaluator"] == "corruption") & (results["note"] == "")]
    plain = rows[(rows["method"] == "ce") & (rows["sd_dropout"] == 0)]
    base = [arrays[name] for name in dict.fromkeys(plain["run"])]
    if not base:
        return
    others = rows[~rows["group"].isin(set(plain["group"]))]
    for group, group_rows in others.groupby("group", sort=False):
        other = [arrays[name] for name in dict.fromkeys(group_rows["run"])]
        for each in corruption_differences(base, other):
            yield {
                "method": group,
                "corruption": each.corruption,
                "difference": each.difference,
                "low": each.interval.low,
                "high": each.interval.high,
                "result": each.result,
                "networks_base": len(base),
                "networks": len(other),
            }


def mask_variance_rows(summary: pandas.DataFrame) -> Iterator[Row]:
    """Return a row per group and set of images of the evaluator `mask_variance`, from a summary."""
    relative = summary[summary["metric"] == "mask_variance_relative"]
    ratios = summary[summary["metric"] == "mask_variance_ratio"]
    for row in relative.to_dict("records"):
        is_test_set = row["outliers"] is None or row["outliers"] != row["outliers"]
        same = (ratios["group"] == row["group"]) & (ratios["outliers"] == row["outliers"])
        ratio = math.nan if is_test_set or not same.any() else ratios[same]["mean"].iloc[0]
        yield {
            "images": row["test_set"] if is_test_set else row["outliers"],
            "method": row["group"],
            "relative_variance": row["mean"],
            "std": row["std"],
            "networks": row["n"],
            "variance_over_test_set": float(ratio),
        }


def training_cost_rows(
    arch: str, batch_size: int, precision: str, *, steps: int, device: str, progress: Progress
) -> list[Row]:
    """Measure the training cost of every method; raise InputError for unknown arch or precision."""
    shared = {"batch_size": batch_size, "arch": arch, "precision": precision}
    names = ["ce", *(name for name in plugins.names("methods") if name != "ce")]
    recipes = [
        decode(Recipe, {**shared, "method": name, "sd_dropout": weight})
        for name in names
        for weight in (0.0, 1.0 if name == "ce" else 0.1)
    ]
    spec = ModelSpec(arch, 100, (0.5,) * 3, (0.25,) * 3, 32)
    costs = training.measure_costs(recipes, spec, steps=steps, device=device, progress=progress)
    base = costs[0]
    return [
        {
            "method": cost.recipe.method,
            "sd_dropout": cost.recipe.sd_dropout,
            "images_per_second": cost.images_per_second,
            "images_per_second_over_ce": cost.images_per_second / base.images_per_second,
            "memory_bytes": cost.memory,
            "memory_is": cost.memory_is,
            "memory_over_ce": cost.memory / base.memory,
            "trained_parameters": cost.trained_parameters,
            "exported_parameters": cost.exported_parameters,
        }
        for cost in costs
    ]
