"""Do one job, wherever: what is there already is not done again."""

from __future__ import annotations

import os
import socket
import time
import traceback
from dataclasses import dataclass
from typing import Any, Literal

from sdd_eval import store
from sdd_eval.errors import InputError
from sdd_eval.object_detection.recipe import EVALUATION_BATCH_SIZE
from sdd_eval.progress import Progress
from sdd_eval.studies.evaluations import check_settings
from sdd_eval.studies.jobs import Job, Places
from sdd_eval.studies.study import DETECTION, DetectorTraining, Evaluation, Training

Result = Literal["done", "already there", "failed", "not run"]


@dataclass(frozen=True)
class Outcome:
    """How a job ended: where, in how many seconds, and why it failed if it did."""

    key: str
    label: str
    result: Result
    seconds: float = 0.0
    reason: str = ""
    trace: str = ""
    worker: str = ""

    @property
    def good(self) -> bool:
        """Whether what the job makes is there."""
        return self.result in ("done", "already there")


def perform(job: Job, places: Places, progress: Progress) -> Outcome:
    """Do a job; whatever it raises is its outcome's reason.

    Raises:
        Busy: another process is at it.
    """
    begun = time.perf_counter()
    worker = f"{socket.gethostname()}:{os.getpid()}"
    reason = trace = ""
    result: Result
    try:
        result = "done" if _do(job.work, places, progress) else "already there"
    except store.Busy:
        raise
    except InputError as error:
        result, reason = "failed", " ".join(str(error).split())
    except Exception as error:  # one job's fault, of whatever kind, must not end the others
        result, trace = "failed", traceback.format_exc()
        reason = " ".join(f"{type(error).__name__}: {error}".split())
    seconds = time.perf_counter() - begun
    return Outcome(job.key, job.label, result, seconds, reason, trace, worker)


def not_run(job: Job, because: Outcome) -> Outcome:
    """The outcome of a job that lacks what another failed to make."""
    return Outcome(job.key, job.label, "not run", reason=f"it needs {because.label!r}")


def _do(work: Training | DetectorTraining | Evaluation, places: Places, progress: Progress) -> bool:
    """Whether there was anything to do."""
    if isinstance(work, Evaluation):
        return _evaluate(work, places, progress)
    there = (places.checkpoints / work.name / "card.json").is_file()
    if isinstance(work, Training):
        _train(work, places, progress)
    else:
        _train_detector(work, places, progress)
    return not there


def _train(work: Training, places: Places, progress: Progress) -> None:
    from sdd_eval.training.train import train

    train(
        work.recipe,
        places.checkpoints,
        data_root=places.data_root,
        name=work.name,
        device=places.device,
        threads=places.threads,
        progress=progress,
        trust_code=places.trust_code,
    )


def _train_detector(work: DetectorTraining, places: Places, progress: Progress) -> None:
    from sdd_eval.object_detection.train import train_detector

    train_detector(
        places.checkpoints / work.backbone,
        work.recipe,
        places.checkpoints,
        data_root=places.data_root,
        name=work.name,
        device=places.device,
        threads=places.threads,
        progress=progress,
        trust_code=places.trust_code,
    )


def _evaluate(work: Evaluation, places: Places, progress: Progress) -> bool:
    from sdd_eval.evaluation import evaluate_checkpoint
    from sdd_eval.object_detection.evaluation import evaluate_detector

    evaluate = evaluate_detector if work.evaluator == DETECTION else evaluate_checkpoint
    outcome: Any = evaluate(
        places.checkpoints / work.checkpoint, request_of(work, places), progress
    )
    return bool(outcome.looked or outcome.scored)


def request_of(work: Evaluation, places: Places) -> Any:
    """What is asked of the checkpoint."""
    from sdd_eval.evaluation import Request

    return Request(
        evaluator=check_settings(work.evaluator, work.settings),
        study=places.study,
        data_root=places.data_root,
        dataset=work.dataset,
        limit=places.limit if places.limit is not None else work.limit,
        device=places.device,
        command=places.command,
        cache=places.cache,
        batch_size=EVALUATION_BATCH_SIZE if work.evaluator == DETECTION else Request.batch_size,
        trust_code=places.trust_code,
    )
