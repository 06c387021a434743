"""The rules that turn evidence into a verdict on a claim."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from sdd_eval.paper.claims import Claim, Direction
from sdd_eval.paper.evidence import Contrast, Evidence, Kind
from sdd_eval.statistics.hypothesis_tests import holm_alpha
from sdd_eval.statistics.seeds import (
    MIN_SEEDS,
    Difference,
    adjust,
    minimum_detectable_difference,
    required_seeds,
)

Verdict = Literal[
    "shown",
    "shown against the paper's baseline only",
    "explained by lower confidence",
    "contradicted",
    "not shown",
    "not tested here",
]
VERDICTS: tuple[Verdict, ...] = Verdict.__args__  # type: ignore[attr-defined]
#: Studies closer to the paper's size take precedence.
_SCALES = ("full size", "timed now", "miniature", "small")


_OPPOSITE: Mapping[str, Direction] = {"higher": "lower", "lower": "higher", "equal": "equal"}
_UNKNOWN = Difference(math.nan, math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Judgement:
    """The verdict on a claim in one study.

    Attributes:
        claim, evidence: the claim, and the study's evidence; None if there is none.
        verdict: the verdict.
        difference: other minus base, with the p-value adjusted over all tested claims.
        gone: names of the baselines and checks for which the claim does not hold.
        missing: names of those that were not measured with three seeds per side.
        alpha: the largest p-value that is significant among those of the other tested claims.
    """

    claim: Claim
    evidence: Evidence | None
    verdict: Verdict
    difference: Difference = _UNKNOWN
    gone: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    alpha: float = math.nan

    @cached_property
    def reversed(self) -> tuple[str, ...]:
        """Those of `gone` with an interval that excludes 0 in the opposite direction."""
        return tuple(name for name in self.gone if _reversed(self.claim, self.measured(name)))

    @cached_property
    def held(self) -> tuple[str, ...]:
        """Names of the measured checks for which the claim holds."""
        return tuple(c for c in self.claim.checks if c not in (*self.gone, *self.missing))

    def measured(self, name: str) -> list[Contrast]:
        """Return the contrasts of a baseline or check that have at least three seeds per side."""
        kind: Kind = "check" if name in self.claim.checks else "baseline"
        return _measured(self.evidence, kind, name) if self.evidence else []

    @cached_property
    def detectable(self) -> float:
        """The smallest difference that these seeds detect with a power of 80 % at `alpha`.

        NaN if unknown.
        """
        if self.evidence is None:
            return math.nan
        return minimum_detectable_difference(*self.evidence.main.samples, level=1 - self.alpha)

    @cached_property
    def seeds_needed(self) -> int | None:
        """The number of seeds per side that detect the printed, or else the observed, difference.

        The power is 80 % at `alpha`. Printed differences count only in the claimed direction. None
        if unknown or beyond a million.
        """
        if self.evidence is None or self.claim.direction == "equal":
            return None
        main, printed = self.evidence.main, self.claim.printed_difference
        change = printed if printed * self.claim.sign > 0 else main.difference.value
        needed = required_seeds(*main.samples, change, level=1 - self.alpha)
        return None if needed is None else max(needed, MIN_SEEDS)


def judge(claims: Sequence[Claim], evidence: Sequence[Evidence]) -> list[Judgement]:
    """Return the verdict on each claim in each study, in the order of the claims.

    p-values are adjusted by Holm's method over all claims that were tested in any of the studies
    with at least three seeds per side; claims about speed, whose p-values differ from one timing to
    the next, are a family of their own. A claim without evidence is judged once, as not tested.
    """
    judged: dict[str, list[Judgement]] = {claim.id: [] for claim in claims}
    for timed in (False, True):
        family = [one for one in evidence if (one.scale == "timed now") == timed]
        for one in _judge_family(claims, family):
            judged[one.claim.id].append(one)
    return [
        one
        for claim in claims
        for one in judged[claim.id] or [Judgement(claim, None, "not tested here")]
    ]


def _judge_family(claims: Sequence[Claim], evidence: Sequence[Evidence]) -> Iterator[Judgement]:
    """Yield the judgement on each piece of evidence; p-values are adjusted over all of it."""
    tested = [(claim, one) for claim in claims for one in evidence if one.claim == claim.id]
    differences = adjust([_testable(claim, one) for claim, one in tested])
    for index, ((claim, one), change) in enumerate(zip(tested, differences, strict=True)):
        others = (each.p for each in differences[:index] + differences[index + 1 :])
        alpha = holm_alpha([p for p in others if not math.isnan(p)])
        yield replace(_judge(claim, one, change), alpha=alpha)


def decisive(judgements: Iterable[Judgement]) -> list[Judgement]:
    """Return the judgement of each claim by the study closest to the paper's size.

    Studies with fewer than three seeds per side decide only if no other has more; of several of one
    size, the one with the most seeds decides.
    """
    best: dict[str, Judgement] = {}
    for one in judgements:
        present = best.setdefault(one.claim.id, one)
        if distance(one) < distance(present):
            best[one.claim.id] = one
    return list(best.values())


def distance(judgement: Judgement) -> tuple[int, int, int]:
    """Return a key that orders studies by whether they decide, by their size and by their seeds.

    It is lowest for the study that decides: one that is not small and has enough seeds. Numbers of
    small studies say nothing about the method, however many seeds they have.
    """
    evidence = judgement.evidence
    if evidence is None:
        return 3, 0, 0
    few = evidence.main.seeds < MIN_SEEDS and judgement.claim.direction != "equal"
    enough = 2 if evidence.scale == "small" else int(few)
    return enough, _SCALES.index(evidence.scale), -evidence.main.seeds


def counts(judgements: Sequence[Judgement]) -> Mapping[Verdict, int]:
    """Return how many of the judgements have each verdict."""
    verdicts = [one.verdict for one in judgements]
    return {verdict: verdicts.count(verdict) for verdict in VERDICTS}


def holds(claim: Claim, contrast: Contrast) -> bool:
    """Return whether the 95 % interval excludes 0 in the claimed direction."""
    change = contrast.difference if claim.sign > 0 else contrast.difference.reversed
    return change.low > 0


def _testable(claim: Claim, evidence: Evidence) -> Difference:
    """Return the claim's difference; without a p-value if it has too few seeds for a verdict."""
    change = evidence.main.difference
    few = evidence.main.seeds < MIN_SEEDS or claim.direction == "equal"
    return replace(change, p=math.nan) if few else change


