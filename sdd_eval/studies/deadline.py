"""A time limit for the jobs of a study: work that does not fit is left for the next command."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import NoReturn

from sdd_eval.progress import Progress


class OutOfTime(BaseException):
    """The deadline arrives before the work ends; results saved so far are kept.

    Like `KeyboardInterrupt`, it is not an `Exception`, so that it is not taken for a failure.
    """


#: Seconds beyond which no alarm is set, because system timers are limited.
_FAR = 1e8


class Deadline:
    """The time by which jobs must end.

    Args:
        seconds: time from now on.
        least: seconds of each job's shortest part that is kept, by the job's key; 0 for jobs not in
            it.
        clock: returns the current time in seconds.
        outer: the deadline of the whole command, if it is later.
    """

    def __init__(
        self,
        seconds: float = math.inf,
        least: Mapping[str, float] = MappingProxyType({}),
        clock: Callable[[], float] = time.monotonic,
        outer: Deadline | None = None,
    ) -> None:
        self._least, self._clock, self._outer = least, clock, outer
        self._end = clock() + seconds
        self._begun = False

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return self._end - self._clock()

    def before(self, seconds: float, least: Mapping[str, float] = MappingProxyType({})) -> Deadline:
        """Return a deadline for jobs that must end `seconds` earlier."""
        return Deadline(self.left - seconds, least, self._clock, self)

    def of(self, key: str) -> Deadline:
        """Return the deadline of a job; one with nothing to do may end as late as the command."""
        return self if self._least.get(key) else self._outer or self

    def admits(self, key: str) -> bool:
        """Whether a job may begin: its shortest part fits, or it is the first with work to do.

        The first job begins whatever its estimate, so that each command makes progress.
        """
        least = self._least.get(key, 0.0)
        return not least or (self.left > 0 and (not self._begun or least <= self.left))

    def begin(self, key: str) -> None:
        """Record that a job begins."""
        self._begun = self._begun or self._least.get(key, 0.0) > 0

    def watch(self, progress: Progress) -> Progress:
        """Wrap progress so that it also raises `OutOfTime`.

        A training run ends after the last epoch that fits, other work at the deadline.
        """
        return _WatchedProgress(progress, self)

    @contextlib.contextmanager
    def alarm(self) -> Iterator[None]:
        """Raise `OutOfTime` at the deadline, also in work without progress.

        It is raised like `KeyboardInterrupt`: a running tensor operation ends first. An error that
        it causes on its way, for example where a library restores its state, becomes `OutOfTime`,
        too. Outside the main thread, and on systems without alarms, such as Windows, only watched
        progress ends the work.
        """
        main = threading.current_thread() is threading.main_thread()
        if self.left > _FAR or not main or not hasattr(signal, "setitimer"):
            yield
            return
        before = signal.signal(signal.SIGALRM, _raise_out_of_time)
        signal.setitimer(signal.ITIMER_REAL, max(self.left, 1e-6))
        try:
            yield
        except Exception as error:
            if _follows_from_deadline(error):
                raise OutOfTime from error
            raise
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


def _follows_from_deadline(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, OutOfTime):
        error = error.__context__
    return error is not None


def _raise_out_of_time(*_: object) -> NoReturn:
    raise OutOfTime


class _WatchedProgress:
    """Progress of work that must end before a deadline."""

    def __init__(self, progress: Progress, deadline: Deadline) -> None:
        self._progress, self._deadline = progress, deadline
        self._todo, self._saved = 0, deadline.left

    def start(self, label: str, total: int) -> None:
        """Begin a piece of work."""
        self._progress.start(label, total)
        self._todo, self._saved = total, self._deadline.left

    def advance(self, units: int = 1, note: str = "") -> None:
        """Count units; no units with a note mean that an epoch has ended and its state is saved."""
        self._progress.advance(units, note)
        self._todo -= units
        left, next_epoch = self._deadline.left, 0.0
        if note and not units and self._todo > 0:
            next_epoch, self._saved = self._saved - left, left
        if left <= next_epoch:
            raise OutOfTime
