"""Compare two groups of networks, each with several seeds of one recipe, by Welch's test."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from sdd_eval.comparison.differences import RESAMPLES
from sdd_eval.comparison.families import Families, adjust_rows
from sdd_eval.comparison.matching import StoredRun, match_runs
from sdd_eval.comparison.paired import SideValues, untested_rows
from sdd_eval.comparison.records import MetricDifference, PairComparison
from sdd_eval.comparison.run_statistics import Key, RunStatistics, key, statistics_of
from sdd_eval.progress import NoProgress, Progress
from sdd_eval.statistics.bootstrap import Floats, bootstrap_replicates
from sdd_eval.statistics.intervals import LEVEL
from sdd_eval.statistics.seeds import difference, minimum_detectable_difference, seeds_and_images

Runs = Sequence[StoredRun]
#: Bootstrap replicates by key of each network of both sides.
Replicates = Sequence[Sequence[Mapping[Key, Floats]]]


def group_by_recipe(networks: Mapping[str, Runs]) -> list[tuple[str, ...]]:
    """Group the names of checkpoints whose recipes differ only in the seed."""
    groups: dict[str, list[str]] = {}
    for name, runs in networks.items():
        recipe = runs[0].run.provenance.recipe
        fields = {field: value for field, value in (recipe or {}).items() if field != "seed"}
        groups.setdefault(json.dumps(fields, sort_keys=True) if recipe else name, []).append(name)
    return [tuple(names) for names in groups.values()]


def compare_groups(
    base: Sequence[Runs],
    other: Sequence[Runs],
    families: Families,
    *,
    progress: Progress | None = None,
) -> PairComparison:
    """Compare all measurements shared by every network of both groups, by Welch's test over seeds.

    Statistics that are functions of sums over images also get an interval for new seeds and new
    images. All differences come with the smallest difference that this many seeds detect.
    """
    progress = progress or NoProgress()
    progress.start("comparing", len(base[0]))
    rows: list[MetricDifference] = []
    unmatched: list[str] = []
    for reference in base[0]:
        first, second = (_matching_runs(reference, side, unmatched) for side in (base, other))
        if len(first) == len(base) and len(second) == len(other):
            compared, incomparable = _rows(first, second, families)
            rows += compared
            unmatched += incomparable
        progress.advance(1, reference.run.evaluator)
    unmatched += _not_in_reference([*base, *other])
    return PairComparison(
        tuple(runs[0].run.checkpoint for runs in base),
        tuple(runs[0].run.checkpoint for runs in other),
        f"{len(base)} and {len(other)} seeds, new seeds",
        tuple(adjust_rows(rows)),
        tuple(dict.fromkeys(unmatched)),
        dict(families),
    )


def _matching_runs(
    reference: StoredRun, networks: Sequence[Runs], unmatched: list[str]
) -> list[StoredRun]:
    """Return the matching run of each network; append to `unmatched` why others do not match."""
    matching = []
    for runs in networks:
        candidates = [one for one in runs if one.run.evaluator == reference.run.evaluator]
        pairs, reasons = match_runs([reference], candidates)
        if pairs:
            matching.append(pairs[0][1])
        else:
            unmatched += [f"{runs[0].run.checkpoint}, {reason}" for reason in reasons]
    return matching


def _not_in_reference(networks: Sequence[Runs]) -> Iterator[str]:
    """Yield a line for each evaluation that the first network lacks."""
    reference, *others = networks
    known = {(one.run.evaluator, one.run.dataset) for one in reference}
    for run in (one.run for runs in others for one in runs):
        if (run.evaluator, run.dataset) not in known:
            checkpoint = reference[0].run.checkpoint
            yield f"{run.evaluator} on {run.dataset}: not measured on {checkpoint}"


def _rows(
    first: Sequence[StoredRun], second: Sequence[StoredRun], families: Families
) -> tuple[list[MetricDifference], list[str]]:
    """Return the rows of an evaluator, and a line for each measurement with several protocols."""
    statistics = [[statistics_of(network) for network in side] for side in (first, second)]
    replicates = [[_replicates(network) for network in side] for side in statistics]
    untested, incomparable = untested_rows(statistics, families)
    rows = [
        _with_both_interval(
            _with_welch(row, *values), values, replicates, key(number.metric, number.at)
        )
        for row, number, values in untested
    ]
    return rows, incomparable


def _with_welch(
    row: MetricDifference, first: Sequence[float], second: Sequence[float]
) -> MetricDifference:
    """Return a row with Welch's interval and test and the minimum detectable difference."""
    result = difference(first, second)
    if math.isnan(result.value):
        return replace(row, test="no test: the number is undefined for some seed")
    if math.isnan(result.p):
        return replace(row, test="no test: the seeds of each side all give the same number")
    return replace(
        row,
        low=result.low,
        high=result.high,
        p=result.p,
        test="Welch, over seeds",
        detectable=minimum_detectable_difference(first, second),
    )


def _with_both_interval(
    row: MetricDifference,
    values: SideValues,
    replicates: Replicates,
    number: Key,
) -> MetricDifference:
    """Add the interval for new seeds and images if all networks have replicates."""
    available = all(number in network for side in replicates for network in side)
    if row.p is None or not available:
        return row
    first, second = (np.stack([network[number] for network in side], axis=1) for side in replicates)
    interval = seeds_and_images(values[0], first, values[1], second)
    return replace(row, both_low=interval.low, both_high=interval.high)


def _replicates(network: RunStatistics) -> dict[Key, Floats]:
    """Return bootstrap replicates of the numbers that have an interval for new images."""
    replicates: dict[Key, Floats] = {}
    for statistic in network.statistics:
        if statistic.make_sums is None:
            continue
        drawn = bootstrap_replicates(statistic.sums, statistic.sums.images, RESAMPLES).T
        for quantity, row, ends in zip(
            statistic.quantities, drawn, statistic.level_bounds(LEVEL), strict=True
        ):
            if statistic.bounds is None or not isinstance(ends, str):
                replicates[key(quantity.metric, quantity.at)] = row
    return replicates
