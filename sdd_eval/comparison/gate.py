"""Conditions on a compared network, for continuous integration: pass, fail or undecided."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sdd_eval.comparison.families import is_headline
from sdd_eval.comparison.matching import StoredRun
from sdd_eval.comparison.records import MetricDifference, PairComparison
from sdd_eval.errors import InputError, unknown_name
from sdd_eval.former_names import current_selector
from sdd_eval.records import Measurement
from sdd_eval.statistics.intervals import LEVEL, student_quantile
from sdd_eval.statistics.seeds import summarize_seeds

Decision = Literal["pass", "fail", "undecided"]
GRAMMAR = (
    "EVALUATOR.METRIC, <, <=, > or >=, and a number or base ± a number, "
    'as in "calibration.ece > base + 0.01" or "fgsm.fgsm_accuracy[variant=pixel] < 20%"'
)
_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?\s*%?"
_CONDITION = re.compile(
    r"\s*(?P<selector>[^\s<>\[\]]+\.\w+)\s*(?:\[(?P<axes>[^\]]*)\])?\s*(?P<operator>[<>]=?)\s*"
    rf"(?:(?P<base>base)\s*(?:(?P<sign>[+-])\s*(?P<change>{_NUMBER}))?|(?P<value>-?{_NUMBER}))\s*",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Condition:
    """A condition under which a network fails.

    Attributes:
        text: the condition as it was given.
        evaluator, metric: evaluator and metric of the number.
        at: values of the number's axes, as text.
        operator: "<", "<=", ">" or ">=".
        threshold: the threshold for the value or, with `relative`, for its difference from the
            base's.
        relative: whether the condition applies to the difference from the base.
    """

    text: str
    evaluator: str
    metric: str
    at: Mapping[str, str]
    operator: str
    threshold: float
    relative: bool


@dataclass(frozen=True)
class GateResult:
    """How a condition is decided for one side of a comparison.

    Attributes:
        condition: the condition as it was given.
        side: the checkpoints that it applies to.
        decision: "fail" if the whole interval satisfies the condition, "pass" if none of it does.
        value: the number or, with `relative`, its difference from the base's.
        low, high: its 95 % interval; None if there is none.
        threshold: the threshold that it is compared with.
        relative: whether `value` is a difference.
        reason: why there is no interval; empty if there is one.
        unit: the sample unit of the interval, "images" or "seeds".
        n: the number of these units.
        needed: approximately how many would decide an undecided condition if the value stayed the
            same; None if it is decided, or no number would decide it.
        outcome: the decision, or the outcome assigned to an undecided condition.
    """

    condition: str
    side: tuple[str, ...]
    decision: Decision
    value: float
    low: float | None
    high: float | None
    threshold: float
    relative: bool
    reason: str
    unit: Literal["images", "seeds"]
    n: int
    needed: int | None
    outcome: Decision


def parse_condition(text: str) -> Condition:
    """Parse a condition; raise InputError with the grammar if it is invalid.

    >>> parse_condition("accuracy.accuracy < 90%").threshold
    0.9
    >>> parse_condition("calibration.ece > base + 0.01").relative
    True
    """
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise InputError(f"{text!r} is not a condition; write {GRAMMAR}")
    evaluator, _, metric = current_selector(match["selector"]).rpartition(".")
    axes = [item.partition("=") for item in (match["axes"] or "").split(",") if item.strip()]
    if not all(axis.strip() and equals and value.strip() for axis, equals, value in axes):
        raise InputError(f"{text!r}: write values of axes as [AXIS=VALUE, …]")
    threshold = _number(match["value"] or match["change"] or "0")
    return Condition(
        text=" ".join(text.split()),
        evaluator=evaluator,
        metric=metric,
        at={axis.strip(): value.strip() for axis, _, value in axes},
        operator=match["operator"],
        threshold=-threshold if match["sign"] == "-" else threshold,
        relative=match["base"] is not None,
    )


def _number(text: str) -> float:
    return float(text.rstrip("% ")) / (100 if "%" in text else 1)


def judge(
    condition: Condition,
    pair: PairComparison,
    runs: Sequence[Sequence[StoredRun]],
    undecided: Decision = "undecided",
) -> GateResult:
    """Decide a condition for the second side of a comparison.

    `runs` holds the runs of each checkpoint of that side; an undecided condition counts as
    `undecided`. A difference is decided by its paired interval, or by Welch's over seeds; a value
    by its own interval, or by Student's over seeds.

    Raises:
        InputError: the number was not measured on both sides or not in the same way, or several
            numbers match.
    """
    row = _row(condition, pair)
    seeds = len(pair.others) > 1
    if condition.relative:
        value, low, high = row.difference, row.low, row.high
        reason = "" if low is not None else row.test
    else:
        value, low, high, reason = _own_interval(condition, row, runs)
    decision = _decision(condition, low, high)
    n = len(pair.others) if seeds else row.n
    return GateResult(
        condition=condition.text,
        side=pair.others,
        decision=decision,
        value=value,
        low=low,
        high=high,
        threshold=condition.threshold,
        relative=condition.relative,
        reason=reason,
        unit="seeds" if seeds else "images",
        n=n,
        needed=_needed(condition, value, low, high, n) if decision == "undecided" else None,
        outcome=undecided if decision == "undecided" else decision,
    )


def _row(condition: Condition, pair: PairComparison) -> MetricDifference:
    """Return the compared number that a condition applies to."""
    rows = [row for row in pair.rows if row.evaluator == condition.evaluator]
    if not rows:
        apart = [line for line in pair.apart if line.startswith(f"{condition.evaluator} on ")]
        known = dict.fromkeys(row.evaluator for row in pair.rows)
        if apart:
            raise InputError(f"{condition.text!r}: not compared: {'; '.join(apart)}")
        raise unknown_name("compared evaluator", condition.evaluator, known)
    named = [row for row in rows if row.metric == condition.metric]
    if not named:
        metrics = dict.fromkeys(row.metric for row in rows)
        raise unknown_name(f"metric of {condition.evaluator}", condition.metric, metrics)
    fitting = [row for row in named if _fits(condition.at, row.at)]
    if not fitting:
        choices = _choices(named, [*dict.fromkeys(axis for row in named for axis in row.at)])
        raise InputError(f"{condition.text!r}: no number has these axes; known: {choices}")
    if len(fitting) > 1:
        fitting = [row for row in fitting if is_headline(row.at, {})] or fitting
    if len(fitting) > 1:
        axes = dict.fromkeys(axis for row in fitting for axis in row.at)
        varied = [axis for axis in axes if len({str(row.at.get(axis)) for row in fitting}) > 1]
        choices = _choices(fitting, varied)
        raise InputError(f"{condition.text!r} fits several numbers; add one of {choices}")
    return fitting[0]


def _fits(wanted: Mapping[str, str], at: Mapping[str, object]) -> bool:
    return all(axis in at and str(at[axis]) == value for axis, value in wanted.items())


def _choices(rows: Sequence[MetricDifference], axes: Sequence[str]) -> str:
    """Return the values that rows have on these axes, in the notation of conditions."""
    choices = dict.fromkeys(
        ", ".join(f"{axis}={row.at[axis]}" for axis in axes if axis in row.at) for row in rows
    )
    return "; ".join(f"[{choice}]" for choice in choices if choice)


def _own_interval(
    condition: Condition, row: MetricDifference, runs: Sequence[Sequence[StoredRun]]
) -> tuple[float, float | None, float | None, str]:
    """Return the value of the second side, its interval, and the reason if there is none."""
    measured = [
        number for stored in runs for number in [measurement_of(row, stored)] if number is not None
    ]
    if len(measured) == 1:
        (number,) = measured
        reason = "" if number.low is not None else number.interval or "it has no interval"
        return number.value, number.low, number.high, reason
    summary = summarize_seeds([number.value for number in measured])
    if not summary.std > 0:
        return summary.mean, None, None, "the seeds all give the same number"
    half = student_quantile(LEVEL, summary.n - 1) * summary.std / math.sqrt(summary.n)
    return summary.mean, summary.mean - half, summary.mean + half, ""


def measurement_of(row: MetricDifference, runs: Sequence[StoredRun]) -> Measurement | None:
    """Return the measurement of a network that a row compares."""
    for stored in runs:
        if (stored.run.evaluator, stored.run.dataset, stored.run.n) != (
            row.evaluator,
            row.dataset,
            row.n,
        ):
            continue
        for number in stored.run.measurements:
            if number.metric == row.metric and dict(number.at) == dict(row.at):
                return number
    return None


def _decision(condition: Condition, low: float | None, high: float | None) -> Decision:
    """Return "fail" if all values of an interval satisfy the condition, "pass" if none does."""
    if low is None or high is None:
        return "undecided"
    satisfied = [_satisfies(condition, end) for end in (low, high)]
    if all(satisfied):
        return "fail"
    return "undecided" if any(satisfied) else "pass"


def _satisfies(condition: Condition, value: float) -> bool:
    above, equal = value > condition.threshold, value == condition.threshold
    if condition.operator.startswith(">"):
        return above or (equal and condition.operator == ">=")
    return not above and (not equal or condition.operator == "<=")


def _needed(
    condition: Condition, value: float, low: float | None, high: float | None, n: int
) -> int | None:
    """Return the sample size at which the interval would end at the threshold.

    Its half-width shrinks as 1 / sqrt(n).
    """
    distance = abs(value - condition.threshold)
    if low is None or high is None or distance == 0:
        return None
    half = high - value if value < condition.threshold else value - low
    return math.ceil(n * (half / distance) ** 2)
