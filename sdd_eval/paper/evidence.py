"""The evidence of studies for each claim: the numbers of both sides, seed by seed."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sdd_eval.arrays import Arrays
from sdd_eval.metrics.names import display_name
from sdd_eval.paper.claims import Claim, Number, Pair
from sdd_eval.paper.comparison import Row, RowsByMetric, rows_by_metric
from sdd_eval.paper.equal_confidence import errors_at_equal_confidence
from sdd_eval.paper.sides import Group, Scale, StudySides, same, scale_of, side_pairs
from sdd_eval.statistics.seeds import MIN_SEEDS, Difference, difference

if TYPE_CHECKING:
    import pandas

    from sdd_eval.training.analysis.cost import Cost

Kind = Literal["claim", "baseline", "check"]
#: Columns whose values the rows of both sides share.
_CONDITIONS = ("dataset", "n", "limited", "data", "protocol_id", "fingerprint")


@dataclass(frozen=True)
class Side:
    """The values of a number, one per network or timing, their names and their common label."""

    label: str
    checkpoints: tuple[str, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Contrast:
    """The values of a number on both sides."""

    kind: Kind
    name: str
    metric: str
    base: Side
    other: Side

    @cached_property
    def samples(self) -> tuple[Sequence[float], Sequence[float]]:
        """The two compared samples; for the same networks or turns, zeros and the differences."""
        base, other = self.base, self.other
        if not base.checkpoints or base.checkpoints != other.checkpoints:
            return base.values, other.values
        pairs = zip(base.values, other.values, strict=True)
        return (0.0,) * len(base.values), tuple(second - first for first, second in pairs)

    @cached_property
    def difference(self) -> Difference:
        """Welch's difference of the means over seeds, other minus base.

        A constant sample has variance 0, which yields the one-sample t test: for a claim about a
        constant and, as a paired test, for two numbers of the same networks or turns.
        """
        return difference(*self.samples)

    @property
    def seeds(self) -> int:
        """The number of networks of the smaller side."""
        return min(len(self.base.values), len(self.other.values))


@dataclass(frozen=True)
class Evidence:
    """The evidence of one study for one claim.

    Attributes:
        claim: the claim's id.
        study, scale, setting: where it was measured, and on which test set and network.
        contrasts: the claim's own, then those of its baselines and checks that were measured.
    """

    claim: str
    study: str
    scale: Scale
    setting: str
    contrasts: tuple[Contrast, ...]

    @property
    def main(self) -> Contrast:
        """The contrast of the claim itself."""
        return self.contrasts[0]

    def of(self, kind: Kind, name: str) -> tuple[Contrast, ...]:
        """Return the contrasts of a baseline or a check; none if it was not measured."""
        return tuple(one for one in self.contrasts if (one.kind, one.name) == (kind, name))


@dataclass(frozen=True)
class _Study:
    """The rows and the sides of a study, and the arrays of its runs."""

    name: str
    rows: RowsByMetric
    sides: StudySides
    arrays: Mapping[str, Arrays] = field(default_factory=dict)


def collect_evidence(
    claims: Sequence[Claim],
    results: pandas.DataFrame,
    studies: Mapping[str, StudySides],
    arrays: Mapping[str, Arrays] | None = None,
) -> list[Evidence]:
    """Return the evidence for each claim in each study that measured both of its sides.

    `results` is the table of `results.csv`; `arrays`, by its column `run`, are only needed for the
    error at equal mean confidence. If several groups of checkpoints fit a side, the pair with the
    most seeds is used. Both sides are measured on the same images by the same protocol, and their
    recipes differ only in what the claim names.
    """
    numbers = [number for claim in claims for number in _numbers(claim)]
    known = {(number.evaluator, metric) for number in numbers for metric in number.metrics}
    found = []
    for name, sides in studies.items():
        rows = rows_by_metric(results[results["study"] == name], known)
        study = _Study(name, rows, sides, arrays or {})
        found += [one for claim in claims if (one := _evidence(claim, study)) is not None]
    return found


def _numbers(claim: Claim) -> Iterator[Number]:
    yield claim.number
    if claim.against is not None:
        yield claim.against
    yield from itertools.chain.from_iterable(claim.checks.values())


def _evidence(claim: Claim, study: _Study) -> Evidence | None:
    """Return a study's evidence for a claim; None if a side is missing."""
    find = _contrast_of_gains if claim.gain else _best_contrast
    best = find(claim, claim.pair, claim.number, "claim", "", study)
    if best is None:
        return None
    main, other = best
    contrasts = [main]
    for name, pair in claim.baselines.items():
        found = _best_contrast(claim, pair, claim.number, "baseline", name, study, other.shared)
        contrasts += [found[0]] if found else []
    for name, numbers in claim.checks.items():
        for number in numbers:
            found = _best_contrast(claim, claim.pair, number, "check", name, study, other.shared)
            contrasts += [found[0]] if found else []
    setting = f"{display_name(other.recipe['dataset'])}, {display_name(other.recipe['arch'])}"
    scale = scale_of(claim, other, study.sides)
    return Evidence(claim.id, study.name, scale, setting, tuple(contrasts))


