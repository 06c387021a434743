"""The pieces of work of a study, in an order in which everything comes after what it needs."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path

from sdd_eval.studies.study import DetectorTraining, Evaluation, Study, Training


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
    work: Training | DetectorTraining | Evaluation
    needs: tuple[str, ...] = ()

    @property
    def checkpoint(self) -> str:
        """The checkpoint that it makes or looks at."""
        work = self.work
        return work.checkpoint if isinstance(work, Evaluation) else work.name


def jobs_of(study: Study) -> tuple[Job, ...]:
    """All jobs: each training, then what is asked of its checkpoint as soon as that can be asked.

    A detector comes after its backbone. An evaluation needs the training of its checkpoint, and of
    any that its settings name.
    """
    makers = _makers(study)
    made = {job.checkpoint for job in makers}
    evaluations = [_evaluation(each, made, n) for n, each in enumerate(study.evaluations)]
    ordered: list[Job] = []
    done: set[str] = set()
    for maker in [*makers, None]:
        if maker is not None:
            ordered.append(maker)
            done.add(maker.key)
        ready = [job for job in evaluations if job not in ordered and set(job.needs) <= done]
        ordered += [job for job in ready if job.needs or maker is None]
    return tuple(ordered)


def _makers(study: Study) -> list[Job]:
    """The trainings, the detectors on a checkpoint behind its own."""
    trained = {each.name for each in study.trainings}
    found = []
    for training in study.trainings:
        found.append(_maker(training))
        found += [
            _maker(each, trained) for each in study.detectors if each.backbone == training.name
        ]
    others = [each for each in study.detectors if each.backbone not in trained]
    return found + [_maker(each) for each in others]


def _maker(work: Training | DetectorTraining, trained: Container[str] = ()) -> Job:
    """A training, which needs that of its backbone where it has one and that is trained here."""
    backbone = getattr(work, "backbone", None)
    needs = (f"train {backbone}",) if backbone in trained else ()
    return Job(f"train {work.name}", f"train {work.name}", work, needs)


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
