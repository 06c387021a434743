"""May a report say "robust" of a gain? Only if the worst case shows it and no flag is raised.

It decides from the rows of two audits (`audit_worst_case`, `audit_flag` …) alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdd_eval.figures.selection import distinct_numbers, where
from sdd_eval.records import Measurement
from sdd_eval.statistics.seeds import MIN_SEEDS, difference

if TYPE_CHECKING:
    import pandas

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


#: What must be the same for two audits to be of the same images.
_IMAGES = ("dataset", "n", "limited", "fingerprint")

#: The name of the network that transferred images were made for, in an audit's protocol.
_TRANSFERRED = re.compile(r"(?<=one start each, on )[^;]*(?=\);)")


def audit_sentences(results: pandas.DataFrame, base: str, other: str) -> Iterator[str]:
    """One sentence on the audits of two groups; none where not both have any.

    "Robust" is said of a size ε where the verdict on every pair of seeds allows it, and the
    interval over seeds of the worst case excludes no change.
    """
    rows = where(results, evaluator="attack", note="")
    rows = rows[rows["metric"].str.startswith("audit_")]
    sides = [where(rows, group=group) for group in (base, other)]
    if any(side.empty for side in sides):
        return
    pairs = _pairs(*sides)
    if not pairs:
        yield (
            "The audits are not of the same images with the same effort on both sides, so nothing "
            "is said of them."
        )
        return
    sizes = distinct_numbers(sides[0], "epsilon")
    verdicts = {size: [may_say_robust(*pair, size) for pair in pairs] for size in sizes}
    allowed = [size for size, found in verdicts.items() if all(each.robust for each in found)]
    yield _sentence(sides, allowed, verdicts, len(pairs))


def _sentence(
    sides: list[pandas.DataFrame],
    allowed: list[float],
    verdicts: dict[float, list[Verdict]],
    count: int,
) -> str:
    """What may be said of which sizes, or why it may not."""
    if not allowed:
        reasons = dict.fromkeys(r for found in verdicts.values() for v in found for r in v.reasons)
        first, *rest = reasons
        others = f", and {len(rest)} more reasons" if rest else ""
        return f"No gain here may be called robust: {first}{others}."
    if count < MIN_SEEDS:
        return (
            f"Between these networks the audit shows a gain in the worst case, and no sign of "
            f"masked gradients, at {_sizes(allowed)}; with fewer than {MIN_SEEDS} seeds a side "
            "that says nothing of the method."
        )
    sure = [size for size in allowed if _excludes_no_change(sides, size)]
    if not sure:
        return (
            f"Over {count} seeds a side the audit shows a gain in the worst case at "
            f"{_sizes(allowed)} that is within seed noise, so nothing is called robust."
        )
    return (
        f"Over {count} seeds a side the network with SD-Dropout is more robust at {_sizes(sure)}: "
        "every audit shows the gain in the worst case and no sign of masked gradients, and the "
        "95 % interval over seeds excludes no change."
    )


def _sizes(sizes: list[float]) -> str:
    return "ε = " + ", ".join(f"{255 * size:g}/255" for size in sizes)


def _excludes_no_change(sides: list[pandas.DataFrame], size: float) -> bool:
    at = {"metric": "audit_worst_case", "epsilon": size, "temperature": 1.0}
    base, other = (where(side, **at)["value"].astype(float).tolist() for side in sides)
    return difference(base, other).low > 0


def _pairs(
    base: pandas.DataFrame, other: pandas.DataFrame
) -> list[tuple[list[Measurement], list[Measurement]]]:
    """The audits of equal seeds, on equal images and with equal effort, as measurements."""
    sides = [dict(list(side.groupby("seed", dropna=False))) for side in (base, other)]
    found = []
    for seed in sorted(sides[0].keys() & sides[1].keys(), key=str):
        rows = [side[seed] for side in sides]
        alike = len({(_images(each), _effort(each)) for each in rows}) == 1
        if alike and all(_one_run(each) for each in rows):
            found.append((_measurements(rows[0]), _measurements(rows[1])))
    return found


def _images(rows: pandas.DataFrame) -> Any:
    return tuple(rows[list(_IMAGES)].drop_duplicates().itertuples(index=False, name=None))


def _effort(rows: pandas.DataFrame) -> tuple[str, ...]:
    """The attacks that were tried, in words, whichever network the transferred images are of."""
    worst = where(rows, metric="audit_worst_case", temperature=1.0)
    return tuple(sorted({_TRANSFERRED.sub("", str(each)) for each in worst["protocol"]}))


def _one_run(rows: pandas.DataFrame) -> bool:
    return bool(rows["run"].nunique() == 1)


def _measurements(rows: pandas.DataFrame) -> list[Measurement]:
    """The rows as they were measured, as far as a verdict looks at them."""
    axes = [name for name in ("temperature", "epsilon", "flag", "attack") if name in rows]
    found = []
    for row in rows[["metric", "value", "unit", *axes]].to_dict("records"):
        at = {name: row[name] for name in axes if row[name] is not None and row[name] == row[name]}
        found.append(Measurement(str(row["metric"]), float(row["value"]), str(row["unit"]), at))
    return found
