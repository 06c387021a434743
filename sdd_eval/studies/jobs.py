"""The jobs of a study, ordered so that each comes after those that it needs."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

from sdd_eval.studies.study import Evaluation, Study, Training


@dataclass(frozen=True)
class Workspace:
    """The folders, device and options that all jobs share."""

    checkpoints: Path
    study: Path
    data_root: Path
    device: str = "cpu"
    threads: int | None = None
    limit: int | None = None
    command: str = ""
    cache: Path | None = None
    """Folder of cached logits and features; None for no cache."""
    trust_code: bool = False


@dataclass(frozen=True)
class Job:
    """A training or an evaluation; `needs` are the keys of the jobs that come before it."""

    key: str
    label: str
    work: Training | Evaluation
    needs: tuple[str, ...] = ()

    @property
    def checkpoint(self) -> str:
        """The checkpoint that it makes or evaluates."""
        work = self.work
        return work.checkpoint if isinstance(work, Evaluation) else work.name


def jobs_of(study: Study) -> tuple[Job, ...]:
    """Return all jobs: each training, followed by the evaluations that it makes possible.

    A detector comes after its backbone. An evaluation needs the training of its checkpoint and of
    the checkpoints in its settings.
    """
    order = {training.name: turn for turn, training in enumerate(study.trainings)}

    def turn_of_backbone(work: Training) -> int:
        return order.get(work.backbone or work.name, len(order))

    networks = sorted([*study.trainings, *study.detectors], key=turn_of_backbone)
    trainings = [_training(work, order) for work in networks]
    turns = {job.key: turn for turn, job in enumerate(trainings)}
    trained = {job.checkpoint for job in trainings}
    evaluations = [
        _evaluation(evaluation, trained, n) for n, evaluation in enumerate(study.evaluations)
    ]

    def last_turn(job: Job) -> int:
        return max(
            (turns[key] for key in (*job.needs, job.key) if key in turns), default=len(turns)
        )

    return tuple(sorted([*trainings, *evaluations], key=last_turn))


def _training(work: Training, trained: Container[str]) -> Job:
    needs = (f"train {work.backbone}",) if work.backbone in trained else ()
    return Job(f"train {work.name}", f"train {work.name}", work, needs)


def _evaluation(evaluation: Evaluation, trained: set[str], number: int) -> Job:
    named = [evaluation.checkpoint, *_strings(list(evaluation.settings.values()))]
    needs = tuple(f"train {name}" for name in dict.fromkeys(named) if name in trained)
    on = f" on {evaluation.dataset}" if evaluation.dataset else ""
    label = f"{evaluation.evaluator} {evaluation.checkpoint}{on}"
    return Job(f"{number} {label}", label, evaluation, needs)


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)