def _best_contrast(
    claim: Claim,
    pair: Pair,
    number: Number,
    kind: Kind,
    name: str,
    study: _Study,
    shared: str = "",
) -> tuple[Contrast, Group] | None:
    """Return the contrast with the most seeds, and its other side; None if there is none.

    Of several baselines of one name, such as weight decays, the best one with enough seeds is used,
    against the best other side.
    """
    candidates = []
    for base, other in side_pairs(claim, pair, study.sides, shared):
        rows = _rows_of_sides(claim, number, base, other, study)
        if rows is not None:
            contrast = _contrast(claim, number, kind, name, rows, study.arrays)
            candidates += [(contrast, other)] if contrast is not None else []
    rank = _strength if kind == "baseline" else _seeds
    return max(candidates, key=lambda pair: rank(claim, pair[0]), default=None)


def _contrast_of_gains(
    claim: Claim, pair: Pair, number: Number, kind: Kind, name: str, study: _Study
) -> tuple[Contrast, Group] | None:
    """Return the contrast of both sides' gains, and the other side; None if a group is missing."""
    gained = _best_contrast(claim, claim.with_gain(pair.other), number, kind, name, study)
    if gained is None:
        return None
    contrast, group = gained
    of_base = claim.with_gain(pair.base)
    based = _best_contrast(claim, of_base, number, kind, name, study, group.family)
    if based is None:
        return None
    sides = [_gain(one) for one in (based[0], contrast)]
    return Contrast(kind, name, contrast.metric, *sides), group


def _gain(contrast: Contrast) -> Side:
    """Return what `other` adds to `base`; networks of different seeds are independent."""
    base, other = contrast.base, contrast.other
    values = tuple(after - before for before, after in zip(base.values, other.values, strict=False))
    return Side(f"gain of {other.label}", other.checkpoints[: len(values)], values)


def _seeds(claim: Claim, contrast: Contrast) -> tuple[float, ...]:
    return (contrast.seeds,)


def _strength(claim: Claim, contrast: Contrast) -> tuple[float, ...]:
    """Return a key that orders contrasts by enough seeds, then by how good base and other are."""
    sides = (contrast.base.values, contrast.other.values)
    return min(contrast.seeds, MIN_SEEDS), *(claim.sign * float(np.mean(one)) for one in sides)


def _contrast(
    claim: Claim,
    number: Number,
    kind: Kind,
    name: str,
    rows: tuple[Sequence[Row], Sequence[Row]],
    arrays: Mapping[str, Arrays],
) -> Contrast | None:
    base, other = rows
    if number.equal_confidence:
        logits = [[arrays.get(row["run"], Arrays()) for row in side] for side in rows]
        if not all("logits" in one for side in logits for one in side):
            return None
        values = errors_at_equal_confidence(logits[0], logits[1], number.at["bins"][0])
        sides = [_side(side, own) for side, own in zip(rows, values, strict=True)]
    elif claim.threshold is not None:
        constant = Side(f"{claim.threshold:g}", (), (claim.threshold,) * len(other))
        sides = [constant, _side(other)]
    else:
        sides = [_side(base), _side(other)]
    return Contrast(kind, name, other[0]["metric"], *sides)


def _side(rows: Sequence[Row], values: Iterable[float] | None = None) -> Side:
    measured = (row["value"] for row in rows) if values is None else values
    names = tuple(str(row["checkpoint"]) for row in rows)
    return Side(str(rows[0]["group"]), names, tuple(map(float, measured)))


