"""The pieces of work of a study, in an order in which everything comes after what it needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sdd_eval.batch.study import Evaluation, Study, Training


@dataclass(frozen=True)
class Places:
    """Where everything is read and written, and on what it runs; the same for every job."""

    checkpoints: Path
    study: Path
    data_root: Path
    device: str = "cpu"
    threads: int | None = None
    limit: int | None = None
    command: str = ""
    cache: Path | None = None
    """Where logits and features are kept between evaluations; None keeps nothing."""
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
        """The checkpoint that it makes or looks at."""
        return self.work.name if isinstance(self.work, Training) else self.work.checkpoint


def jobs_of(study: Study) -> tuple[Job, ...]:
    """All jobs: each training, then what is asked of its checkpoint as soon as that can be asked.

    An evaluation needs the training of its checkpoint, and of any that its settings name.
    """
    made = {each.name for each in study.trainings}
    trainings = {each.name: _training(each) for each in study.trainings}
    evaluations = [_evaluation(each, made, n) for n, each in enumerate(study.evaluations)]
    ordered: list[Job] = []
    done: set[str] = set()
    for name in [*trainings, ""]:
        if name:
            ordered.append(trainings[name])
            done.add(trainings[name].key)
        ready = [job for job in evaluations if job not in ordered and set(job.needs) <= done]
        ordered += [job for job in ready if job.needs or not name]
    return tuple(ordered)


def _training(training: Training) -> Job:
    return Job(f"train {training.name}", f"train {training.name}", training)


def _evaluation(evaluation: Evaluation, made: set[str], number: int) -> Job:
    """An evaluation with the trainings that it needs; its number tells it from its like."""
    named = [evaluation.checkpoint, *_texts(list(evaluation.settings.values()))]
    needs = tuple(f"train {name}" for name in dict.fromkeys(named) if name in made)
    on = f" on {evaluation.dataset}" if evaluation.dataset else ""
    label = f"{evaluation.evaluator} {evaluation.checkpoint}{on}"
    return Job(f"{number} {label}", label, evaluation, needs)


def _texts(values: Sequence[object]) -> list[str]:
    """The texts among values, also in lists."""
    found = []
    for value in values:
        found += _texts(value) if isinstance(value, list | tuple) else []
        found += [value] if isinstance(value, str) else []
    return found
