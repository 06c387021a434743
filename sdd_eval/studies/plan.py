"""Before anything runs: what is there already, what is missing, and how long that should take."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from sdd_eval import store
from sdd_eval.errors import InputError
from sdd_eval.object_detection.recipe import recipe_of, resolved_recipe
from sdd_eval.records import Card
from sdd_eval.store import read_record
from sdd_eval.studies.estimate import Estimates
from sdd_eval.studies.jobs import Job, Places
from sdd_eval.studies.required_data import absent_constants, absent_for, absent_set
from sdd_eval.studies.run import request_of
from sdd_eval.studies.study import DETECTION, DetectorTraining, Evaluation, Training
from sdd_eval.training.recipe import differences

State = Literal["there", "begun", "missing", "blocked"]


@dataclass(frozen=True)
class Planned:
    """A job before it runs: its state, how long it should take, and what says so.

    "blocked" is a job that will fail as things are; `note` says why, and `follows` whether that is
    another job's failure.
    """

    job: Job
    state: State
    seconds: float = 0.0
    source: str = ""
    note: str = ""
    follows: bool = False


def plan(jobs: Sequence[Job], places: Places) -> list[Planned]:
    """Every job with its state; nothing is written."""
    estimates = Estimates(places)
    found: dict[str, Planned] = {}
    for job in jobs:
        before = [found[key] for key in job.needs if key in found]
        found[job.key] = _planned(job, places, estimates, before)
    return list(found.values())


def _planned(job: Job, places: Places, estimates: Estimates, before: Sequence[Planned]) -> Planned:
    """One job, after those that it needs."""
    blocked = next((each for each in before if each.state == "blocked"), None)
    if blocked is not None:
        return Planned(job, "blocked", note=f"it needs {blocked.job.label!r}", follows=True)
    if not isinstance(job.work, Evaluation):
        return _training(job, job.work, places, estimates)
    if any(each.state != "there" for each in before):
        absent = _absent_before(job.work, before, places)
        if absent:
            return Planned(job, "blocked", note=absent)
        return _estimated(job, "missing", estimates)
    return _evaluation(job, job.work, places, estimates)


def _absent_before(work: Evaluation, before: Sequence[Planned], places: Places) -> str:
    """Which images an evaluation will miss once its network is trained; empty where none."""
    made = [each.job.work for each in before if each.job.checkpoint == work.checkpoint]
    trained_on = [each.recipe.dataset for each in made if not isinstance(each, Evaluation)]
    return absent_for(work, trained_on[0], places.data_root) if trained_on else ""


def _training(
    job: Job, work: Training | DetectorTraining, places: Places, estimates: Estimates
) -> Planned:
    folder = places.checkpoints / work.name
    if (folder / "card.json").is_file():
        with contextlib.suppress(InputError):
            if _is_of(read_record(folder / "card.json", Card), work, places):
                return Planned(job, "there")
        return Planned(job, "blocked", note=f"{folder} holds another recipe")
    detector = isinstance(work, DetectorTraining)
    absent = absent_set(work.recipe.dataset, places.data_root, objects=detector)
    if isinstance(work, Training) and not absent:
        absent = absent_constants(work.recipe.standardisation, places.data_root)
    if absent:
        return Planned(job, "blocked", note=absent)
    epochs = _epochs(folder / "history.csv")
    state: State = "begun" if epochs else "missing"
    return _estimated(job, state, estimates, 1 - epochs / work.recipe.epochs)


def _is_of(card: Card, work: Training | DetectorTraining, places: Places) -> bool:
    """Whether a card is that of the checkpoint that a training would make.

    Raises:
        InputError: it cannot be told, e.g. because the backbone is not there.
    """
    if isinstance(work, Training):
        return card.recipe is not None and not differences(card.recipe, work.recipe)
    backbone = replace(
        read_record(places.checkpoints / work.backbone / "card.json", Card), name=work.backbone
    )
    there = recipe_of(card)
    return there is not None and not differences(there, resolved_recipe(work.recipe, backbone))


def _epochs(history: Path) -> int:
    """How many epochs a training has behind it."""
    try:
        return max(0, len(history.read_text(encoding="utf-8").splitlines()) - 1)
    except OSError:
        return 0


def _evaluation(job: Job, work: Evaluation, places: Places, estimates: Estimates) -> Planned:
    from sdd_eval.evaluation import is_measured
    from sdd_eval.object_detection.evaluation import is_evaluated

    is_there = is_evaluated if work.evaluator == DETECTION else is_measured
    try:
        if is_there(places.checkpoints / work.checkpoint, request_of(work, places)):
            return Planned(job, "there")
    except store.Busy:
        pass
    except InputError as error:
        return Planned(job, "blocked", note=" ".join(str(error).split()))
    return _estimated(job, "missing", estimates)


def _estimated(job: Job, state: State, estimates: Estimates, share: float = 1.0) -> Planned:
    estimate = estimates.of(job)
    return Planned(job, state, estimate.seconds * share, estimate.source)
