"""Blocks of images rendered one after the other, here or by several processes, in order."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sdd_eval.data.corruption import frost
from sdd_eval.data.corruption.recipe import corrupt
from sdd_eval.data.images import ImageSet, Pixels

Block = NDArray[np.uint8]
Photographs = tuple[frost.Photograph, ...] | None


@dataclass(frozen=True)
class Job:
    """A block of clean images (n, side, side, channels), and what is to be done to it."""

    pixels: Block
    corruption: str
    severity: int
    seed: int
    indices: NDArray[np.int64]


Render = Callable[[Iterable[Job]], Iterator[Block]]

#: A process's photographs of frost, sent to it once.
_photographs: Photographs = None


@contextlib.contextmanager
def renderer(workers: int, photos: Photographs) -> Iterator[Render]:
    """A function from jobs to rendered blocks, in the jobs' order.

    With more than one worker, processes render; they end with this one, however it ends.
    """
    if workers <= 1:
        yield lambda jobs: (_corrupt(job, photos) for job in jobs)
        return
    # Spawned, not forked: a fork of a process in which torch has threads may hang.
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), _start_worker, (photos,)
    )
    try:
        yield lambda jobs: _in_order(pool, jobs, 2 * workers)
    finally:
        pool.shutdown(cancel_futures=True)


def _corrupt(job: Job, photos: Photographs) -> Block:
    return corrupt(
        job.pixels,
        job.corruption,
        job.severity,
        seed=job.seed,
        indices=job.indices,
        frost_photos=photos,
    )


def _in_order(pool: ProcessPoolExecutor, jobs: Iterable[Job], ahead: int) -> Iterator[Block]:
    """Submit jobs so far ahead, and give back their blocks in order."""
    waiting: deque[Future[Block]] = deque()
    for job in jobs:
        waiting.append(pool.submit(_in_worker, job))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _in_worker(job: Job) -> Block:
    return _corrupt(job, _photographs)


def _start_worker(photos: Photographs) -> None:
    """Keep the photographs, leave Ctrl-C to the parent, and die with it."""
    global _photographs
    _photographs = photos
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    """End this process when the one that started it is gone, killed perhaps."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def blocks(images: ImageSet, size: int, rows: NDArray[np.int64]) -> Iterator[Pixels]:
    """Arrays (≤ size, side, side, channels) uint8 of these rows, in their order."""
    for batch in images.batches(size, rows):
        yield np.ascontiguousarray(batch.numpy().transpose(0, 2, 3, 1))
