"""Render blocks of images in order, in this process or in several."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.data.corruption import frost
from sdd_eval.data.corruption.recipe import corrupt
from sdd_eval.data.images import ImageSet, Pixels

Block = NDArray[np.uint8]
Photographs = tuple[frost.Photograph, ...] | None


#: The arguments of `corrupt` for a block of clean images, except the photographs.
Job = dict[str, Any]
Render = Callable[[Iterable[Job]], Iterator[Block]]

#: The photographs of frost of a worker process, sent to it once.
_photographs: Photographs = None


@contextlib.contextmanager
def renderer(workers: int, photos: Photographs) -> Iterator[Render]:
    """Provide a function that renders jobs in order, in processes that exit with this one."""
    if workers <= 1:
        yield lambda jobs: (corrupt(**job, frost_photos=photos) for job in jobs)
        return
    # Spawned, because forking a process in which torch runs threads may deadlock.
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), _start_worker, (photos,)
    )
    try:
        yield lambda jobs: _in_order(pool, jobs, 2 * workers)
    finally:
        pool.shutdown(cancel_futures=True)


def _in_order(pool: ProcessPoolExecutor, jobs: Iterable[Job], ahead: int) -> Iterator[Block]:
    """Submit up to `ahead` jobs in advance and yield their blocks in order."""
    pending: deque[Future[Block]] = deque()
    for job in jobs:
        pending.append(pool.submit(_in_worker, job))
        if len(pending) > ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _in_worker(job: Job) -> Block:
    return corrupt(**job, frost_photos=_photographs)


def _start_worker(photos: Photographs) -> None:
    """Store the photographs, leave Ctrl-C to the parent, and exit with it."""
    global _photographs
    _photographs = photos
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    """Exit when the parent process ends or is killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def blocks(images: ImageSet, size: int, rows: NDArray[np.int64]) -> Iterator[Pixels]:
    """Yield the images at `rows` in order, uint8 (≤ size, side, side, channels)."""
    for batch in images.batches(size, rows):
        yield np.ascontiguousarray(batch.numpy().transpose(0, 2, 3, 1))
