"""Decide whether a report may call an improvement "robust".

This requires a gain in the worst case over all audited attacks and no sign of masked gradients.
Only rows of the two audits (`audit_worst_case`, `audit_flag`, …) are read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdd_eval.figures.selection import as_dicts, distinct_numbers, where
from sdd_eval.records import Measurement
from sdd_eval.statistics.seeds import MIN_SEEDS, Difference, adjust, difference

if TYPE_CHECKING:
    import pandas

#: Flags that every audit must have checked: a flag that was not checked does not count as clear.
FLAGS = (
    "fgsm_beats_pgd",
    "square_beats_white_box",
    "transfer_beats_white_box",
    "zero_gradients",
)
TEMPERATURES = (1.0, "fitted")
#: Accuracies that must each be higher, at both temperatures.
WORST_CASES = {
    "audit_worst_case": "worst-case accuracy over all attacks",
    "audit_worst_case_both_right": "worst-case accuracy on images that both networks classify "
    "correctly",
}

#: The measurements of the audits of a base and another network.
_Audits = tuple[list[Measurement], list[Measurement]]
#: Columns in which two audits must agree to have used the same images.
_IMAGES = ("dataset", "n", "limited", "fingerprint")


def reasons_against_robust(
    base: Sequence[Measurement], other: Sequence[Measurement], epsilon: float
) -> tuple[str, ...]:
    """Return every reason against calling `other` more robust than `base` at perturbation size ε.

    Both are rows of an audit (that of `base` includes the transfer attack), and ε is one of its
    sizes, for pixels in [0, 1]. The caller must ensure that both audits used the same images, and
    must test separately whether the gain could be due to chance.
    """
    return (
        *_flag_reasons("baseline", base),
        *_flag_reasons("other network", other),
        *_worst_case_reasons(base, other, epsilon),
    )


def _flag_reasons(network: str, rows: Sequence[Measurement]) -> Iterator[str]:
    flags = {str(row.at.get("flag")): row.value for row in rows if row.metric == "audit_flag"}
    for flag in (*FLAGS, *(flag for flag in flags if flag not in FLAGS)):
        if flag not in flags:
            yield f"flag {flag} was not checked for the {network}"
        elif flags[flag] != 0:
            yield f"flag {flag} is raised for the {network}"


def _worst_case_reasons(
    base: Sequence[Measurement], other: Sequence[Measurement], epsilon: float
) -> Iterator[str]:
    for metric, title in WORST_CASES.items():
        for temperature in TEMPERATURES:
            label = f"{title} at ε = {epsilon * 255:g}/255, T = {temperature}"
            at = {"temperature": temperature}
            before, after = (_value(rows, metric, at, epsilon) for rows in (base, other))
            if before is None or after is None:
                yield f"{label} was not measured for both networks"
            elif not after > before:
                yield f"{label} does not increase ({before:.4f} to {after:.4f})"


def _value(
    rows: Sequence[Measurement], metric: str, at: Mapping[str, Any], epsilon: float
) -> float | None:
    """Return the only value of a metric at these settings; None if there are none or several."""
    values = [
        row.value
        for row in rows
        if row.metric == metric
        and at.items() <= dict(row.at).items()
        and math.isclose(row.at.get("epsilon", math.nan), epsilon, rel_tol=1e-9)
    ]
    return values[0] if len(values) == 1 else None


def audit_sentences(results: pandas.DataFrame, pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Return a sentence on the audits of each pair of groups (base, other); empty without audits.

    "Robust" is used for a size ε only if every pair of seeds allows it and the difference of the
    worst-case accuracy over seeds is significant (adjusted over all sizes and pairs of groups).
    """
    rows = where(results, evaluator="attack", note="")
    rows = rows[rows["metric"].str.startswith("audit_")]
    by_group = {group: where(rows, group=group) for pair in pairs for group in pair}
    audits = {group: _by_seed(of_group) for group, of_group in by_group.items()}
    sides = [[by_group[group] for group in pair] for pair in pairs]
    seeds = [_seed_pairs(*(audits[group] for group in pair)) for pair in pairs]
    changes = [
        _changes(*both) if len(of_pair) >= MIN_SEEDS else {}
        for both, of_pair in zip(sides, seeds, strict=True)
    ]
    adjusted = iter(adjust([change for by_size in changes for change in by_size.values()]))
    significant = [
        [size for size in by_size if next(adjusted).verdict == "higher"] for by_size in changes
    ]
    return [
        "" if both[0].empty or both[1].empty else _audit_sentence(of_pair, sizes)
        for both, of_pair, sizes in zip(sides, seeds, significant, strict=True)
    ]


