"""The study that a call trains and measures: its file, what is left of it, and what that needs."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sdd_eval import studies
from sdd_eval.studies.study import Study

#: The built-in study, and its file in the folder of work.
STUDY, FILE = "paper/core", "study.toml"


def write_file(work: Path, options: Mapping[str, Any]) -> None:
    """Write the study's file with options of the recipe, unless an earlier call has.

    Later calls train with the same options, as a training cannot go on with others.
    """
    if not (work / FILE).exists():
        lines = [f"{name} = {_toml(value)}" for name, value in options.items()]
        text = studies.study_file(STUDY).read_text(encoding="utf-8")
        (work / FILE).write_text("\n".join([text, "[recipe]", *lines, ""]), encoding="utf-8")


def _toml(value: bool | str) -> str:
    return str(value).lower() if isinstance(value, bool) else f'"{value}"'


def planned(
    work: Path, data_root: Path, device: str, small: bool
) -> tuple[Study, list[studies.Planned]]:
    """Return the study and the state of each of its jobs."""
    lookup = studies.Lookup(data_root, work / "checkpoints")
    study = studies.read_study(work / FILE, small=small, lookup=lookup)
    workspace = studies.Workspace(
        work / "checkpoints", work / "reports" / study.name, data_root, device
    )
    return study, studies.plan(studies.jobs_of(study), workspace)


def seeds_of(study: Study) -> dict[str, int]:
    """Return the seed of each checkpoint of a study."""
    return {training.name: training.recipe.seed for training in study.trainings}


def complete_seeds(study: Study, jobs: Iterable[studies.Planned]) -> set[int]:
    """Return the seeds of which every job is done."""
    seeds = seeds_of(study)
    left = {seeds[plan.job.checkpoint] for plan in jobs if plan.state != "done"}
    return set(seeds.values()) - left


def needed_checkpoints(
    jobs: Iterable[studies.Planned], complete: set[int], study: Study
) -> list[str]:
    """Return the checkpoints that the jobs of incomplete seeds need, in the order of the jobs."""
    seeds = seeds_of(study)
    names: dict[str, None] = {}
    for plan in jobs:
        if plan.state != "done" and seeds[plan.job.checkpoint] not in complete:
            names |= dict.fromkeys(key.removeprefix("train ") for key in plan.job.needs)
            names[plan.job.checkpoint] = None
    return list(names)


def keep_histories(work: Path) -> None:
    """Copy card and history of every checkpoint into the folder `training`.

    They are kept where the weights are not. A card among checkpoints promises weights.
    """
    for folder in sorted(work.glob("checkpoints/*/")):
        for name in ("card.json", "history.csv"):
            if (folder / name).is_file():
                (work / "training" / folder.name).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / name, work / "training" / folder.name / name)


def batch_command(
    work: Path, *, seconds: float, seeds: Sequence[int], options: Sequence[str]
) -> list[str]:
    """Return the arguments of `sdd-eval` that run the study for a limited time."""
    where = {"--checkpoints": "checkpoints", "--reports": "reports", "--cache": "cache"}
    folders = [part for flag, name in where.items() for part in (flag, str(work / name))]
    limit = ["--deadline", f"{seconds:.0f}"]
    chosen = ["--seeds", *map(str, seeds)] if seeds else []
    return ["batch", str(work / FILE), *folders, *limit, *chosen, *options]
