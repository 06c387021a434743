"""The card of a single network: what its numbers mean for its prospective users.

Numbers come from the runs' measurements. Those that no evaluator provides (the worst class, the
sign of the calibration error, the confidence threshold) are computed from the stored arrays.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sdd_eval.arrays import Arrays
from sdd_eval.figures.selection import as_dicts, distinct_numbers, where
from sdd_eval.metrics.classification import confidence_and_correct
from sdd_eval.metrics.formatting import format_interval, format_value
from sdd_eval.metrics.names import display_name
from sdd_eval.metrics.registry import metric
from sdd_eval.metrics.selective import SCORES
from sdd_eval.report.tables.headline import HeadlineRow
from sdd_eval.report.tables.sections import by_origin, unofficial
from sdd_eval.report.tables.summary import usable
from sdd_eval.statistics.closed_form.share import bounded_mean, wilson
from sdd_eval.statistics.intervals import LEVEL

if TYPE_CHECKING:
    import pandas

    Rows = pandas.DataFrame

#: The risk among accepted images for which the confidence threshold is chosen.
RISK = 0.05
#: Classes with fewer images are not reported as the worst.
FEWEST = 10


@dataclass(frozen=True)
class Card:
    """One finding: a number with its interval, its unit or setting, and a sentence.

    `evaluator` is the one whose section has details, `notes` are caveats for quoting the number.
    """

    title: str
    evaluator: str
    number: str
    detail: str = ""
    text: str = ""
    notes: tuple[str, ...] = ()

    def without(self, notes: Collection[str]) -> Card:
        """Return the card without some notes."""
        return replace(self, notes=tuple(note for note in self.notes if note not in notes))


def shared_apart(cards: Sequence[Card]) -> tuple[list[Card], list[str]]:
    """Return cards without the notes that all of them share, and these notes."""
    notes = cards[0].notes if len(cards) > 1 else ()
    shared = [note for note in notes if all(note in card.notes for card in cards)]
    return [card.without(shared) for card in cards], shared


@dataclass(frozen=True)
class _Network:
    """The usable rows of a network, the arrays of its runs, and the names of its classes."""

    rows: Rows
    arrays: Mapping[str, Arrays]
    class_names: tuple[str, ...] = ()

    def first(self, evaluator: str, name: str, **at: Any) -> dict[str, Any]:
        """Return the first row of a metric at these axes; empty without one."""
        rows = where(self.rows, evaluator=evaluator, metric=name, **at)
        return {} if rows.empty else as_dicts(rows)[0]

    def arrays_of(self, *evaluators: str) -> Arrays:
        """Return the arrays of the first of these evaluators that has any; empty if none has."""
        for evaluator in evaluators:
            for run in where(self.rows, evaluator=evaluator)["run"].unique():
                if self.arrays[run]:
                    return self.arrays[run]
        return Arrays()


def network_cards(
    groups: Sequence[HeadlineRow],
    arrays: Mapping[str, Arrays],
    class_names: tuple[str, ...] = (),
) -> list[Card]:
    """Return the cards of some groups' only network; none if there are several networks."""
    if len(groups) != 1 or groups[0].comparison.results["checkpoint"].nunique() != 1:
        return []
    network = _Network(usable(groups[0].comparison.results), arrays, class_names)
    makers = (_accuracy, _calibration, _abstention, _corruption, _outliers, _adversarial)
    return [card for make in makers for card in make(network)]


def _accuracy(network: _Network) -> Iterator[Card]:
    row = network.first("accuracy", "accuracy")
    if row:
        text = worst_class(network.arrays_of("accuracy", "calibration"), network.class_names)
        yield Card("Accuracy", "accuracy", *_number(row), text, _notes(row))


def worst_class(arrays: Arrays, names: tuple[str, ...] = ()) -> str:
    """Return the class with the lowest accuracy, and an interval for the lowest of all classes.

    Its level is 1 − α divided by the number of classes (Bonferroni), because the lowest was chosen.
    """
    if not {"logits", "labels"} <= set(arrays):
        return ""
    labels = np.asarray(arrays["labels"], dtype=np.int64)
    _, correct = confidence_and_correct(arrays["logits"], labels)
    counts = np.bincount(labels)
    known = np.flatnonzero(counts >= FEWEST)
    if len(known) < 2:
        return ""
    shares = np.bincount(labels, correct, len(counts))[known] / counts[known]
    lowest = int(shares.argmin())
    label, share = int(known[lowest]), float(shares[lowest])
    low, high = wilson(share, float(counts[label]), 1 - (1 - LEVEL) / len(known))
    name = names[label] if label < len(names) else label
    entry = metric("accuracy")
    interval = format_interval(entry, float(low), float(high))
    return (
        f"Lowest of {len(known)} classes: class {name}, {format_value(entry, share)} ({interval})."
    )


