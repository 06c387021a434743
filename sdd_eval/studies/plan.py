"""The state of each job before anything runs, and the expected time of missing ones."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sdd_eval import checkpoints, evaluation, store
from sdd_eval.data import catalogue
from sdd_eval.data.standardisation import standardisation_set
from sdd_eval.errors import InputError, NotOnDisk
from sdd_eval.object_detection.recipe import recipe_of, resolved_recipe
from sdd_eval.records import Card, Recipe
from sdd_eval.studies.checks import required_sets
from sdd_eval.studies.cost_model import Estimates
from sdd_eval.studies.jobs import Job, Workspace
from sdd_eval.studies.run import request_of
from sdd_eval.studies.study import Evaluation, Training, configured
from sdd_eval.training.recipe import differences

State = Literal["done", "interrupted", "missing", "blocked"]


@dataclass(frozen=True)
class Planned:
    """A job before it runs: its state, and how long it should take according to `source`.

    `least` is the time in seconds of its shortest part that is kept: an epoch, or a whole
    evaluation. A job is "blocked" if it would fail now; `note` says why, and `needs_blocked`
    whether the reason is another blocked job.
    """

    job: Job
    state: State
    seconds: float = 0.0
    least: float = 0.0
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
    blocked = next((plan for plan in needed if plan.state == "blocked"), None)
    if blocked is not None:
        note = f"it needs {blocked.job.label!r}"
        return Planned(job, "blocked", note=note, needs_blocked=True)
    untrained = [plan.job for plan in needed if plan.state != "done"]
    try:
        missing = _missing_share(job, workspace, untrained)
    except InputError as error:
        return Planned(job, "blocked", note=" ".join(str(error).split()))
    if missing is None:
        return Planned(job, "done")
    estimate = estimates.of(job)
    state: State = "missing" if missing == 1 else "interrupted"
    seconds = estimate.seconds * missing
    least = seconds
    if not isinstance(job.work, Evaluation):
        least = min(seconds, estimate.seconds / job.work.recipe.epochs)
    return Planned(job, state, seconds, least, estimate.source)


def _missing_share(job: Job, workspace: Workspace, untrained: Sequence[Job]) -> float | None:
    """Return the unfinished share of a job, None if done; raise InputError if it would fail."""
    work = job.work
    if not isinstance(work, Evaluation):
        return _missing_epochs(work, workspace)
    if untrained:
        for training in (plan.work for plan in untrained if plan.checkpoint == job.checkpoint):
            if not isinstance(training, Evaluation):
                root = workspace.data_root
                names = required_sets(
                    configured(work.evaluator, work.settings),
                    work.dataset,
                    training.recipe.dataset,
                    root,
                )
                _require_present(catalogue.dataset(name, root, work.task) for name in names)
        return 1.0
    checkpoint, request = workspace.checkpoints / work.checkpoint, request_of(work, workspace)
    with contextlib.suppress(store.Busy):
        done = evaluation.is_measured(checkpoint, request)
        return None if done else 1.0
    return 1.0


def _missing_epochs(work: Training, workspace: Workspace) -> float | None:
    """Return the unfinished share of a training run's epochs, None if it is done."""
    folder = workspace.checkpoints / work.name
    if checkpoints.is_checkpoint(folder):
        with contextlib.suppress(InputError):
            if _is_result_of(checkpoints.read_card(folder), work, workspace):
                return None
        raise InputError(f"{folder} was trained with another recipe")
    root = workspace.data_root
    sets = [catalogue.dataset(work.recipe.dataset, root, work.recipe.task)]
    if isinstance(work.recipe, Recipe):
        sets += filter(None, [standardisation_set(work.recipe.standardisation, root)])
    _require_present(sets)
    lines = 0
    with contextlib.suppress(OSError):
        lines = len((folder / "history.csv").read_text(encoding="utf-8").splitlines())
    return 1 - max(0, lines - 1) / work.recipe.epochs


def _is_result_of(card: Card, work: Training, workspace: Workspace) -> bool:
    """Return whether a checkpoint is the one that a training run would create."""
    if isinstance(work.recipe, Recipe):
        return card.recipe is not None and not differences(card.recipe, work.recipe)
    card_of_backbone = checkpoints.read_card(workspace.checkpoints / work.backbone)
    backbone = replace(card_of_backbone, name=work.backbone)
    recipe = recipe_of(card)
    return recipe is not None and not differences(recipe, resolved_recipe(work.recipe, backbone))


def _require_present(sets: Iterable[catalogue.Dataset]) -> None:
    """Raise InputError for a data set that is not on disk."""
    for data in sets:
        if not data.present:
            name = data.reference
            raise NotOnDisk(f"{name} is not on disk (sdd-eval data get {name})")
