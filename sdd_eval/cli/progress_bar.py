"""Progress on standard error: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING

from tqdm import tqdm

if TYPE_CHECKING:
    from typing_extensions import Never

#: Seconds between two lines where standard error is not a terminal.
LINE_EVERY = 30.0


class Bar:
    """A bar that starts again for each piece of work. A context: leaving it closes the bar.

    It shows how much a second is done and the time that is left, both counted from the first
    advance on: what an earlier run has done is told then, and is nobody's speed.
    """

    def __init__(self, prefix: str = "", unit: str = "") -> None:
        """The prefix stands before every label; the unit is what is counted, e.g. images."""
        self._prefix, self._unit = prefix, unit
        self._bar: tqdm[Never] | None = None
        self._label, self._done, self._total = "", 0, 0
        self._told = time.monotonic()
        self._first: tuple[float, int] | None = None

    def __enter__(self) -> Bar:
        """The bar itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the bar."""
        self.close()

    def start(self, label: str, total: int) -> None:
        """A new piece of work of `total` units begins."""
        self._label, self._done, self._total = f"{self._prefix}{label}", 0, total
        self._first = None
        self._open()

    def advance(self, units: int = 1, note: str = "") -> None:
        """So many more units are done."""
        self._done += units
        if self._first is None:
            self._first = time.monotonic(), self._done
            self._open()
        elif self._bar is not None:
            if note:
                self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(units)
        if not sys.stderr.isatty() and time.monotonic() - self._told > LINE_EVERY:
            self._told = time.monotonic()
            print(self._line(note), file=sys.stderr, flush=True)

    def close(self) -> None:
        """Take the bar off the screen."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _open(self) -> None:
        """A bar from what is done already on."""
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
        """How far it is, how fast, and how long it will take."""
        line = f"{self._label}: {self._done:,} of {self._total:,}"
        if self._first is not None and self._done > self._first[1]:
            seconds = max(time.monotonic() - self._first[0], 1e-6)
            rate = (self._done - self._first[1]) / seconds
            left = tqdm.format_interval((self._total - self._done) / rate)
            line += f", {rate:,.1f} {self._unit}".rstrip() + f"/s, {left} left"
        return f"{line} {note}".rstrip()


class Overall:
    """One bar over many jobs: what is running, how far that is, how much of the whole is left."""

    def __init__(self, seconds: float, jobs: int) -> None:
        """The bar measures expected seconds, since jobs differ in length."""
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

    def __enter__(self) -> Overall:
        """The bar itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the bar."""
        self._bar.close()

    @contextlib.contextmanager
    def job(self, label: str, seconds: float, one_piece: bool = False) -> Iterator[None]:
        """One of the jobs, expected to take so long; of one piece, its share shows as it goes."""
        begun = time.perf_counter()
        self._label, self._start = label, self._reached
        self._seconds = seconds if one_piece else 0.0
        self._describe("")
        yield
        self._ended(label, self._start + seconds, time.perf_counter() - begun)

    def over(self, label: str, seconds: float, took: float) -> None:
        """A job that ran elsewhere is over; it was expected to take so long and took `took`."""
        self._ended(label, self._reached + seconds, took)

    def _ended(self, label: str, reached: float, took: float) -> None:
        """One more job is over."""
        self._done += 1
        self._reach(reached)
        if not self._shown:
            print(f"[{self._done}/{self._jobs}] {label}: {took:.1f} s", file=sys.stderr, flush=True)

    def start(self, label: str, total: int) -> None:
        """A new piece of the running job begins."""
        self._part, self._units, self._total = label, 0, total
        self._describe(label)

    def advance(self, units: int = 1, note: str = "") -> None:
        """So many more units of the piece are done."""
        self._units += units
        share = self._units / max(1, self._total)
        self._reach(self._start + share * self._seconds)
        self._describe(f"{self._part} {100 * share:.0f} % {note}")

    def _reach(self, seconds: float) -> None:
        """Move the bar to so many of the expected seconds."""
        self._bar.update(seconds - self._reached)
        self._reached = seconds

    def _describe(self, part: str) -> None:
        text = f"[{self._done + 1}/{self._jobs}] {self._label}"
        self._bar.set_description_str(f"{text} · {part}" if part else text, refresh=False)
        self._bar.update(0)
