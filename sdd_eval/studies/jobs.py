"""The jobs of a study, ordered so that each comes after those that it needs."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
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
    until: float | None = None
    """Target half-width of rates, below which no more images are evaluated; None uses all."""
    compared: tuple[str, ...] = ()
    """Checkpoints that are then evaluated on the same number of images."""
    command: str = ""
    cache: Path | None = None
    """Folder of cached logits and features; None for no cache."""
    trust_code: bool = False


@dataclass(frozen=True)
class Job:
    """A training run or an evaluation; `needs` are the keys of the jobs that must precede it."""

    key: str
    label: str
    work: Training | Evaluation
    needs: tuple[str, ...] = ()

    @property
    def checkpoint(self) -> str:
        """The checkpoint that it creates or evaluates."""
        work = self.work
        return work.checkpoint if isinstance(work, Evaluation) else work.name


def jobs_of(study: Study) -> tuple[Job, ...]:
    """Return all jobs: each training run, followed by the evaluations that it makes possible.

    A detector comes after its backbone. An evaluation needs the training runs of its checkpoint and
    of the checkpoints in its settings.
    """
    order = {training.name: turn for turn, training in enumerate(study.trainings)}
    networks = sorted(
        [*study.trainings, *study.detectors],
        key=lambda work: order.get(work.backbone or work.name, len(order)),
    )
    turns = {work.name: turn for turn, work in enumerate(networks)}
    jobs = [
        (turns[work.name], _job(f"train {work.name}", work, [work.backbone], order))
        for work in networks
    ]
    for evaluation in study.evaluations:
        names = [evaluation.checkpoint, *_strings([*evaluation.settings.values()])]
        on = f" on {evaluation.dataset}" if evaluation.dataset else ""
        label = f"{evaluation.evaluator} {evaluation.checkpoint}{on}"
        turn = max((turns[name] for name in names if name in turns), default=len(turns))
        key = f"{len(jobs) - len(turns)} {label}"
        jobs.append((turn, _job(label, evaluation, names, turns, key)))
    return tuple(job for _, job in sorted(jobs, key=lambda pair: pair[0]))


def _job(
    label: str,
    work: Training | Evaluation,
    names: Iterable[str],
    trained: Container[str],
    key: str = "",
) -> Job:
    """Return a job that needs these checkpoints to be trained; its key is the label by default."""
    needs = tuple(f"train {name}" for name in dict.fromkeys(names) if name in trained)
    return Job(key or label, label, work, needs)


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)