def _changes(base: pandas.DataFrame, other: pandas.DataFrame) -> dict[float, Difference]:
    """Return the difference of the worst-case accuracy over seeds by size ε."""
    worst = [where(side, metric="audit_worst_case", temperature=1.0) for side in (base, other)]
    first, second = (
        {size: where(side, epsilon=size)["value"] for size in distinct_numbers(side, "epsilon")}
        for side in worst
    )
    return {size: difference(first[size], second[size]) for size in first if size in second}


def _audit_sentence(pairs: Sequence[_Audits], significant: Sequence[float]) -> str:
    """Return the claims that both groups' audits, seed by seed, support at which sizes, or why not.

    `significant` are the sizes ε at which the worst-case accuracy is higher over seeds.
    """
    if not pairs:
        return (
            "The audits of the two groups used different images or different attack settings, "
            "so they are not compared."
        )
    sizes = sorted({row.at["epsilon"] for row in pairs[0][0] if "epsilon" in row.at})
    reasons = {
        size: [reason for pair in pairs for reason in reasons_against_robust(*pair, size)]
        for size in sizes
    }
    allowed = [size for size in sizes if not reasons[size]]
    if not allowed:
        first, *rest = dict.fromkeys(reason for of_size in reasons.values() for reason in of_size)
        more = f" ({len(rest)} more reason{'s' if len(rest) > 1 else ''})" if rest else ""
        return f"No gain may be called robust: {first}{more}."
    gain = f"the audit shows a gain in worst-case accuracy at {_format_sizes(allowed)}"
    if len(pairs) < MIN_SEEDS:
        return (
            f"For these networks, {gain} and no sign of masked gradients. With fewer than "
            f"{MIN_SEEDS} seeds per side, this is no evidence about the method."
        )
    robust = [size for size in allowed if size in significant]
    if not robust:
        return f"{gain.capitalize()}, but it is not significant over seeds, so not called robust."
    return (
        f"More robust at {_format_sizes(robust)}: every audit shows a gain in worst-case accuracy "
        "and no sign of masked gradients, and the gain is significant over seeds."
    )


def _format_sizes(sizes: list[float]) -> str:
    return "ε = " + ", ".join(f"{255 * size:g}/255" for size in sizes)


@dataclass(frozen=True)
class _SeedAudit:
    """The audit of one seed's network; `single` if it comes from a single run."""

    images: Any
    attacks: tuple[str, ...]
    single: bool
    measurements: list[Measurement]


def _by_seed(rows: pandas.DataFrame) -> dict[Any, _SeedAudit]:
    """Return the audits of a group by seed."""
    return {
        seed: _SeedAudit(
            tuple(of_seed[list(_IMAGES)].drop_duplicates().itertuples(index=False, name=None)),
            _attacks(of_seed),
            of_seed["run"].nunique() == 1,
            _measurements(of_seed),
        )
        for seed, of_seed in rows.groupby("seed", dropna=False)
    }


def _seed_pairs(base: Mapping[Any, _SeedAudit], other: Mapping[Any, _SeedAudit]) -> list[_Audits]:
    """Pair the audits of equal seeds that used the same images and the same attack settings."""
    pairs = []
    for seed in sorted(base.keys() & other.keys(), key=str):
        first, second = base[seed], other[seed]
        same = (first.images, first.attacks) == (second.images, second.attacks)
        if same and first.single and second.single:
            pairs.append((first.measurements, second.measurements))
    return pairs


def _attacks(rows: pandas.DataFrame) -> tuple[str, ...]:
    """Return the ids of the protocols of the attacks."""
    worst = where(rows, metric="audit_worst_case", temperature=1.0)
    return tuple(sorted(worst["protocol_id"].unique()))


def _measurements(rows: pandas.DataFrame) -> list[Measurement]:
    axes = [name for name in ("temperature", "epsilon", "flag", "attack") if name in rows]
    measurements = []
    for row in as_dicts(rows[["metric", "value", "unit", *axes]]):
        at = {name: row[name] for name in axes if row[name] is not None and row[name] == row[name]}
        measurements.append(
            Measurement(str(row["metric"]), float(row["value"]), str(row["unit"]), at)
        )
    return measurements