def _rows_of_sides(
    claim: Claim, number: Number, base: Group | None, other: Group, study: _Study
) -> tuple[list[Row], list[Row]] | None:
    """Return the rows of both sides, one per seed, under their best common conditions.

    Of the accepted metrics and axes, the first that both sides have are used, unless only later
    ones have enough seeds; among several conditions, those with the most seeds.
    """
    against = claim.against if number is claim.number and claim.against else number
    of_other = _rows_by_conditions(claim, number, other, study)
    of_base = of_other if base is None else _rows_by_conditions(claim, against, base, study)
    one_protocol = against is number
    pairs = [
        (min(len(first), len(second)), rank, first, second)
        for (rank, conditions), second in of_other.items()
        for (base_rank, base_conditions), first in of_base.items()
        if rank == base_rank and (conditions == base_conditions or not one_protocol)
    ]
    if not pairs:
        return None
    *_, first, second = min(pairs, key=lambda pair: (-min(pair[0], MIN_SEEDS), pair[1], -pair[0]))
    return list(first.values()), list(second.values())


def _rows_by_conditions(
    claim: Claim, number: Number, group: Group, study: _Study
) -> dict[tuple[tuple[int, ...], str], dict[int, Row]]:
    """Return a group's rows of a number by seed, by rank of metric and axes, and by conditions."""
    test_set = study.sides.names.get(claim.data, claim.data)
    epochs = int(group.recipe["epochs"])
    moments = {"start": 0, "half": epochs // 2, "end": epochs}
    accepted = dict(number.at)
    if "when" in accepted.get("epoch", ()):
        accepted["epoch"] = (moments[claim.when],)
    found: dict[tuple[tuple[int, ...], str], dict[int, Row]] = {}
    for index, name in enumerate(number.metrics):
        for at, rows in study.rows.get((number.evaluator, name), {}).items():
            rank = _rank(dict(at), accepted, study.sides.names)
            if rank is None:
                continue
            for row in rows:
                if row["checkpoint"] in group.seeds and row["test_set"] == test_set:
                    conditions = str([row.get(column) for column in _CONDITIONS])
                    seeds = found.setdefault(((index, *rank), conditions), {})
                    seeds.setdefault(group.seeds[row["checkpoint"]], row)
    return found


def _rank(
    at: Mapping[str, Any], accepted: Mapping[str, Sequence[Any]], names: Mapping[str, str]
) -> tuple[int, ...] | None:
    """Return the position of each axis's value among those accepted; None if one is not."""
    if at.keys() != accepted.keys():
        return None
    ranks = []
    for axis, values in accepted.items():
        position = next((i for i, v in enumerate(values) if same(at[axis], names.get(v, v))), None)
        if position is None:
            return None
        ranks.append(position)
    return tuple(ranks)


def cost_evidence(claims: Sequence[Claim], costs: Sequence[Cost]) -> list[Evidence]:
    """Return the evidence for the claims about cost; a turn of the measurement counts as a seed.

    All methods were timed in each turn, so that rates are compared turn by turn.
    """
    found = []
    for claim in claims:
        if claim.number.evaluator != "cost":
            continue
        sides = [_cost_side(claim, fields, costs) for fields in (claim.pair.base, claim.pair.other)]
        if all(side.values for side in sides):
            contrast = Contrast("claim", "", claim.number.metrics[0], *sides)
            setting = f"{display_name(costs[0].recipe.arch)}, {costs[0].recipe.batch_size} a batch"
            found.append(Evidence(claim.id, "this machine", "timed now", setting, (contrast,)))
    return found


def _cost_side(claim: Claim, side: Mapping[str, Any], costs: Sequence[Cost]) -> Side:
    method, weight = side.get("method", ("ce",))[0], side.get("sd_dropout", (0.0,))[0]
    for cost in costs:
        if (cost.recipe.method, cost.recipe.sd_dropout) == (method, weight):
            of_turns = claim.number.metrics[0] == "images_per_second"
            values = cost.rates if of_turns else (float(cost.trained_parameters),)
            turns = tuple(f"turn {turn + 1}" for turn in range(len(values))) if of_turns else ()
            label = display_name(method) + (" + SD-Dropout" if weight else "")
            return Side(label, turns, values)
    return Side("", (), ())
