"""Run jobs in several processes on this machine, each job as it would run alone.

This process hands out the jobs, one at a time to each worker, and displays their progress. File
locks keep workers and other commands from doing the same work twice.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import multiprocessing.connection
import signal
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Protocol

from sdd_eval import store
from sdd_eval.device import prepare_device
from sdd_eval.progress import Progress
from sdd_eval.studies.deadline import Deadline
from sdd_eval.studies.jobs import Job, Workspace
from sdd_eval.studies.run import WAIT, JobOutcome, left, not_run, run_job
from sdd_eval.studies.study import Evaluation

#: The logger of the package; this process logs the records of its workers.
LOGGER = logging.getLogger("sdd_eval")
#: Seconds between two messages of a worker about its progress.
INTERVAL = 0.2
#: Seconds that an interrupted worker has to finish writing its files.
PATIENCE = 60.0


class JobDisplay(Progress, Protocol):
    """The display of one of several running jobs."""

    def end(self, took: float | None) -> None:
        """Mark the job as ended after `took` seconds; None if it did not run."""


class ConcurrentProgress(Protocol):
    """A listener to the progress of concurrent jobs."""

    def begin(self, label: str, seconds: float, one_piece: bool = False) -> JobDisplay:
        """Begin a job that is expected to take `seconds`."""


def run_concurrently(
    jobs: Sequence[Job],
    workspace: Workspace,
    seconds: Mapping[str, float],
    progress: ConcurrentProgress,
    count: int,
    deadline: Deadline | None = None,
) -> list[JobOutcome]:
    """Run the jobs in `count` processes; a job starts when those that it needs have ended.

    Each job must come after those that it needs; `seconds` gives its expected time by its key. If a
    process is killed, its job has failed, and a new process takes its place. Jobs that do not fit
    before the deadline are "left". However this function ends, it ends the processes: their
    training runs keep the last finished epoch.
    """
    deadline = deadline or Deadline()
    queue = _Queue(list(jobs), deadline)
    workers = [_Worker(workspace) for _ in range(min(count, len(jobs)))]
    try:
        while not queue.ended:
            for worker in workers:
                if worker.job is None and (job := queue.next()):
                    one_piece = not isinstance(job.work, Evaluation)
                    display = progress.begin(job.label, seconds.get(job.key, 0.0), one_piece)
                    worker.begin(job, display, deadline.of(job.key).left)
            busy = {worker.connection: worker for worker in workers if worker.job is not None}
            for connection in multiprocessing.connection.wait(list(busy), timeout=WAIT):
                _receive(busy[connection], queue)  # type: ignore[index]
    finally:
        _stop(workers)
    return [queue.outcomes[job.key] for job in jobs]


@dataclass
class _Queue:
    """The jobs that have not begun, in order, and the outcomes of those that have ended."""

    waiting: list[Job]
    deadline: Deadline = field(default_factory=Deadline)
    outcomes: dict[str, JobOutcome] = field(default_factory=dict)
    postponed: dict[str, float] = field(default_factory=dict)
    """The time at which a job that another command is running is tried again."""
    running: int = 0

    @property
    def ended(self) -> bool:
        """Whether all jobs have ended; jobs that need a failed one or do not fit are not run."""
        for job in list(self.waiting):
            needed = [self.outcomes[key] for key in job.needs if key in self.outcomes]
            failed = [outcome for outcome in needed if not outcome.succeeded]
            if failed:
                self.waiting.remove(job)
                self.outcomes[job.key] = not_run(job, failed[0])
            elif len(needed) == len(job.needs) and not self.deadline.admits(job.key):
                self.waiting.remove(job)
                self.outcomes[job.key] = left(job)
        return not self.waiting and not self.running

    def next(self) -> Job | None:
        """Return the first job that can begin, if any."""
        now = time.monotonic()
        for job in self.waiting:
            ready = all(key in self.outcomes for key in job.needs)
            postponed = self.postponed.get(job.key, now) > now
            if ready and not postponed and self.deadline.admits(job.key):
                self.deadline.begin(job.key)
                self.waiting.remove(job)
                self.running += 1
                return job
        return None

    def end(self, job: Job, outcome: JobOutcome | None) -> None:
        """Store the outcome of a job; None if another command is running it."""
        self.running -= 1
        if outcome is None:
            self.postponed[job.key] = time.monotonic() + WAIT
            self.waiting.append(job)
        else:
            self.outcomes[job.key] = outcome


class _Worker:
    """A process that runs one job after another, and the display of the current one."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.job: Job | None = None
        self.display: JobDisplay
        self.begun = 0.0
        self.connection: Connection
        self.process: BaseProcess
        self._start()

    def _start(self) -> None:
        self.connection, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        with _without_interrupts():  # inherited by the process: only this one stops it
            self.process = context.Process(
                target=_serve, args=(theirs, self.workspace, LOGGER.level)
            )
            self.process.start()
        theirs.close()  # so that the end of the process ends the connection

    def begin(self, job: Job, display: JobDisplay, seconds: float) -> None:
        """Run a job for at most `seconds`, in a new process if the last one was killed.

        The time counts from now on, also while a new process starts.
        """
        if self.connection.closed:
            self._start()
        self.job, self.display, self.begun = job, display, time.monotonic()
        with contextlib.suppress(BrokenPipeError):  # noticed when it is received from
            self.connection.send((job, time.time() + seconds))

    def killed(self, job: Job) -> JobOutcome:
        """Return the outcome of a job whose process ended without one."""
        self.connection.close()
        self.process.join()
        code = self.process.exitcode or 0
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        reason = f"its process was {how}, perhaps for lack of memory"
        return JobOutcome(job.key, job.label, "failed", time.monotonic() - self.begun, reason)


