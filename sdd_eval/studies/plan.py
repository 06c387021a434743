"""The state of each job before anything runs, and how long the missing ones should take."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from sdd_eval import evaluation, object_detection, store
from sdd_eval.errors import InputError
from sdd_eval.object_detection.recipe import recipe_of, resolved_recipe
from sdd_eval.records import Card
from sdd_eval.store import read_record
from sdd_eval.studies.cost_model import Estimates
from sdd_eval.studies.jobs import Job, Workspace
from sdd_eval.studies.required_data import missing_constants, missing_data, missing_set
from sdd_eval.studies.run import request_of
from sdd_eval.studies.study import DETECTION, DetectorTraining, Evaluation, Network, Training
from sdd_eval.training.recipe import differences

State = Literal["done", "interrupted", "missing", "blocked"]


@dataclass(frozen=True)
class Planned:
    """A job before it runs: its state, and how long it should take according to `source`.

    A job is "blocked" if it would fail now; `note` says why, and `needs_blocked` whether the reason
    is another blocked job.
    """

    job: Job
    state: State
    seconds: float = 0.0
    source: str = ""
    note: str = ""
    needs_blocked: bool = False


def plan(jobs: Sequence[Job], workspace: Workspace) -> list[Planned]:
    """Return every job with its state; nothing is written."""
    estimates = Estimates(workspace)
    planned: dict[str, Planned] = {}
    for job in jobs:
        needed = [planned[key] for key in job.needs if key in planned]
        planned[job.key] = _planned(job, workspace, estimates, needed)
    return list(planned.values())


def _planned(
    job: Job, workspace: Workspace, estimates: Estimates, needed: Sequence[Planned]
) -> Planned:
    blocked = next((each for each in needed if each.state == "blocked"), None)
    if blocked is not None:
        note = f"it needs {blocked.job.label!r}"
        return Planned(job, "blocked", note=note, needs_blocked=True)
    if not isinstance(job.work, Evaluation):
        return _training(job, job.work, workspace, estimates)
    if any(each.state != "done" for each in needed):
        # which images the evaluation will miss once its network is trained
        works = [each.job.work for each in needed if each.job.checkpoint == job.checkpoint]
        datasets = [work.recipe.dataset for work in works if not isinstance(work, Evaluation)]
        missing = missing_data(job.work, datasets[0], workspace.data_root) if datasets else ""
        if missing:
            return Planned(job, "blocked", note=missing)
        return _estimated(job, "missing", estimates)
    return _evaluation(job, job.work, workspace, estimates)


def _training(job: Job, work: Network, workspace: Workspace, estimates: Estimates) -> Planned:
    folder = workspace.checkpoints / work.name
    if (folder / "card.json").is_file():
        with contextlib.suppress(InputError):
            if _is_result_of(read_record(folder / "card.json", Card), work, workspace):
                return Planned(job, "done")
        return Planned(job, "blocked", note=f"{folder} was trained with another recipe")
    detector = isinstance(work, DetectorTraining)
    missing = missing_set(work.recipe.dataset, workspace.data_root, objects=detector)
    if isinstance(work, Training) and not missing:
        missing = missing_constants(work.recipe.standardisation, workspace.data_root)
    if missing:
        return Planned(job, "blocked", note=missing)
    epochs = _epochs(folder / "history.csv")
    state: State = "interrupted" if epochs else "missing"
    return _estimated(job, state, estimates, 1 - epochs / work.recipe.epochs)


def _is_result_of(card: Card, work: Network, workspace: Workspace) -> bool:
    """Return whether a checkpoint is the one that a training would make."""
    if isinstance(work, Training):
        return card.recipe is not None and not differences(card.recipe, work.recipe)
    path = workspace.checkpoints / work.backbone / "card.json"
    backbone = replace(read_record(path, Card), name=work.backbone)
    recipe = recipe_of(card)
    return recipe is not None and not differences(recipe, resolved_recipe(work.recipe, backbone))


def _epochs(history: Path) -> int:
    try:
        return max(0, len(history.read_text(encoding="utf-8").splitlines()) - 1)
    except OSError:
        return 0


def _evaluation(job: Job, work: Evaluation, workspace: Workspace, estimates: Estimates) -> Planned:
    detect = work.evaluator == DETECTION
    is_done = object_detection.is_evaluated if detect else evaluation.is_measured
    try:
        if is_done(workspace.checkpoints / work.checkpoint, request_of(work, workspace)):
            return Planned(job, "done")
    except store.Busy:
        pass
    except InputError as error:
        return Planned(job, "blocked", note=" ".join(str(error).split()))
    return _estimated(job, "missing", estimates)


def _estimated(job: Job, state: State, estimates: Estimates, share: float = 1.0) -> Planned:
    estimate = estimates.of(job)
    return Planned(job, state, estimate.seconds * share, estimate.source)
