"""May a report say "robust" of a gain? Only if the worst case shows it and no flag is raised.

It decides from the rows of two audits (`audit_worst_case`, `audit_flag` …) alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sdd_eval.records import Measurement

#: All of them must have been looked at: a flag that is not there is not a flag that is down.
FLAGS = (
    "fgsm_beats_pgd",
    "square_beats_white_box",
    "transfer_beats_white_box",
    "zero_gradients",
)
TEMPERATURES = (1.0, "fitted")
#: Accuracies that must each be higher, at both temperatures.
WORST_CASES = {
    "audit_worst_case": "the worst case over attacks",
    "audit_worst_case_both_right": "the worst case on images that both networks classify rightly",
}


@dataclass(frozen=True)
class Verdict:
    """Whether "robust" may be said of a gain, and, where it may not, every reason."""

    robust: bool
    reasons: tuple[str, ...] = ()


def may_say_robust(
    base: Sequence[Measurement], other: Sequence[Measurement], epsilon: float
) -> Verdict:
    """Whether `other` may be called more robust than `base` at a size ε, in pixels of [0, 1].

    Args:
        base: the rows of an audit, with transfer, of the network to compare with.
        other: those of the network that is said to gain.
        epsilon: one of the audit's sizes.

    Both audits must be of the same images: that is for the caller, who knows the runs. Whether a
    gain could be chance is a question of its own, for an interval.
    """
    reasons = [
        *_of_flags("the baseline", base),
        *_of_flags("the other", other),
        *_of_worst_cases(base, other, epsilon),
    ]
    return Verdict(not reasons, tuple(reasons))


def _of_flags(whose: str, rows: Sequence[Measurement]) -> Iterator[str]:
    """Why the flags of one network forbid the word."""
    flags = {str(row.at.get("flag")): row.value for row in rows if row.metric == "audit_flag"}
    for flag in (*FLAGS, *(flag for flag in flags if flag not in FLAGS)):
        if flag not in flags:
            yield f"{flag} was not looked at for {whose}"
        elif flags[flag] != 0:
            yield f"{flag} is raised for {whose}"


def _of_worst_cases(
    base: Sequence[Measurement], other: Sequence[Measurement], epsilon: float
) -> Iterator[str]:
    """Which worst case does not show the gain."""
    for metric, words in WORST_CASES.items():
        for temperature in TEMPERATURES:
            where = f"{words} at ε = {epsilon * 255:g}/255, T = {temperature}"
            at = {"temperature": temperature}
            before, after = (_value(rows, metric, at, epsilon) for rows in (base, other))
            if before is None or after is None:
                yield f"{where} was not measured for both"
            elif not after > before:
                yield f"{where} shows no gain: {before:.4f} to {after:.4f}"


def _value(
    rows: Sequence[Measurement], metric: str, at: Mapping[str, Any], epsilon: float
) -> float | None:
    """The one value of a metric at a place; None where there is none, or more than one."""
    found = [
        row.value
        for row in rows
        if row.metric == metric
        and at.items() <= dict(row.at).items()
        and math.isclose(row.at.get("epsilon", math.nan), epsilon, rel_tol=1e-9)
    ]
    return found[0] if len(found) == 1 else None
