"""Two groups of networks, the seeds of one recipe each: what would new seeds show?"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from sdd_eval.comparison.families import Families, adjust_rows, family_of
from sdd_eval.comparison.matching import StoredRun, match_runs
from sdd_eval.comparison.paired import (
    RESAMPLES,
    describe,
    measurement_id,
    same_protocol,
    untested_row,
)
from sdd_eval.comparison.records import MAXIMA, MetricDifference, PairComparison
from sdd_eval.comparison.run_statistics import key_of, statistics_of
from sdd_eval.comparison.statistic import Key
from sdd_eval.progress import NoProgress, Progress
from sdd_eval.records import Measurement, Run
from sdd_eval.statistics.bootstrap import Floats, bootstrap_replicates
from sdd_eval.statistics.seeds import difference, minimum_detectable_difference, seeds_and_images

Runs = Sequence[StoredRun]


def grouped(networks: Mapping[str, Runs]) -> list[tuple[str, ...]]:
    """Names of checkpoints, those that differ in nothing but the seed of their recipe together."""
    found: dict[str, list[str]] = {}
    for name, runs in networks.items():
        recipe = runs[0].run.provenance.get("card")
        alike = name
        if isinstance(recipe, Mapping):
            fields = {field: value for field, value in recipe.items() if field != "seed"}
            alike = json.dumps(fields, sort_keys=True)
        found.setdefault(alike, []).append(name)
    return [tuple(names) for names in found.values()]


def compare_groups(
    base: Sequence[Runs],
    other: Sequence[Runs],
    families: Families,
    *,
    progress: Progress | None = None,
) -> PairComparison:
    """All numbers that every network of both groups has: Welch's test over seeds.

    Beside it the interval under new seeds and new images at once, where images add up to the
    number, and the smallest difference that so many seeds would have found.
    """
    progress = progress or NoProgress()
    progress.start("comparing", len(base[0]))
    rows: list[MetricDifference] = []
    apart: list[str] = []
    for one in base[0]:
        sides = [[_partner(one, runs, apart) for runs in side] for side in (base, other)]
        first, second = ([each for each in side if each is not None] for side in sides)
        if len(first) == len(base) and len(second) == len(other):
            found, reasons = _rows(first, second, families)
            rows += found
            apart += reasons
        progress.advance(1, one.run.evaluator)
    apart += _not_of_the_first([*base, *other])
    names, others = (tuple(runs[0].run.checkpoint for runs in side) for side in (base, other))
    meaning = f"{len(base)} and {len(other)} seeds, new seeds"
    return PairComparison(
        names,
        others,
        meaning,
        tuple(adjust_rows(rows)),
        tuple(dict.fromkeys(apart)),
        dict(families),
    )


def _partner(one: StoredRun, runs: Runs, apart: list[str]) -> StoredRun | None:
    """The run of another network that may be joined with this one."""
    pairs, reasons = match_runs([one], [r for r in runs if r.run.evaluator == one.run.evaluator])
    if pairs:
        return pairs[0][1]
    apart += [f"{runs[0].run.checkpoint}, {reason}" for reason in reasons]
    return None


def _not_of_the_first(networks: Sequence[Runs]) -> Iterator[str]:
    """A line for all that others were measured in and the first network was not."""
    first, *rest = networks
    known = {(each.run.evaluator, each.run.dataset) for each in first}
    for each in (each for runs in rest for each in runs):
        if (each.run.evaluator, each.run.dataset) not in known:
            name = first[0].run.checkpoint
            yield f"{each.run.evaluator} on {each.run.dataset}: differ: not measured on {name}"


def _rows(
    first: Sequence[StoredRun], second: Sequence[StoredRun], families: Families
) -> tuple[list[MetricDifference], list[str]]:
    """The rows of an evaluator, and a line for each number that follows several protocols."""
    drawn = [[_replicates(each) for each in side] for side in (first, second)]
    known = [[_by_place(each.run) for each in side] for side in (first, second)]
    found, apart, run = [], [], first[0].run
    for number in run.measurements:
        there = [[each.get(measurement_id(number)) for each in side] for side in known]
        every = [each for side in there for each in side if each is not None]
        if len(every) < len(first) + len(second):
            continue
        if not all(same_protocol(number, each) for each in every):
            apart.append(f"{run.evaluator}, {describe(number)}: differ: protocols")
            continue
        one, two = ([each.value for each in side if each is not None] for side in there)
        family = family_of(run.evaluator, number.metric, number.at, run.settings, families)
        row = untested_row(run, number, (float(np.mean(one)), float(np.mean(two))), family)
        found.append(_both(_over_seeds(row, one, two), (one, two), drawn, key_of(run, number)))
    return found, apart


def _by_place(run: Run) -> dict[tuple[str, str], Measurement]:
    return {measurement_id(each): each for each in run.measurements}


def _over_seeds(
    row: MetricDifference, one: Sequence[float], two: Sequence[float]
) -> MetricDifference:
    """The row with Welch's interval and test, and what would have been found."""
    found, least = difference(one, two), minimum_detectable_difference(one, two)
    if math.isnan(found.value):
        return dataclasses.replace(row, test="no test: a number is not defined for some seed")
    if math.isnan(found.p):
        return dataclasses.replace(row, test="no test: seeds of a side do not differ")
    return dataclasses.replace(
        row, low=found.low, high=found.high, p=found.p, test="Welch, over seeds", detectable=least
    )


def _both(
    row: MetricDifference,
    values: tuple[Sequence[float], Sequence[float]],
    drawn: Sequence[Sequence[Mapping[Key, Floats]]],
    name: Key,
) -> MetricDifference:
    """The row with the interval under new seeds and new images, where all networks have it."""
    if (
        row.p is None
        or row.metric in MAXIMA
        or not all(name in each for side in drawn for each in side)
    ):
        return row
    one, two = (np.stack([each[name] for each in side], axis=1) for side in drawn)
    interval = seeds_and_images(values[0], one, values[1], two)
    return dataclasses.replace(row, both_low=interval.low, both_high=interval.high)


def _replicates(of: StoredRun) -> dict[Key, Floats]:
    """What each number of a run is over the same resamples of the images."""
    found: dict[Key, Floats] = {}
    for part in statistics_of(of):
        drawn = bootstrap_replicates(part.sums, part.sums.images, RESAMPLES)
        found |= dict(zip(part.keys, drawn.T, strict=True))
    return found
