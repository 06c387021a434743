"""Progress on standard error: a bar on a terminal, elsewhere a line from time to time."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tqdm import tqdm

if TYPE_CHECKING:
    from typing_extensions import Never

#: Seconds between two lines if standard error is not a terminal.
LINE_INTERVAL = 30.0


class Bar(contextlib.AbstractContextManager["Bar"]):
    """A bar for one task after the other, timed from the first advance on; the context closes it.

    That first advance may include what an earlier process has done.
    """

    def __init__(self, prefix: str = "", unit: str = "") -> None:
        """Set the prefix of every label, and what is counted, e.g. images."""
        self._prefix, self._unit = prefix, unit
        self._bar: tqdm[Never] | None = None
        self._label, self._done, self._total = "", 0, 0
        self._last_line = time.monotonic()
        self._first: tuple[float, int] | None = None

    def __exit__(self, *exception: object) -> None:
        self.close()

    def start(self, label: str, total: int) -> None:
        """Begin a task of `total` units."""
        self._label, self._done, self._total = f"{self._prefix}{label}", 0, total
        self._first = None
        self._open()

    def advance(self, units: int = 1, note: str = "") -> None:
        """Count further units."""
        self._done += units
        if self._first is None:
            self._first = time.monotonic(), self._done
            self._open()
        elif self._bar is not None:
            if note:
                self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(units)
        if not sys.stderr.isatty() and time.monotonic() - self._last_line > LINE_INTERVAL:
            self._last_line = time.monotonic()
            print(self._line(note), file=sys.stderr, flush=True)

    def close(self) -> None:
        """Remove the bar from the screen."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _open(self) -> None:
        self.close()
        self._bar = tqdm(
            total=self._total,
            initial=self._done,
            desc=self._label,
            unit=f" {self._unit}" if self._unit else "",
            unit_scale=True,
            leave=False,
            dynamic_ncols=True,
            disable=not sys.stderr.isatty(),
        )

    def _line(self, note: str) -> str:
        line = f"{self._label}: {self._done:,} of {self._total:,}"
        start, before = self._first or (0.0, self._done)
        if self._done > before:
            rate = (self._done - before) / max(time.monotonic() - start, 1e-6)
            left = tqdm.format_interval((self._total - self._done) / rate)
            line += f", {rate:,.1f} {self._unit}".rstrip() + f"/s, {left} left"
        return f"{line} {note}".rstrip()


class Overall(contextlib.AbstractContextManager["Overall"]):
    """One bar over many jobs: the running job, its progress, and the remaining time of all."""

    def __init__(self, seconds: float, jobs: int) -> None:
        """Set the expected time of all jobs, in which the bar is scaled, and their number."""
        self._jobs, self._done, self._shown = jobs, 0, sys.stderr.isatty()
        self._label, self._part, self._units, self._total = "", "", 0, 0
        self._start, self._reached, self._seconds = 0.0, 0.0, 0.0
        self._bar: tqdm[Never] = tqdm(
            total=seconds,
            bar_format="{percentage:3.0f}% |{bar:20}| {elapsed}, {remaining} left  {desc}",
            dynamic_ncols=True,
            leave=False,
            disable=not self._shown,
        )

    def __exit__(self, *exception: object) -> None:
        self._bar.close()

    @contextlib.contextmanager
    def job(self, label: str, seconds: float, one_piece: bool = False) -> Iterator[None]:
        """Enter a job with its expected time; one of a single task moves the bar as it runs."""
        begin = time.perf_counter()
        self._label, self._start = label, self._reached
        self._seconds = seconds if one_piece else 0.0
        self._describe("")
        yield
        self._end(label, self._start + seconds, time.perf_counter() - begin)

    def over(self, label: str, seconds: float, took: float) -> None:
        """Count a job that ran elsewhere, with its expected and its actual time."""
        self._end(label, self._reached + seconds, took)

    def _end(self, label: str, reached: float, took: float) -> None:
        self._done += 1
        self._move(reached)
        if not self._shown:
            print(f"[{self._done}/{self._jobs}] {label}: {took:.1f} s", file=sys.stderr, flush=True)

    def start(self, label: str, total: int) -> None:
        """Begin a task of the running job."""
        self._part, self._units, self._total = label, 0, total
        self._describe(label)

    def advance(self, units: int = 1, note: str = "") -> None:
        """Count further units of the task."""
        self._units += units
        share = self._units / max(1, self._total)
        self._move(self._start + share * self._seconds)
        self._describe(f"{self._part} {100 * share:.0f} % {note}")

    def _move(self, seconds: float) -> None:
        self._bar.update(seconds - self._reached)
        self._reached = seconds

    def _describe(self, part: str) -> None:
        text = f"[{self._done + 1}/{self._jobs}] {self._label}"
        self._bar.set_description_str(f"{text} · {part}" if part else text, refresh=False)
        self._bar.update(0)