def _judge(claim: Claim, evidence: Evidence, change: Difference) -> Judgement:
    """Return the verdict on a claim by the first rule that applies."""
    if claim.direction == "equal":
        main = evidence.main
        equal = {*main.base.values} == {*main.other.values}
        return Judgement(claim, evidence, "shown" if equal else "contradicted", change)
    gone_checks, missing_checks = _failures(claim, evidence, "check", claim.checks)
    gone, missing = _failures(claim, evidence, "baseline", claim.baselines)
    all_gone, all_missing = (*gone_checks, *gone), (*missing_checks, *missing)
    verdict: Verdict = "shown"
    if change.verdict not in ("higher", "lower"):
        verdict = "not shown"
    elif change.value * claim.sign < 0:
        verdict = "contradicted"
    elif gone_checks:
        verdict = "explained by lower confidence"
    elif gone or all_missing:
        verdict = "shown against the paper's baseline only"
    return Judgement(claim, evidence, verdict, change, all_gone, all_missing)


def _failures(
    claim: Claim, evidence: Evidence, kind: Kind, names: Iterable[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names for which the claim does not hold, and those not measured.

    Of several numbers, such as those of PGD and of the audit, the claim must hold in at least one
    and be reversed in none.
    """
    gone, missing = [], []
    for name in names:
        contrasts = _measured(evidence, kind, name)
        if not contrasts:
            missing.append(name)
        elif not any(holds(claim, one) for one in contrasts) or _reversed(claim, contrasts):
            gone.append(name)
    return tuple(gone), tuple(missing)


def _reversed(claim: Claim, contrasts: Iterable[Contrast]) -> bool:
    opposite = replace(claim, direction=_OPPOSITE[claim.direction])
    return any(holds(opposite, one) for one in contrasts)


def _measured(evidence: Evidence, kind: Kind, name: str) -> list[Contrast]:
    return [one for one in evidence.of(kind, name) if one.seeds >= MIN_SEEDS]
