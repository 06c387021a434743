"""Why some numbers of two networks have no test: the images do not decide between the networks."""

from __future__ import annotations

from collections.abc import Iterable

from sdd_eval.comparison.makers import MAKERS, kind_of_run
from sdd_eval.comparison.records import Row
from sdd_eval.records import Measurement, Run

_BIN = "each network has other images in a bin"
_RATIO = "the baseline's own run is not in this study, or its images were not kept"
#: What each such number is.
REASONS = {
    "bin_count": _BIN,
    "bin_confidence": _BIN,
    "bin_accuracy": _BIN,
    "bin_accuracy_calibrated": _BIN,
    "ece_calibrated": "it is what chance leaves of simulated labels, and not seen in these",
    "temperature_fitted": "one temperature is fitted to many images; no image has a part of it",
    "attack_largest_change": "it is the largest change of any image, which the attack bounds",
    "audit_flag": "a sign of masked gradients is there or not",
    "audit_worst_case_both_right": "the images that it is about are others for each network",
    "missing": "it counts what could not be measured",
    "corruption_error": _RATIO,
    "relative_corruption_error": _RATIO,
}
#: Why no part is made of an evaluator's runs.
_WHOLE = {
    "detection": "mAP ranks what was found in all images together, so that none has a part of it; "
    "two or more seeds on both sides are tested over seeds",
}
#: Numbers whose protocol tells also what was found of the network.
OWN_PROTOCOL = ("audit_flag", "audit_worst_case_both_right")
_BEST = "each network's best cell was chosen on these very outliers"


def why_untested(run: Run, number: Measurement) -> str:
    """Why there is no test of a number that no part of a run has."""
    if kind_of_run(run) not in MAKERS:
        unknown = f"how images add up to numbers of {run.evaluator} is not known here"
        return f"no test: {_WHOLE.get(run.evaluator, unknown)}"
    if number.at.get("grid") == "best":
        return f"no test: {_BEST}"
    metric = number.metric
    if metric.startswith(("mean_corruption_error", "relative_mean_corruption_error")):
        metric = "corruption_error"
    usual = "images do not add up to it, or were not kept"
    return f"no test: {REASONS.get(metric, usual)}"


def untested(rows: Iterable[Row]) -> list[str]:
    """A line for each kind of number without a test: how many there are, and why."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row.p is None:
            found.setdefault((row.evaluator, row.test), []).append(row.metric)
    return [
        f"{evaluator} {', '.join(dict.fromkeys(metrics))} ({len(metrics)}): {why}"
        for (evaluator, why), metrics in found.items()
    ]
