"""Run jobs in this process, and write the record of a study next to its runs."""

from __future__ import annotations

import contextlib
import os
import socket
import time
import traceback
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, Protocol

from sdd_eval import evaluation, object_detection, store, training
from sdd_eval.checkpoints.folder import is_checkpoint
from sdd_eval.errors import InputError
from sdd_eval.object_detection.recipe import EVALUATION_BATCH_SIZE
from sdd_eval.progress import Progress
from sdd_eval.records import CLASSIFICATION, OBJECT_DETECTION, Recipe, Run
from sdd_eval.studies.comparisons import pairings_of
from sdd_eval.studies.deadline import Deadline, OutOfTime
from sdd_eval.studies.jobs import Job, Workspace
from sdd_eval.studies.precision import evaluate_until
from sdd_eval.studies.study import (
    Description,
    Evaluation,
    Study,
    StudyRecord,
    Training,
    configured,
    warnings,
)

#: Seconds after which a job that another process is running is tried again.
WAIT = 2.0

Result = Literal["done", "already done", "failed", "not run", "left"]


@dataclass(frozen=True)
class JobOutcome:
    """How a job ended, how long it took, and why it failed, if it did."""

    key: str
    label: str
    result: Result
    seconds: float = 0.0
    reason: str = ""
    trace: str = ""
    worker: str = ""
    warnings: tuple[str, ...] = ()
    """Why the numbers of its run may be wrong."""

    @property
    def succeeded(self) -> bool:
        """Whether the job's checkpoint or run exists."""
        return self.result in ("done", "already done")

    @property
    def failed(self) -> bool:
        """Whether it cannot exist without a change; work left by a deadline is not a failure."""
        return self.result in ("failed", "not run")


class JobProgress(Progress, Protocol):
    """A listener to the progress of several jobs."""

    def job(
        self, label: str, seconds: float, one_piece: bool = False
    ) -> AbstractContextManager[None]:
        """Enter a job that is expected to take `seconds`."""


def run_jobs(
    jobs: Sequence[Job],
    workspace: Workspace,
    seconds: Mapping[str, float],
    progress: JobProgress,
    deadline: Deadline | None = None,
) -> list[JobOutcome]:
    """Run the jobs one after another; those that another process is running come last.

    Each job must come after those that it needs; `seconds` gives its expected time by its key. Jobs
    that do not fit before the deadline are "left".
    """
    deadline = deadline or Deadline()
    outcomes: dict[str, JobOutcome] = {}
    waiting, postponed = deque(jobs), 0
    while waiting:
        job = waiting.popleft()
        try:
            outcomes[job.key] = _next(job, workspace, seconds, progress, outcomes, deadline)
        except store.Busy:
            waiting.append(job)
            postponed += 1
            if postponed >= len(waiting):
                time.sleep(WAIT)
                postponed = 0
            continue
        postponed = 0
    return list(outcomes.values())


def _next(
    job: Job,
    workspace: Workspace,
    seconds: Mapping[str, float],
    progress: JobProgress,
    outcomes: Mapping[str, JobOutcome],
    deadline: Deadline,
) -> JobOutcome:
    if any(key not in outcomes for key in job.needs):
        raise store.Busy("another process is running a job that it needs")
    failed = [outcomes[key] for key in job.needs if not outcomes[key].succeeded]
    if failed:
        return not_run(job, failed[0])
    if not deadline.admits(job.key):
        return left(job)
    one_piece = not isinstance(job.work, Evaluation)
    with progress.job(job.label, seconds.get(job.key, 0.0), one_piece=one_piece):
        outcome = run_job(job, workspace, progress, deadline.of(job.key))
    deadline.begin(job.key)
    return outcome


def run_job(
    job: Job, workspace: Workspace, progress: Progress, deadline: Deadline | None = None
) -> JobOutcome:
    """Run a job; any exception except `Busy` (another process is running it) makes it fail.

    At the deadline it is stopped and "left", and keeps what it has stored.
    """
    deadline = deadline or Deadline()
    begin = time.perf_counter()
    worker = f"{socket.gethostname()}:{os.getpid()}"
    reason = trace = ""
    result: Result
    warnings: tuple[str, ...] = ()
    try:
        with deadline.alarm():
            needed, warnings = _run(job.work, workspace, deadline.watch(progress))
        result = "done" if needed else "already done"
    except store.Busy:
        raise
    except OutOfTime:
        result = "left"
    except InputError as error:
        result, reason = "failed", " ".join(str(error).split())
    except Exception as error:  # a failed job must not stop the others
        result, trace = "failed", traceback.format_exc()
        reason = " ".join(f"{type(error).__name__}: {error}".split())
    seconds = time.perf_counter() - begin
    return JobOutcome(job.key, job.label, result, seconds, reason, trace, worker, warnings)


