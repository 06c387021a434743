"""Each evaluator's function from what it kept of the images to its numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from sdd_eval.comparison.attacks import of_attack, of_audit, of_fgsm
from sdd_eval.comparison.calibration import of_calibration
from sdd_eval.comparison.corruption import of_corruption, with_baseline
from sdd_eval.comparison.matching import StoredRun
from sdd_eval.comparison.ranking import of_odin, of_ood, of_selective
from sdd_eval.comparison.records import MetricDifference
from sdd_eval.comparison.statistic import Arrays, Key, KeyedStatistic, Maker, key, of_accuracy
from sdd_eval.errors import InputError
from sdd_eval.evaluators.mask_variance import SPREAD, SQUARES
from sdd_eval.records import Measurement, Run
from sdd_eval.statistics.bootstrap import Floats
from sdd_eval.statistics.sums import SumStatistic


def of_mask_variance(arrays: Arrays, settings: Mapping[str, Any]) -> Iterator[KeyedStatistic]:
    """The variance of each set, over the logits' own, and how many times the test set's it is."""
    outside = [name.removeprefix(SQUARES) for name in arrays if name.startswith(f"{SQUARES}_")]
    sets = ["", *outside]
    scale = float(settings["drop"]) / (1 - float(settings["drop"]))
    variances = [scale * np.asarray(arrays[SQUARES + each]) for each in sets]
    spreads = [np.asarray(arrays[SPREAD + each]) for each in sets]
    sizes = tuple(map(len, variances))
    columns = np.zeros((sum(sizes), 3 * len(sets)), dtype=np.float32)
    begin = 0
    for place, (variance, spread) in enumerate(zip(variances, spreads, strict=True)):
        known = spread > 0
        relative = np.divide(variance, spread, out=np.zeros(len(variance)), where=known)
        rows = slice(begin, begin := begin + len(variance))
        columns[rows, 3 * place : 3 * place + 3] = np.stack([variance, relative, known], axis=1)

    def finish(sums: Floats) -> Floats:
        variance, relative, known = np.moveaxis(sums.reshape(-1, len(sizes), 3), -1, 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            plain = variance / np.array(sizes)
            return np.concatenate([plain, relative / known, plain[:, 1:] / plain[:, :1]], axis=1)

    keys = [*_keys("mask_variance", sets), *_keys("mask_variance_relative", sets)]
    keys += _keys("mask_variance_ratio", outside)
    yield KeyedStatistic(tuple(keys), SumStatistic(columns, finish, sizes))


def _keys(metric: str, sets: list[str]) -> list[Key]:
    """A key a set; the test set's has no name."""
    return [key(metric, **({"outliers": each[1:]} if each else {})) for each in sets]


#: Kind of run → its parts, and the axes that tell its numbers apart within one run; None is all.
STATISTICS: Mapping[str, tuple[Maker, tuple[str, ...] | None]] = {
    "accuracy": (of_accuracy, ()),
    "calibration": (of_calibration, ("temperature", "half")),
    "fgsm": (of_fgsm, ("variant", "gradient", "temperature", "epsilon")),
    "corruption": (of_corruption, ("corruption", "severity")),
    "odin": (of_odin, None),
    "ood": (of_ood, None),
    "selective": (of_selective, ("score", "corruption", "severity")),
    "attack": (of_attack, ("temperature", "part", "gradient")),
    "audit": (of_audit, ("temperature", "attack", "epsilon", "gradient")),
    "mask_variance": (of_mask_variance, ("outliers",)),
}


def evaluator_kind(run: Run) -> str:
    """The evaluator; "audit" where `attack` audits."""
    return "audit" if run.settings.get("audit") else run.evaluator


def statistics_of(found: StoredRun) -> tuple[KeyedStatistic, ...]:
    """The parts of a run; none of an evaluator that is not known here, or whose arrays are gone."""
    kind = evaluator_kind(found.run)
    if kind not in STATISTICS:
        return ()
    try:
        return tuple(STATISTICS[kind][0](with_baseline(found), found.run.settings))
    except (InputError, KeyError):
        return ()


def key_of(run: Run, measurement: Measurement) -> Key:
    """What a measurement of a run is called among its parts."""
    _, kept = STATISTICS.get(evaluator_kind(run), (None, None))
    at = {n: value for n, value in measurement.at.items() if kept is None or n in kept}
    return key(measurement.metric, **at)


_BIN = "each network has other images in a bin"
_RATIO = "the baseline's own run is not in this study, or its images were not kept"
#: What each such number is.
REASONS = {
    "bin_count": _BIN,
    "bin_confidence": _BIN,
    "bin_accuracy": _BIN,
    "bin_accuracy_calibrated": _BIN,
    "ece_floor": "it is what chance leaves of simulated labels, and not seen in these",
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
PER_NETWORK_PROTOCOL = ("audit_flag", "audit_worst_case_both_right")
_BEST = "each network's best cell was chosen on these very outliers"


def untested_reason(run: Run, number: Measurement) -> str:
    """Why there is no test of a number that no part of a run has."""
    if evaluator_kind(run) not in STATISTICS:
        unknown = f"how images add up to numbers of {run.evaluator} is not known here"
        return f"no test: {_WHOLE.get(run.evaluator, unknown)}"
    if number.at.get("grid") == "best":
        return f"no test: {_BEST}"
    metric = number.metric
    if metric.startswith(("mean_corruption_error", "relative_mean_corruption_error")):
        metric = "corruption_error"
    usual = "images do not add up to it, or were not kept"
    return f"no test: {REASONS.get(metric, usual)}"


def untested_lines(rows: Iterable[MetricDifference]) -> list[str]:
    """A line for each kind of number without a test: how many there are, and why."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row.p is None:
            found.setdefault((row.evaluator, row.test), []).append(row.metric)
    return [
        f"{evaluator} {', '.join(dict.fromkeys(metrics))} ({len(metrics)}): {why}"
        for (evaluator, why), metrics in found.items()
    ]
