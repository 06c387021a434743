"""Tables of details that belong to claims: training cost, mask variance, single corruptions.

Each function returns rows for a CSV file: plain numbers, with differences as fractions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval import plugins, training
from sdd_eval.arrays import Arrays
from sdd_eval.errors import InputError
from sdd_eval.metrics.formatting import format_interval, format_mean, format_number
from sdd_eval.metrics.registry import metric
from sdd_eval.progress import Progress
from sdd_eval.records import ModelSpec, Recipe, decode
from sdd_eval.statistics.bootstrap import basic_interval, bootstrap_replicates
from sdd_eval.statistics.hypothesis_tests import permutations_needed
from sdd_eval.statistics.seeds import Difference, SeedSummary, adjust, seeds_and_images
from sdd_eval.statistics.seeds import difference as welch_difference
from sdd_eval.statistics.sums import SumStatistic, permutation_p_values

if TYPE_CHECKING:
    import pandas

    from sdd_eval.training.analysis.cost import Cost

Row = Mapping[str, Any]

#: The titles of the tables.
TITLES = {
    "cost": "Training cost relative to cross-entropy (this machine; median of the repetitions)",
    "variance": "Variance of the logits over dropout masks, relative to their spread over classes",
    "corruptions": "Corruptions won and lost against cross-entropy, in points of accuracy",
}
#: Each image's mean accuracy (n,) by corruption.
Accuracies = Mapping[str, NDArray[np.float64]]


def corruption_differences(
    base: Sequence[Arrays], others: Sequence[Sequence[Arrays]]
) -> list[dict[str, Difference]]:
    """Compare groups of networks with a base on every corruption that both were measured on.

    Return, for each group, the difference of the mean accuracy over the severities (other minus
    base) by corruption. An image is resampled with all its severities and for all networks at once.
    With at least two networks in each group, the interval is over new seeds and new images, and the
    test is Welch's over seeds; otherwise both are over new images, by bootstrap and paired
    permutations. P-values are adjusted over all groups and corruptions; p is NaN without a test.
    Raise InputError if a group is empty, or the networks have no corruption in common or different
    images.
    """
    first, *groups = [list(map(_accuracies, group)) for group in (base, *others)]
    names = [_shared_corruptions(first, group) for group in groups]
    family = sum(map(len, names))
    pairs = [(name, group) for group, shared in zip(groups, names, strict=True) for name in shared]
    changes = iter(adjust([_difference(name, first, group, family) for name, group in pairs]))
    return [{name: next(changes) for name in shared} for shared in names]


def _shared_corruptions(base: Sequence[Accuracies], other: Sequence[Accuracies]) -> list[str]:
    if not base or not other:
        raise InputError("a side has no network whose corruptions were measured")
    shared = [name for name in base[0] if all(name in cells for cells in (*base, *other))]
    if not shared:
        raise InputError("the networks have no corruption in common")
    return shared


def _accuracies(arrays: Arrays) -> Accuracies:
    """Return each image's mean accuracy over the severities, by completely measured corruption."""
    missing = arrays.facts.get("missing", {})
    correct = arrays.along("correct", "corruption")
    return {name: flags.mean(axis=1) for name, flags in correct.items() if name not in missing}


def _difference(
    name: str, base: Sequence[Accuracies], other: Sequence[Accuracies], family: int
) -> Difference:
    accuracies, n = [values[name] for values in (*base, *other)], len(base)
    if len({len(values) for values in accuracies}) > 1:
        raise InputError(f"{name} was measured on different images")
    images = np.stack(accuracies, axis=1)
    means, resampled = images.mean(axis=0), bootstrap_replicates(_mean(images), len(images))
    difference = float(means[n:].mean() - means[:n].mean())
    if min(n, len(means) - n) > 1:
        interval = seeds_and_images(means[:n], resampled[:, :n], means[n:], resampled[:, n:])
        p = welch_difference(means[:n], means[n:]).p
    else:
        replicates = resampled[:, n:].mean(axis=1) - resampled[:, :n].mean(axis=1)
        interval = basic_interval(difference, replicates)
        first, second = (
            _mean(side.mean(axis=1, keepdims=True)) for side in (images[:, :n], images[:, n:])
        )
        p = permutation_p_values(first, second, permutations_needed(family))[0].item()
    return Difference(difference, interval.low, interval.high, interval.level, p)


def _mean(values: NDArray[np.float64]) -> SumStatistic:
    """Return the mean over images of values (n, columns)."""
    return SumStatistic(values, lambda sums: sums / len(values), len(values))