def _receive(worker: _Worker, queue: _Queue) -> None:
    """Display or store a message from a worker."""
    assert worker.job is not None
    try:
        kind, *values = worker.connection.recv()
    except (EOFError, ConnectionResetError):
        kind, values = "outcome", [worker.killed(worker.job)]
    if kind == "outcome":
        (outcome,) = values
        queue.end(worker.job, outcome)
        worker.display.end(outcome and outcome.seconds)
        worker.job = None
    elif kind == "warning":
        warnings.warn(values[0], stacklevel=2)
    elif kind == "log":
        LOGGER.log(*values)
    else:
        getattr(worker.display, kind)(*values)


def _stop(workers: Sequence[_Worker]) -> None:
    """End all processes; those running a job are interrupted and finish writing its files."""
    with _without_interrupts():
        for worker in workers:
            worker.process.terminate()
        deadline = time.monotonic() + PATIENCE
        for worker in workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            worker.process.kill()
            worker.process.join()
            worker.connection.close()


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Ignore the terminal's interrupt, which all of its processes receive."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _serve(connection: Connection, workspace: Workspace, level: int) -> None:
    """Run received jobs until the connection or the process ends."""
    LOGGER.setLevel(level)
    LOGGER.addHandler(_SentRecords(connection))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt, EOFError, BrokenPipeError, ConnectionResetError):
        warnings.showwarning = lambda message, category, *_: connection.send(("warning", message))
        prepare_device(workspace.device, workspace.threads)
        while True:
            job, end = connection.recv()
            deadline = Deadline(end - time.time())
            try:
                outcome = run_job(job, workspace, _SentProgress(connection), deadline)
            except store.Busy:
                outcome = None
            connection.send(("outcome", outcome))


class _SentRecords(logging.Handler):
    """Sends the package's log records to the process that displays them."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection

    def emit(self, record: logging.LogRecord) -> None:
        """Send the text of a record."""
        self._connection.send(("log", record.levelno, "%s", record.getMessage()))


class _SentProgress:
    """Progress that is sent at intervals to the process that displays it."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._units, self._sent = connection, 0, 0.0

    def start(self, label: str, total: int) -> None:
        """Send the beginning of a piece of work."""
        self._units = 0
        self._connection.send(("start", label, total))

    def advance(self, units: int = 1, note: str = "") -> None:
        """Send finished units, together with those since the last message."""
        self._units += units
        now = time.monotonic()
        if note or now - self._sent >= INTERVAL:
            self._connection.send(("advance", self._units, note))
            self._units, self._sent = 0, now
