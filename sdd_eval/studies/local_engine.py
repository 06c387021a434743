"""The engine of this process: one job after the other."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from sdd_eval import store
from sdd_eval.progress import Progress
from sdd_eval.studies.jobs import Job, Places
from sdd_eval.studies.run import Outcome, not_run, perform

#: Seconds between two looks at jobs that other processes are doing.
WAIT = 2.0


class Board(Progress, Protocol):
    """Who is told of all jobs: how far the running one is, and which are over."""

    def job(
        self, label: str, seconds: float, one_piece: bool = False
    ) -> AbstractContextManager[None]:
        """A job runs that is expected to take so long."""


def run_here(
    jobs: Sequence[Job],
    places: Places,
    seconds: Mapping[str, float],
    board: Board,
    ended: Callable[[Outcome], object] = lambda outcome: None,
) -> list[Outcome]:
    """Do the jobs in order; those that another process is at come again when the others are done.

    `seconds` are those that each job is expected to take, by its key; `ended` hears each outcome.
    """
    outcomes: dict[str, Outcome] = {}
    waiting, put_off = deque(jobs), 0
    while waiting:
        job = waiting.popleft()
        failed = [outcomes[key] for key in job.needs if key in outcomes and not outcomes[key].good]
        missing = [key for key in job.needs if key not in outcomes]
        try:
            if missing:
                raise store.Busy("what it needs is being made elsewhere")
            expected = seconds.get(job.key, 0.0)
            if failed:
                outcomes[job.key] = not_run(job, failed[0])
            else:
                with board.job(job.label, expected, one_piece=job.key.startswith("train ")):
                    outcomes[job.key] = perform(job, places, board)
        except store.Busy:
            waiting.append(job)
            put_off += 1
            if put_off >= len(waiting):
                time.sleep(WAIT)
                put_off = 0
            continue
        put_off = 0
        ended(outcomes[job.key])
    return list(outcomes.values())