def corruption_rows(
    results: pandas.DataFrame, arrays: Mapping[str, Arrays], plain: Set[str]
) -> Iterator[Row]:
    """Return a row per corruption and group of a results table, compared with plain cross-entropy.

    The table is for one test set and architecture; `arrays` are those of each run, `plain` the
    checkpoints of cross-entropy alone.
    """
    rows = results[(results["evaluator"] == "corruption") & (results["note"] == "")]
    is_base = rows["checkpoint"].isin(plain)
    base = [arrays[name] for name in dict.fromkeys(rows[is_base]["run"])]
    if not base:
        return
    rest = rows[~rows["group"].isin(set(rows[is_base]["group"]))]
    runs = {group: names.unique() for group, names in rest.groupby("group", sort=False)["run"]}
    others = [[arrays[name] for name in names] for names in runs.values()]
    compared = corruption_differences(base, others)
    for group, other, differences in zip(runs, others, compared, strict=True):
        for corruption, change in differences.items():
            yield {
                "method": group,
                "corruption": corruption,
                "difference": change.value,
                "low": change.low,
                "high": change.high,
                "p_adjusted": change.adjusted,
                "result": {"higher": "won", "lower": "lost"}.get(change.verdict, "neither"),
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


def measure_methods(
    arch: str,
    batch_size: int,
    precision: str,
    *,
    steps: int,
    turns: int,
    device: str,
    progress: Progress,
) -> tuple[Cost, ...]:
    """Measure the training cost of every method; raise InputError for unknown arch or precision."""
    shared = {"batch_size": batch_size, "arch": arch, "precision": precision}
    names = ["ce", *(name for name in plugins.names("methods") if name != "ce")]
    recipes = [
        decode(Recipe, {**shared, "method": name, "sd_dropout": weight})
        for name in names
        for weight in (0.0, 1.0 if name == "ce" else 0.1)
    ]
    spec = ModelSpec(arch, 100, (0.5,) * 3, (0.25,) * 3, 32)
    return training.measure_costs(
        recipes, spec, steps=steps, turns=turns, device=device, progress=progress
    )


def cost_rows(costs: Sequence[Cost]) -> list[Row]:
    """Return a row per method with its cost, absolute and relative to the first one's."""
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


def detail_cells(name: str, row: Row) -> Mapping[str, str]:
    """Return a row of a table of details as text by the titles of its columns."""
    formats = {"cost": _cost_cells, "variance": _variance_cells, "corruptions": _corruption_cells}
    return formats[name](row)


def _cost_cells(row: Row) -> dict[str, str]:
    return {
        "method": row["method"] + (" + sdd" if row["sd_dropout"] else ""),
        "images/s": f"{row['images_per_second']:.1f}",
        "× CE": f"{row['images_per_second_over_ce']:.2f}",
        f"MiB {row['memory_is']}": f"{row['memory_bytes'] / 2**20:.1f}",
        "× CE ": f"{row['memory_over_ce']:.2f}",
        "parameters trained": f"{row['trained_parameters']:,}",
        "exported": f"{row['exported_parameters']:,}",
    }


def _variance_cells(row: Row) -> dict[str, str]:
    ratio = row["variance_over_test_set"]
    relative = SeedSummary(row["relative_variance"], row["std"], row["networks"])
    return {
        "images": row["images"],
        "method": row["method"],
        "relative variance": f"{format_mean(metric('mask_variance_relative'), relative)}"
        + (f" ({relative.n})" if relative.n > 1 else ""),
        "absolute, × test set": "" if math.isnan(ratio) else f"{ratio:.2f}",
    }


def _corruption_cells(row: Row) -> dict[str, str]:
    accuracy = metric("accuracy")
    return {
        "method": row["method"],
        "corruption": row["corruption"],
        "difference": format_number(accuracy, row["difference"], sign=True),
        "95 %": format_interval(accuracy, row["low"], row["high"], sign=True),
        "": row["result"],
    }


def won_and_lost(rows: Sequence[Row]) -> Iterator[str]:
    """Yield a line per group: numbers of corruptions won and lost, and of networks."""
    for group in dict.fromkeys(row["method"] for row in rows):
        members = [row for row in rows if row["method"] == group]
        won, lost = (sum(row["result"] == word for row in members) for word in ("won", "lost"))
        count = members[0]["networks"]
        yield (
            f"{group}: of {len(members)} corruptions {won} won, {lost} lost "
            f"({count} network{'' if count == 1 else 's'} against {members[0]['networks_base']})"
        )
