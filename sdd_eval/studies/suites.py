"""Suites of evaluators for existing checkpoints, as studies without training runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sdd_eval.errors import InputError
from sdd_eval.evaluators.evaluator import task_of
from sdd_eval.evaluators.settings import settings_that_load
from sdd_eval.records import CLASSIFICATION
from sdd_eval.studies.study import Evaluation, Study, configured

#: Detectors that need one forward pass, and those that are also fitted on the training images.
_LOGITS = ("msp", "max_logit", "energy", "entropy")
_ALL = ("odin", *_LOGITS, "mahalanobis", "knn", "vim", "react")


@dataclass(frozen=True)
class Step:
    """An evaluator of a suite, with its settings."""

    evaluator: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    limit: int | None = None
    """The largest number of images; None evaluates all."""
    needs_outliers: bool = False
    """Leave the evaluator out if no OOD sets are named."""


_CLEAN = (Step("accuracy"), Step("calibration"), Step("selective"))
_ATTACKED = (Step("fgsm"), Step("odin"), Step("corruption"))

#: Suites by name, in order of cost.
SUITES: Mapping[str, tuple[Step, ...]] = {
    "quick": (
        *_CLEAN,
        Step("ood", {"detectors": _LOGITS}, needs_outliers=True),
        Step("corruption", limit=500),
    ),
    "standard": (*_CLEAN, Step("ood", {"detectors": _LOGITS}), *_ATTACKED),
    "full": (
        *_CLEAN,
        Step("mask_variance"),
        Step("ood", {"detectors": _ALL}),
        *_ATTACKED,
        Step("attack", {"audit": True}),
    ),
    "paper": (Step("accuracy"), Step("calibration"), *_ATTACKED),
}


def suite_study(
    name: str,
    checkpoints: Sequence[str],
    steps: Sequence[Step],
    *,
    dataset: str | None = None,
    outliers: Sequence[str] = (),
    corrupted: str = "",
) -> Study:
    """Return the study that runs a suite on checkpoints.

    Args:
        name: the study's name.
        checkpoints: names or folders of the checkpoints.
        steps: a suite of `SUITES`, or `steps_of` evaluators.
        dataset: the test set; by default each checkpoint's own.
        outliers: OOD sets for the evaluators that have such a setting, instead of their defaults.
        corrupted: the corrupted test set, instead of the default.

    Raises:
        InputError: OOD sets or a corrupted set are named, but no evaluator uses them.
    """
    given = {"images": ("--outliers", tuple(outliers)), "corruptions": ("--corrupted", corrupted)}
    selected = [step for step in steps if outliers or not step.needs_outliers]
    kinds = {kind for step in selected for kind in settings_that_load(_evaluator(step)).values()}
    for kind, (flag, value) in given.items():
        if value and kind not in kinds:
            evaluators = " ".join(step.evaluator for step in selected)
            raise InputError(f"{flag} is given, but none of these evaluators uses it: {evaluators}")
    evaluations = [
        Evaluation(checkpoint, step.evaluator, _settings(step, given), dataset, step.limit)
        for checkpoint in checkpoints
        for step in selected
    ]
    values: dict[str, Any] = {
        field.name: ()
        for field in dataclasses.fields(Study)
        if field.default is field.default_factory is dataclasses.MISSING
    }
    values |= {"name": name, "title": "", "small": False, "names": {}, "families": {}}
    return Study(**values | {"evaluations": tuple(evaluations)})


def steps_of(evaluators: Sequence[str], suite: Sequence[Step]) -> Iterator[Step]:
    """Yield a step for each evaluator, with its settings in the suite or the default ones.

    Raise InputError for an unknown evaluator, or one of object detectors.
    """
    known = {step.evaluator: step for step in suite}
    for name in dict.fromkeys(evaluator.replace("-", "_") for evaluator in evaluators):
        step = dataclasses.replace(known.get(name, Step(name)), needs_outliers=False)
        if task_of(_evaluator(step)) != CLASSIFICATION:
            raise InputError(f"{name} evaluates object detectors, not classifiers")
        yield step


def _evaluator(step: Step) -> Any:
    return configured(step.evaluator, step.settings)


def _settings(step: Step, given: Mapping[str, tuple[str, Any]]) -> dict[str, Any]:
    """Return a step's settings, with the given data sets."""
    loads = settings_that_load(_evaluator(step)).items()
    sets = {name: given[kind][1] for name, kind in loads if kind in given and given[kind][1]}
    return {**step.settings, **sets}