def not_run(job: Job, needed: JobOutcome) -> JobOutcome:
    """Return the outcome of a job that needs another one which failed or was left."""
    if needed.result == "left":
        return left(job)
    return JobOutcome(job.key, job.label, "not run", reason=f"it needs {needed.label!r}")


def left(job: Job) -> JobOutcome:
    """Return the outcome of a job that does not fit before the deadline."""
    return JobOutcome(job.key, job.label, "left")


def _run(
    work: Training | Evaluation, workspace: Workspace, progress: Progress
) -> tuple[bool, tuple[str, ...]]:
    """Train or evaluate; return whether there was anything to do, and the run's warnings."""
    if isinstance(work, Evaluation):
        outcome = _evaluated(work, workspace, progress)
        warnings = tuple(outcome.run.provenance.warnings or ())
        return bool(outcome.evaluated or outcome.scored), warnings
    present = is_checkpoint(workspace.checkpoints / work.name)
    keywords: Any = {
        "folder": workspace.checkpoints,
        "data_root": workspace.data_root,
        "name": work.name,
        "device": workspace.device,
        "threads": workspace.threads,
        "progress": progress,
        "trust_code": workspace.trust_code,
    }
    if isinstance(work.recipe, Recipe):
        training.train(work.recipe, **keywords)
    else:
        backbone = workspace.checkpoints / work.backbone
        object_detection.train_detector(backbone, work.recipe, **keywords)
    return not present, ()


def _evaluated(
    work: Evaluation, workspace: Workspace, progress: Progress | None = None
) -> evaluation.Outcome:
    """Evaluate a checkpoint, unless its run is already stored."""
    checkpoint, request = workspace.checkpoints / work.checkpoint, request_of(work, workspace)
    if workspace.until is not None and work.task == CLASSIFICATION:
        others = [workspace.checkpoints / name for name in workspace.compared]
        return evaluate_until(checkpoint, request, workspace.until, progress, others)
    return evaluation.evaluate_checkpoint(checkpoint, request, progress)


def request_of(work: Evaluation, workspace: Workspace) -> Any:
    """Return the request for an evaluation."""
    detects = work.task == OBJECT_DETECTION
    return evaluation.Request(
        evaluator=configured(work.evaluator, work.settings),
        study=workspace.study,
        data_root=workspace.data_root,
        dataset=work.dataset,
        limit=workspace.limit if workspace.limit is not None else work.limit,
        device=workspace.device,
        command=workspace.command,
        cache=workspace.cache,
        batch_size=EVALUATION_BATCH_SIZE if detects else evaluation.Request.batch_size,
        trust_code=workspace.trust_code,
        pictures=True,
    )


def stored_runs(study: Study, workspace: Workspace) -> Iterator[Run]:
    """Yield the run of each evaluation of a study, computed if it is missing."""
    for work in study.evaluations:
        with contextlib.suppress(InputError):
            yield _evaluated(work, workspace).run


def record_of(study: Study) -> StudyRecord:
    """Return the study's record, the content of `study.json`."""
    networks = [*study.trainings, *study.detectors]
    return StudyRecord(
        **{item.name: getattr(study, item.name) for item in fields(Description)},
        stands_for={item.name: item.stands_for for item in networks if item.stands_for},
        warnings=warnings(study),
        pairs=pairings_of(study.compare, networks),
    )


def write_failures(path: Path, outcomes: Sequence[JobOutcome]) -> None:
    """Write the reasons and tracebacks of failed jobs to a file, or delete it if there are none."""
    failed = [outcome for outcome in outcomes if outcome.failed]
    if failed:
        parts = [f"{job.label}: {job.result}: {job.reason}\n{job.trace}" for job in failed]
        store.write_text(path, "\n".join(parts))
    else:
        path.unlink(missing_ok=True)