def _calibration(network: _Network) -> Iterator[Card]:
    before = network.first("calibration", "ece", temperature=None)
    arrays = network.arrays_of("calibration", "accuracy")
    if not before or not {"logits", "labels"} <= set(arrays):
        return
    confidence, correct = confidence_and_correct(arrays["logits"], arrays["labels"])
    gap = bounded_mean(confidence - correct, -1.0, 1.0)
    entry = metric("accuracy")
    if gap.low <= 0 <= gap.high:
        number, ends = "no mean over-confidence", (gap.low, gap.high)
    elif gap.value > 0:
        number, ends = f"over-confident by {_points(gap.value)}", (gap.low, gap.high)
    else:
        number, ends = f"under-confident by {_points(-gap.value)}", (-gap.high, -gap.low)
    detail = f"{format_interval(entry, *ends)} points"
    yield Card("Calibration", "calibration", number, detail, _scaling(network), _notes(before))


def _points(value: float) -> str:
    return f"{100 * value:.1f} points"


def _scaling(network: _Network) -> str:
    """Return the temperature by which logits should be divided, and the resulting ECE."""
    before = network.first("calibration", "ece", temperature=None)
    for temperature in ("validation", "cross-fitted"):
        after = network.first("calibration", "ece", temperature=temperature)
        if after:
            fitted = where(network.rows, evaluator="calibration", metric="temperature_fitted")
            values = " and ".join(f"{value:.2f}" for value in fitted["value"])
            halves = " (one from each half of the images)" if len(fitted) > 1 else ""
            return (
                f"Divide the logits by T = {values}{halves}: ECE {_with_interval(before)} becomes "
                f"{_with_interval(after)}."
            )
    return f"ECE {_with_interval(before)}."


def _abstention(network: _Network) -> Iterator[Card]:
    row = network.first("selective", "coverage_at_5_percent_risk", score="msp")
    arrays = network.arrays_of("selective")
    if not row or not {"scores", "correct"} <= set(arrays):
        return
    threshold = confidence_threshold(arrays["scores"][:, SCORES.index("msp")], arrays["correct"])
    if threshold is None:
        number, text = (
            "at any confidence",
            "No threshold keeps the error of accepted images at 5 %.",
        )
    else:
        number = f"below {_probability(threshold)}"
        text = (
            "That keeps the error of accepted images at 5 % on these images and accepts "
            f"{_with_interval(row)}."
        )
    yield Card("When to abstain", "selective", number, "confidence", text, _notes(row))


def confidence_threshold(scores: Any, correct: Any) -> float | None:
    """Return the smallest score of which at most 5 % of the images at or above are wrong, or None.

    >>> confidence_threshold([3.0, 2.0, 1.0, 1.0], [True, True, True, False])
    2.0
    """
    values = np.asarray(scores, dtype=np.float64)
    order = np.argsort(-values, kind="stable")
    ranked, wrong = values[order], np.cumsum(~np.asarray(correct, dtype=bool)[order])
    last = np.append(ranked[1:] != ranked[:-1], True)  # images with equal scores stay together
    allowed = last & (wrong <= RISK * np.arange(1, len(ranked) + 1))
    return float(ranked[allowed][-1]) if allowed.any() else None


def _probability(log_odds: float) -> str:
    """Return a probability with as many digits as its distance from 1 requires."""
    share = 1 / (1 + np.exp(log_odds))
    return f"{1 - share:.{max(2, int(np.ceil(-np.log10(max(share, 1e-12)))) + 1)}f}"


