"""The statistics of each evaluator's runs, and why some measurements have none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from sdd_eval.comparison.attacks import attack_statistics, audit_statistics, fgsm_statistics
from sdd_eval.comparison.calibration import calibration_statistics
from sdd_eval.comparison.corruption import corruption_statistics, with_baseline
from sdd_eval.comparison.matching import StoredRun
from sdd_eval.comparison.ranking import odin_statistics, ood_statistics, selective_statistics
from sdd_eval.comparison.records import MetricDifference
from sdd_eval.comparison.statistic import (
    Arrays,
    Key,
    KeyedStatistic,
    StatisticsOf,
    key,
    means,
    shares,
)
from sdd_eval.errors import InputError
from sdd_eval.evaluators.mask_variance import SPREAD, SQUARES
from sdd_eval.metrics.classification import confidence_and_correct, nll_per_image, top_k_correct
from sdd_eval.records import Measurement, Run
from sdd_eval.statistics.bootstrap import Floats
from sdd_eval.statistics.sums import SumStatistic


def accuracy_statistics(arrays: Arrays, settings: Mapping[str, Any]) -> Iterator[KeyedStatistic]:
    """Yield accuracy, top-5 accuracy and NLL."""
    logits, labels = arrays["logits"], arrays["labels"]
    _, correct = confidence_and_correct(logits, labels)
    keys, flags = [key("accuracy")], [correct]
    if logits.shape[1] > 5:
        keys.append(key("accuracy_top5"))
        flags.append(top_k_correct(logits, labels, 5))
    yield shares(keys, flags)
    yield means([key("nll")], [nll_per_image(logits, labels)])


def mask_variance_statistics(
    arrays: Arrays, settings: Mapping[str, Any]
) -> Iterator[KeyedStatistic]:
    """Yield the mask variance of each set, its relative value, and its ratio to the test set's."""
    ood_sets = [name.removeprefix(SQUARES) for name in arrays if name.startswith(f"{SQUARES}_")]
    sets = ["", *ood_sets]
    scale = float(settings["drop"]) / (1 - float(settings["drop"]))
    variances = [scale * np.asarray(arrays[SQUARES + name]) for name in sets]
    spreads = [np.asarray(arrays[SPREAD + name]) for name in sets]
    sizes = tuple(map(len, variances))
    columns = np.zeros((sum(sizes), 3 * len(sets)), dtype=np.float32)
    start = 0
    for index, (variance, spread) in enumerate(zip(variances, spreads, strict=True)):
        defined = spread > 0
        relative = np.divide(variance, spread, out=np.zeros(len(variance)), where=defined)
        rows = slice(start, start := start + len(variance))
        columns[rows, 3 * index : 3 * index + 3] = np.stack([variance, relative, defined], axis=1)

    def finish(sums: Floats) -> Floats:
        variance, relative, defined = np.moveaxis(sums.reshape(-1, len(sizes), 3), -1, 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = variance / np.array(sizes)
            return np.concatenate([mean, relative / defined, mean[:, 1:] / mean[:, :1]], axis=1)

    keys = [*_set_keys("mask_variance", sets), *_set_keys("mask_variance_relative", sets)]
    keys += _set_keys("mask_variance_ratio", ood_sets)
    yield KeyedStatistic(tuple(keys), SumStatistic(columns, finish, sizes))


def _set_keys(metric: str, sets: list[str]) -> list[Key]:
    """Return a key for each set, whose name begins with "_"; that of the test set is empty."""
    return [key(metric, **({"outliers": name[1:]} if name else {})) for name in sets]


#: For each kind of run: its statistics, and the axes that identify a measurement (None: all).
STATISTICS: Mapping[str, tuple[StatisticsOf, tuple[str, ...] | None]] = {
    "accuracy": (accuracy_statistics, ()),
    "calibration": (calibration_statistics, ("temperature", "half")),
    "fgsm": (fgsm_statistics, ("variant", "gradient", "temperature", "epsilon")),
    "corruption": (corruption_statistics, ("corruption", "severity")),
    "odin": (odin_statistics, None),
    "ood": (ood_statistics, None),
    "selective": (selective_statistics, ("score", "corruption", "severity")),
    "attack": (attack_statistics, ("temperature", "part", "gradient")),
    "audit": (audit_statistics, ("temperature", "attack", "epsilon", "gradient")),
    "mask_variance": (mask_variance_statistics, ("outliers",)),
}


def evaluator_kind(run: Run) -> str:
    """Return the evaluator's name; "audit" for `attack` in audit mode."""
    return "audit" if run.settings.get("audit") else run.evaluator


def statistics_of(stored: StoredRun) -> tuple[KeyedStatistic, ...]:
    """Return the statistics of a run; empty for unknown evaluators and missing arrays."""
    kind = evaluator_kind(stored.run)
    if kind not in STATISTICS:
        return ()
    try:
        return tuple(STATISTICS[kind][0](with_baseline(stored), stored.run.settings))
    except (InputError, KeyError):
        return ()


def key_of(run: Run, measurement: Measurement) -> Key:
    """Return the key of a measurement among the statistics of its run."""
    _, axes = STATISTICS.get(evaluator_kind(run), (None, None))
    at = {axis: value for axis, value in measurement.at.items() if axes is None or axis in axes}
    return key(measurement.metric, **at)


_BIN = "a bin holds different images for each network"
_RATIO = "this study has no run of the baseline, or its arrays were not stored"
#: Why the measurements of a metric have no statistic.
REASONS = {
    "bin_count": _BIN,
    "bin_confidence": _BIN,
    "bin_accuracy": _BIN,
    "bin_accuracy_calibrated": _BIN,
    "ece_floor": "it is simulated, not measured on these images",
    "temperature_fitted": "one temperature is fitted to all images, not a sum over them",
    "attack_largest_change": "it is a maximum over images, bounded by the attack",
    "audit_flag": "a sign of gradient masking is present or absent",
    "audit_worst_case_both_right": "it is about different images for each network",
    "missing": "it counts what could not be measured",
    "corruption_error": _RATIO,
    "relative_corruption_error": _RATIO,
}
#: Why an evaluator has no statistics.
_EVALUATOR_REASONS = {
    "detection": "mAP ranks the detections of all images together and is not a sum over images; "
    "with two or more seeds per side it is tested over seeds",
}
#: Metrics whose protocol contains values that were found for the network.
PER_NETWORK_PROTOCOL = ("audit_flag", "audit_worst_case_both_right")
_BEST = "each network's best cell was selected on the same OOD images"


def untested_reason(run: Run, measurement: Measurement) -> str:
    """Return why a measurement without a statistic has no test."""
    if evaluator_kind(run) not in STATISTICS:
        unknown = f"{run.evaluator} does not define its numbers as sums over images"
        return f"no test: {_EVALUATOR_REASONS.get(run.evaluator, unknown)}"
    if measurement.at.get("grid") == "best":
        return f"no test: {_BEST}"
    metric = measurement.metric
    if metric.startswith(("mean_corruption_error", "relative_mean_corruption_error")):
        metric = "corruption_error"
    default = "it is not a sum over images, or their arrays were not stored"
    return f"no test: {REASONS.get(metric, default)}"


def untested_lines(rows: Iterable[MetricDifference]) -> list[str]:
    """Return a line with metrics, count and reason for each kind of untested measurement."""
    metrics_of: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row.p is None:
            metrics_of.setdefault((row.evaluator, row.test), []).append(row.metric)
    return [
        f"{evaluator} {', '.join(dict.fromkeys(metrics))} ({len(metrics)}): {reason}"
        for (evaluator, reason), metrics in metrics_of.items()
    ]
