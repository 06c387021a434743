"""Progress on standard error: a bar on a terminal, otherwise a line from time to time."""

from __future__ import annotations

import contextlib
import itertools
import logging
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tqdm import tqdm

from sdd_eval.cli.verbosity import LOGGER, is_quiet

if TYPE_CHECKING:
    from typing_extensions import Never, Self

#: Seconds between lines if standard error is not a terminal.
LINE_INTERVAL = 30.0
#: Seconds between redraws of a bar.
DRAW_INTERVAL = 0.1
#: Maximum fraction of its expected time that a job is shown to have completed before it ends.
MOST = 0.95
#: Seconds assumed to have gone as expected, so that the first measurements have little weight.
EXPECTED = 10.0


class LogHandler(logging.Handler):
    """Prints records on standard error, above a bar."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        tqdm.write(self.format(record), file=sys.stderr)


class Bar(contextlib.AbstractContextManager["Bar"]):
    """A bar for consecutive tasks, timed from the first advance; leaving the context closes it.

    The first advance may include work done by an earlier process. If standard error is not a
    terminal, a thread prints a line from time to time, whether or not anything advances.
    """

    def __init__(self, prefix: str = "", unit: str = "", row: int | None = None) -> None:
        """Set the prefix of every label, the counted unit, e.g. images, and the terminal row."""
        self._prefix, self._unit, self._row = prefix, unit, row
        self._label, self._done, self._total, self._note = "", 0, 0, ""
        self._begin = self._task_begin = time.monotonic()
        self._first: tuple[float, int] | None = None
        self._quiet, self._terminal = is_quiet(), sys.stderr.isatty()
        self._closed = threading.Event()
        self._bar: tqdm[Never] | None = None

    def __enter__(self) -> Self:
        """Start printing lines if there is no terminal."""
        if not (self._terminal or self._quiet):
            threading.Thread(target=self._print_lines, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Remove the bar from the screen, or stop the lines."""
        self._closed.set()
        self._end_task()
        self._close()

    def start(self, label: str, total: int) -> None:
        """Start a task of `total` units."""
        self._end_task()
        self._label, self._done, self._total, self._note = label, 0, total, ""
        self._first = None
        self._open()

    def advance(self, units: int = 1, note: str = "") -> None:
        """Count additional units."""
        self._done += units
        self._note = note
        if self._first is None:
            self._first = time.monotonic(), self._done
            self._open()
        else:
            self._update(units)

    def line(self) -> str:
        """Describe the task with its position, speed and remaining time."""
        now = time.monotonic()
        if not self._label:
            return f"{self._prefix}running for {tqdm.format_interval(now - self._begin)}"
        line = f"{self._prefix}{self._label}: {self._done:,} of {self._total:,}"
        start, before = self._first or (now, self._done)
        if self._done > before:
            rate = (self._done - before) / max(now - start, 1e-6)
            left = tqdm.format_interval((self._total - self._done) / rate)
            line += f", {rate:,.1f} {self._unit}".rstrip() + f"/s, {left} left"
        return f"{line} {self._note}".rstrip()

    def _end_task(self) -> None:
        """Log how long the current task took, if there is one."""
        now = time.monotonic()
        if self._label:
            LOGGER.info("%s%s: %.1f s", self._prefix, self._label, now - self._task_begin)
        self._label, self._task_begin = "", now

    def _print_lines(self) -> None:
        while not self._closed.wait(LINE_INTERVAL):
            with contextlib.suppress(OSError, ValueError):  # standard error is closed
                print(self.line(), file=sys.stderr, flush=True)

    def _open(self) -> None:
        self._close()
        self._bar = tqdm(
            total=self._total,
            initial=self._done,
            desc=f"{self._prefix}{self._label}",
            unit=f" {self._unit}" if self._unit else "",
            unit_scale=True,
            position=self._row,
            leave=False,
            dynamic_ncols=True,
            disable=self._quiet or not self._terminal,
        )

    def _update(self, units: int) -> None:
        assert self._bar is not None
        if self._note:
            self._bar.set_postfix_str(self._note, refresh=False)
        self._bar.update(units)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class Overall(Bar):
    """One bar for many jobs: the running job, its progress, and the total remaining time."""

    def __init__(self, seconds: float, jobs: int) -> None:
        """Set the expected total time, which scales the bar, and the number of jobs."""
        super().__init__()
        self._seconds, self._start = seconds, self._begin
        self._jobs, self._ended, self._reached = jobs, 0, 0.0
        self._job_start, self._job_seconds, self._one_piece = 0.0, 0.0, False
        self._drawn = -DRAW_INTERVAL
        self._running: dict[int, RunningJob] = {}
        self._describe("")
        self._bar = tqdm(
            desc=f"{self._left(self._start)} left",
            total=seconds,
            bar_format="{percentage:3.0f}% |{bar:10}| {elapsed}, {desc}",
            dynamic_ncols=True,
            leave=False,
            disable=self._quiet or not self._terminal,
        )

    @contextlib.contextmanager
    def job(self, label: str, seconds: float, one_piece: bool = False) -> Iterator[None]:
        """Enter a job; the bar moves by its expected time, or by its only task."""
        self._begin = time.monotonic()
        self._job_start, self._job_seconds, self._one_piece = self._reached, seconds, one_piece
        self._describe(label)
        yield
        self._end(label, self._job_start + seconds, time.monotonic() - self._begin)

    def begin(self, label: str, seconds: float, one_piece: bool = False) -> RunningJob:
        """Start one of several concurrent jobs on its own row."""
        row = next(row for row in itertools.count(1) if row not in self._running)
        self._running[row] = RunningJob(self, label, seconds, one_piece, row)
        self._open()
        return self._running[row]

    def line(self) -> str:
        """Return the line of the job, or of each job if several run concurrently."""
        lines = [job.line() for job in self._running.values()]
        return "\n".join(f"{self._prefix}{line}" for line in lines) or super().line()

    def __exit__(self, *exception: object) -> None:
        """Remove all bars from the screen."""
        for job in self._running.values():
            job.__exit__()
        super().__exit__(*exception)

    def ended(self, job: RunningJob, took: float | None) -> None:
        """Remove one of several jobs from the screen, and count it as finished if it ran."""
        self._running = {row: other for row, other in self._running.items() if other is not job}
        job.__exit__()
        if took is not None:
            self._end(job.name, self._reached + job.left, took)

    def moved(self, seconds: float) -> None:
        """Count part of the expected time of one of several jobs as done."""
        self._move(self._reached + seconds)

    def over(self, label: str, seconds: float, took: float) -> None:
        """Count a job that ran elsewhere, with its expected and its actual time."""
        self._end(label, self._reached + seconds, took)

    def _end(self, label: str, reached: float, took: float) -> None:
        self._end_task()
        self._ended, self._job_seconds = self._ended + 1, 0.0
        self._move(reached)
        line = f"[{self._ended}/{self._jobs}] {label}: {took:.1f} s"
        if self._terminal or self._quiet:
            LOGGER.info(line)
        else:
            print(line, file=sys.stderr, flush=True)
        self._describe("")

    def _describe(self, job: str) -> None:
        """Start a job, or wait for one that runs elsewhere."""
        number = f"[{min(self._ended + 1, self._jobs)}/{self._jobs}]"
        self._prefix, self._label = f"{number} {job}{' · ' if job else ''}", ""
        self._drawn = -DRAW_INTERVAL
        self._open()

    def _open(self) -> None:
        if self._bar is None:
            return
        now, task, text = time.monotonic(), self._done / max(1, self._total), self._prefix
        if self._label:
            text += f"{self._label} {100 * task:.0f} % {self._note}"
        if self._job_seconds:
            share = task if self._one_piece else (now - self._begin) / self._job_seconds
            self._move(self._job_start + min(share, MOST) * self._job_seconds)
        self._bar.set_description_str(f"{self._left(now)} left  {text}", refresh=False)
        if now - self._drawn >= DRAW_INTERVAL:
            self._bar.refresh()
            self._drawn = now

    def _left(self, now: float) -> str:
        """Return the expected remaining time, scaled by how long the completed part has taken."""
        scale = (now - self._start + EXPECTED) / (self._reached + EXPECTED)
        return str(tqdm.format_interval(max(0.0, self._seconds - self._reached) * scale))

    def _update(self, units: int) -> None:
        self._open()

    def _move(self, seconds: float) -> None:
        """Move the bar to a position, never backwards."""
        assert self._bar is not None
        self._bar.update(max(0.0, seconds - self._reached))
        self._reached = max(self._reached, seconds)


class RunningJob(Bar):
    """The bar of one of several concurrent jobs."""

    def __init__(
        self, overall: Overall, name: str, seconds: float, one_piece: bool, row: int
    ) -> None:
        """Set the bar of all jobs, the job and its expected time, and its row."""
        super().__init__(f"{name} · ", row=row)
        self.name, self.left = name, seconds
        self._overall, self._seconds = overall, seconds if one_piece else 0.0

    def advance(self, units: int = 1, note: str = "") -> None:
        """Count additional units; a job with a single task also moves the bar of all jobs."""
        super().advance(units, note)
        done = min(self._seconds * units / max(1, self._total), self.left)
        self.left -= done
        self._overall.moved(done)

    def end(self, took: float | None) -> None:
        """Count the job as finished after this many seconds; None if it did not run."""
        self._overall.ended(self, took)