def _corruption(network: _Network) -> Iterator[Card]:
    rows = network.rows[network.rows["evaluator"] == "corruption"]
    means = rows[rows["metric"].str.match(r"mca(_15_.*)?$")]
    if means.empty:
        return
    row = as_dicts(means)[0]
    single = where(rows, metric="accuracy", severity=None)
    single = single[single["corruption"].notna()].sort_values("value")
    text = ""
    if len(single) > 1:
        worst, *_, best = as_dicts(single)
        text = (
            f"Weakest: {display_name(worst['corruption'])}, {_with_interval(worst)}; "
            f"least affected: {display_name(best['corruption'])}, {_with_interval(best)}."
        )
    number, interval = _number(row)
    detail = ", ".join(filter(None, [metric(str(row["metric"])).title, interval]))
    yield Card("Corruption", "corruption", number, detail, text, _notes(row))


def _outliers(network: _Network) -> Iterator[Card]:
    rows = network.rows[network.rows["evaluator"].isin(["odin", "ood"])]
    rows = where(rows, metric="auroc")
    named = rows[rows["outliers"].notna() & ~rows["outliers"].astype(str).str.startswith("average")]
    if named.empty:
        return
    # Detectors are compared by their mean; the weakest set of the best one is shown.
    best = named.groupby(["evaluator", "detector"], sort=False)["value"].mean().idxmax()
    of_best = where(named, evaluator=best[0], detector=best[1])
    worst = as_dicts(of_best.sort_values("value"))[0]
    number, interval = _number(worst)
    accepted = network.first(best[0], "fpr_at_95_tpr", detector=best[1], outliers=worst["outliers"])
    name, count = display_name(worst["outliers"]), of_best["outliers"].nunique()
    text = f"On {name}, the weakest of {count} sets." if count > 1 else f"On {name}."
    if accepted:
        text += f" Where 95 % of test images are accepted, so are {_with_interval(accepted)} of it."
    detail = ", ".join(filter(None, [display_name(best[1]), interval]))
    yield Card("Out-of-distribution", best[0], f"AUROC {number}", detail, text, _notes(worst))


def _adversarial(network: _Network) -> Iterator[Card]:
    worst = where(network.rows, evaluator="attack", metric="audit_worst_case", temperature=1.0)
    if not worst.empty:
        row = min(as_dicts(worst), key=lambda one: abs(one["epsilon"] - 2 / 255))
        number, interval = _number(row)
        clean = network.first("attack", "audit_right_before") or network.first(
            "accuracy", "accuracy"
        )
        text = (
            f"From {format_value(metric('accuracy'), clean['value'])} on clean images."
            if clean
            else ""
        )
        flags = where(network.rows, evaluator="attack", metric="audit_flag", value=1.0)
        raised = [
            f"sign of masked gradients: {display_name(flag)}" for flag in flags.get("flag", ())
        ]
        at = f"{number} at {255 * row['epsilon']:g}/255"
        detail = f"worst of the audit’s attacks {interval}".strip()
        yield Card("Adversarial", "attack", at, detail, text, (*_notes(row), *raised))
        return
    rows = where(network.rows, evaluator="fgsm", metric="fgsm_accuracy", gradient="stable")
    rows = where(rows, temperature=1.0, variant="standardised")
    if not rows.empty:
        size = (
            0.2
            if 0.2 in distinct_numbers(rows, "epsilon")
            else max(distinct_numbers(rows, "epsilon"))
        )
        row = as_dicts(where(rows, epsilon=size))[0]
        number, interval = _number(row)
        text = "One step of FGSM; attacks of several steps find more."
        at, detail = f"{number} at ε {size:g}", f"standardised pixels {interval}".strip()
        yield Card("Adversarial", "fgsm", at, detail, text, _notes(row))


def _number(row: Mapping[str, Any]) -> tuple[str, str]:
    """Return a number and its interval as text; the interval is empty without one."""
    entry = metric(str(row["metric"]), str(row["unit"]))
    interval = format_interval(entry, row["low"], row["high"])
    return format_value(entry, row["value"]), "" if interval == "—" else interval


def _with_interval(row: Mapping[str, Any]) -> str:
    number, interval = _number(row)
    return f"{number} ({interval})" if interval else number


def _notes(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return caveats for quoting a number: a subset, unofficial data, runs' warnings."""
    subset = [f"subset: {row['n']:,} images"] if row["limited"] else []
    return (*subset, *by_origin(unofficial(str(row["data"]))), *filter(None, [row["warning"]]))
