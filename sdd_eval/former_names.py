"""Former names of metrics, axes and settings that stored files and study files may still use.

Runs and comparisons of version 0.1 are read under the current names. A run's key still holds the
former name of a setting, so that a run made before the change is found and not repeated. The
protocols of format 1 runs contain values that were determined for the network; these are extracted.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from sdd_eval.protocol import Protocol
from sdd_eval.records import RUN_FORMAT, Measurement, Run


@dataclass(frozen=True)
class FormerNames:
    """Former → current names of one evaluator's metrics, axes and settings."""

    metrics: Mapping[str, str] = field(default_factory=dict)
    axes: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)


_VALIDATION = {"held_out": "validation_set"}
#: Renames by evaluator. The flags of settings change accordingly: --held-out is now
#: --validation-set.
FORMER_NAMES: Mapping[str, FormerNames] = {
    "attack": FormerNames({"audit_both_right": "n_both_correct"}, settings=_VALIDATION),
    "calibration": FormerNames({"ece_calibrated": "ece_floor"}, settings=_VALIDATION),
    "fgsm": FormerNames(
        axes={"reading": "variant"}, settings={**_VALIDATION, "readings": "variants"}
    ),
    "mask_variance": FormerNames(axes={"drop": "drop_rate"}, settings={"drop": "drop_rate"}),
    "odin": FormerNames(settings=_VALIDATION),
    "ood": FormerNames(settings=_VALIDATION),
    "selective": FormerNames(axes={"detector": "score"}),
}


def current_run(run: Run) -> Run:
    """Convert a stored run to the current names and format.

    >>> run = Run("c", "", "digits", "", "fgsm", 1, {"held_out": ""}, None, 1, ())
    >>> current_run(run).settings
    {'validation_set': ''}
    """
    if run.format == 1:
        stripped = tuple(map(_without_fitted, run.measurements))
        run = dataclasses.replace(run, measurements=stripped, format=RUN_FORMAT)
    former = FORMER_NAMES.get(run.evaluator)
    if former is None:
        return run
    measurements = tuple(current_row(run.evaluator, row) for row in run.measurements)
    settings = _renamed(run.settings, former.settings)
    return dataclasses.replace(run, measurements=measurements, settings=settings)


def current_row(evaluator: str, row: Any) -> Any:
    """Return a measurement, or a row of a comparison, under the current names."""
    if isinstance(row.protocol, str):
        row = dataclasses.replace(row, protocol=split_protocol(row.protocol)[0].text)
    former = FORMER_NAMES.get(evaluator)
    if former is None or not (row.metric in former.metrics or row.at.keys() & former.axes.keys()):
        return row
    metric = former.metrics.get(row.metric, row.metric)
    replace = msgspec.structs.replace if isinstance(row, msgspec.Struct) else dataclasses.replace
    return replace(row, metric=metric, at=_renamed(row.at, former.axes))


def current_selector(selector: str) -> str:
    """Return a selector EVALUATOR or EVALUATOR.METRIC with the current name of the metric.

    >>> current_selector("calibration.ece_calibrated")
    'calibration.ece_floor'
    """
    evaluator, dot, metric = selector.partition(".")
    metrics = FORMER_NAMES.get(evaluator, FormerNames()).metrics
    return f"{evaluator}{dot}{metrics.get(metric, metric)}"


def renamed_selector(selector: str) -> str:
    """Return a selector of a study file under the current name; warn about a former name."""
    return _warned(selector, current_selector(selector))


def renamed_metric(metric: str) -> str:
    """Return the current name of a metric of any evaluator; warn about a former name."""
    present = (former.metrics.get(metric) for former in FORMER_NAMES.values())
    return _warned(metric, next(filter(None, present), metric), "the metric ")


def current_settings(evaluator: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return an evaluator's settings under the current names; warn about former names."""
    former = FORMER_NAMES.get(evaluator, FormerNames()).settings
    names = {name: former.get(name, name) for name in settings}
    kind, owner = "the setting ", f" of {evaluator}"
    return {_warned(name, names[name], kind, owner): value for name, value in settings.items()}


def _warned(name: str, present: str, kind: str = "", owner: str = "") -> str:
    """Return the current name, and warn if the given name differs."""
    if present != name:
        message = f"{kind}{name}{owner} is now called {present}"
        warnings.warn(message, DeprecationWarning, stacklevel=3)
    return present


def key_settings(evaluator: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return an evaluator's settings under the names used in the keys of runs.

    >>> key_settings("fgsm", {"validation_set": "none"})
    {'held_out': 'none'}
    """
    former = FORMER_NAMES.get(evaluator, FormerNames()).settings
    return _renamed(settings, {present: name for name, present in former.items()})


def _renamed(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in values.items()}


#: Parts of a format 1 protocol that were determined for the network, and their replacements. The
#: groups are the name of the value, if the text has one, and the value.
_FOUND = (
    (
        re.compile(
            r"((?:the (?:first|second)'s )?\S+) = ([0-9.eE+-]+(?:, a bound of the range)?)"
            r"(?=, fitted\b)"
        ),
        r"\1",
        "",
    ),
    (
        re.compile(r"()(?<=one start each, on )([^;]*)(?=\);)"),
        "another network",
        "transferred from",
    ),
    (re.compile(r"()(?<=; of the )(\d+) (?=images, before any attack, that )"), "", "images"),
    (re.compile(r"(); (?:raised: (.*)|not raised at any size)$"), "", "raised"),
)


def _without_fitted(number: Measurement) -> Measurement:
    """Return a format 1 measurement with the values determined for the network split off."""
    protocol, fitted = split_protocol(number.protocol.text)
    if not fitted and protocol.id == number.protocol.id:
        return number
    return msgspec.structs.replace(number, protocol=protocol, fitted=fitted)


@functools.lru_cache(maxsize=4096)
def split_protocol(sentence: str) -> tuple[Protocol, Mapping[str, str]]:
    """Return the protocol and the values determined for the network from a format 1 sentence.

    >>> protocol, fitted = split_protocol("T = 1.43, fitted by NLL; ε = 0.2")
    >>> protocol.text, fitted
    ('T, fitted by NLL; ε = 0.2', {'T': '1.43'})
    """
    fitted = {}
    for pattern, replacement, name in _FOUND:
        for match in pattern.finditer(sentence):
            if match[2]:
                fitted[name or match[1]] = match[2]
        sentence = pattern.sub(replacement, sentence)
    return Protocol(sentence), fitted
