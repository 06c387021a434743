"""Progress on standard error: a bar on a terminal, elsewhere a line from time to time."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tqdm import tqdm

if TYPE_CHECKING:
    from typing_extensions import Never, Self

#: Seconds between two lines if standard error is not a terminal.
LINE_INTERVAL = 30.0


class Bar(contextlib.AbstractContextManager["Bar"]):
    """A bar for one task after the other, timed from the first advance on; the context closes it.

    That first advance may include what an earlier process has done. If standard error is not a
    terminal, a thread prints a line from time to time, whether or not anything advances.
    """

    def __init__(self, prefix: str = "", unit: str = "") -> None:
        """Set the prefix of every label, and what is counted, e.g. images."""
        self._prefix, self._unit = prefix, unit
        self._label, self._done, self._total, self._note = "", 0, 0, ""
        self._begin = time.monotonic()
        self._first: tuple[float, int] | None = None
        self._terminal, self._closed = sys.stderr.isatty(), threading.Event()
        self._bar: tqdm[Never] | None = None

    def __enter__(self) -> Self:
        """Begin to print lines if there is no terminal."""
        if not self._terminal:
            threading.Thread(target=self._print_lines, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Remove the bar from the screen, or stop the lines."""
        self._closed.set()
        self._close()

    def start(self, label: str, total: int) -> None:
        """Begin a task of `total` units."""
        self._label, self._done, self._total, self._note = label, 0, total, ""
        self._first = None
        self._open()

    def advance(self, units: int = 1, note: str = "") -> None:
        """Count further units."""
        self._done += units
        self._note = note
        if self._first is None:
            self._first = time.monotonic(), self._done
            self._open()
        else:
            self._update(units)

    def line(self) -> str:
        """Return the task with its position, speed and remaining time in words."""
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
            leave=False,
            dynamic_ncols=True,
            disable=not self._terminal,
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
    """One bar over many jobs: the running job, its progress, and the remaining time of all."""

    def __init__(self, seconds: float, jobs: int) -> None:
        """Set the expected time of all jobs, in which the bar is scaled, and their number."""
        super().__init__()
        self._jobs, self._ended, self._reached = jobs, 0, 0.0
        self._job_start, self._job_seconds = 0.0, 0.0
        self._describe("")
        self._bar = tqdm(
            total=seconds,
            bar_format="{percentage:3.0f}% |{bar:20}| {elapsed}, {remaining} left  {desc}",
            dynamic_ncols=True,
            leave=False,
            disable=not self._terminal,
        )

    @contextlib.contextmanager
    def job(self, label: str, seconds: float, one_piece: bool = False) -> Iterator[None]:
        """Enter a job with its expected time; one of a single task moves the bar as it runs."""
        self._begin = time.monotonic()
        self._job_start, self._job_seconds = self._reached, seconds if one_piece else 0.0
        self._describe(label)
        yield
        self._end(label, self._job_start + seconds, time.monotonic() - self._begin)

    def over(self, label: str, seconds: float, took: float) -> None:
        """Count a job that ran elsewhere, with its expected and its actual time."""
        self._end(label, self._reached + seconds, took)

    def _end(self, label: str, reached: float, took: float) -> None:
        self._ended += 1
        self._move(reached)
        if not self._terminal:
            line = f"[{self._ended}/{self._jobs}] {label}: {took:.1f} s"
            print(line, file=sys.stderr, flush=True)
        self._describe("")

    def _describe(self, job: str) -> None:
        """Begin a job, or wait for one that runs elsewhere."""
        number = f"[{min(self._ended + 1, self._jobs)}/{self._jobs}]"
        self._prefix, self._label = f"{number} {job}{' · ' if job else ''}", ""
        self._open()

    def _open(self) -> None:
        if self._bar is not None:
            share, text = self._done / max(1, self._total), self._prefix
            if self._label:
                text += f"{self._label} {100 * share:.0f} % {self._note}"
                self._move(self._job_start + share * self._job_seconds)
            self._bar.set_description_str(text, refresh=False)
            self._bar.update(0)

    def _update(self, units: int) -> None:
        self._open()

    def _move(self, seconds: float) -> None:
        assert self._bar is not None
        self._bar.update(seconds - self._reached)
        self._reached = seconds
