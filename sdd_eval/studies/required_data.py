"""Which sets of images a job looks at, and whether they are there: told before days of training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sdd_eval.data import catalogue
from sdd_eval.data.ood_sets import default_ood_sets, expand_groups
from sdd_eval.data.splits import validation_name
from sdd_eval.data.standardisation import CONSTANTS, require_standardisation
from sdd_eval.errors import InputError
from sdd_eval.evaluators.settings import settings_that_load
from sdd_eval.studies.evaluations import check_settings
from sdd_eval.studies.study import DETECTION, Evaluation


def absent_set(name: str, root: Path, *, objects: bool = False) -> str:
    """Why a data set cannot be loaded, as far as a quick look tells; empty where it can.

    With `objects`: why it cannot be loaded with boxes of objects in its images.
    """
    find = catalogue.detection_dataset if objects else catalogue.dataset
    try:
        status = find(name, root).status(root)
    except InputError as error:
        return str(error)
    return "" if status.present else f"{name} is not there (sdd-eval data get {name})"


def absent_constants(name: str, root: Path) -> str:
    """Why constants of standardisation are not at hand; empty where they are."""
    try:
        require_standardisation(name, root)
    except InputError as error:
        return str(error)
    return "" if name in CONSTANTS else absent_set(name, root)


def absent_for(work: Evaluation, trained_on: str, root: Path) -> str:
    """Why an evaluation of a network that is not trained yet will find no images, if so."""
    objects = work.evaluator == DETECTION
    try:
        absent = (absent_set(n, root, objects=objects) for n in _needed(work, trained_on, root))
        return next(filter(None, absent), "")
    except InputError as error:  # no rendering of the test set is there
        return str(error)


def _needed(work: Evaluation, trained_on: str, root: Path) -> Iterator[str]:
    """The test set, and what the settings name beside it, or what is usual."""
    test = catalogue.canonical_name(work.dataset or trained_on)
    held_out = test == catalogue.canonical_name(validation_name(trained_on))
    yield trained_on if held_out else work.dataset or trained_on
    evaluator = check_settings(work.evaluator, work.settings)
    for setting, kind in settings_that_load(evaluator).items():
        value = getattr(evaluator, setting)
        if kind == "images":
            yield from expand_groups(value, trained_on) or default_ood_sets(test)
        if kind == "corruptions":
            corrupted = value or catalogue.default_corrupted_set(test, root)
            if not corrupted.endswith("_c_regenerated"):  # what is not on the disk is made
                yield corrupted
