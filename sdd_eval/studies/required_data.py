"""The data sets that a job needs, checked before any training starts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sdd_eval.data import catalogue
from sdd_eval.data.ood_sets import default_ood_sets, expand_groups
from sdd_eval.data.splits import validation_name
from sdd_eval.data.standardisation import CONSTANTS, require_standardisation
from sdd_eval.errors import InputError
from sdd_eval.evaluators.settings import settings_that_load
from sdd_eval.studies.study import DETECTION, Evaluation, configured


def missing_set(name: str, root: Path, *, objects: bool = False) -> str:
    """Return why a data set, as one of `objects`, cannot be loaded by a quick check; else ""."""
    find = catalogue.detection_dataset if objects else catalogue.dataset
    try:
        status = find(name, root).status(root)
    except InputError as error:
        return str(error)
    return "" if status.present else f"{name} is not on disk (sdd-eval data get {name})"


def missing_constants(name: str, root: Path) -> str:
    """Return why standardisation constants are not available; else an empty string."""
    try:
        require_standardisation(name, root)
    except InputError as error:
        return str(error)
    return "" if name in CONSTANTS else missing_set(name, root)


def missing_data(work: Evaluation, trained_on: str, root: Path) -> str:
    """Return why the evaluation of a network that is not trained yet cannot load its images."""
    objects = work.evaluator == DETECTION
    try:
        reasons = (missing_set(n, root, objects=objects) for n in _needed(work, trained_on, root))
        return next(filter(None, reasons), "")
    except InputError as error:  # there is no corrupted version of the test set
        return str(error)


def _needed(work: Evaluation, trained_on: str, root: Path) -> Iterator[str]:
    test = catalogue.canonical_name(work.dataset or trained_on)
    on_validation = test == catalogue.canonical_name(validation_name(trained_on))
    yield trained_on if on_validation else work.dataset or trained_on
    evaluator = configured(work.evaluator, work.settings)
    for setting, kind in settings_that_load(evaluator).items():
        value = getattr(evaluator, setting)
        if kind == "images":
            yield from expand_groups(value, trained_on) or default_ood_sets(test)
        if kind == "corruptions":
            corrupted = value or catalogue.default_corrupted_set(test, root)
            if not catalogue.is_regenerated(corrupted, test, root):  # rendered if it is not on disk
                yield corrupted
