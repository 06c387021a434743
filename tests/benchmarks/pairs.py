"""Time two functions alternately, so that a drift of the machine's speed affects both equally.

With CPU_TIME=1 in the environment what is counted is the processor's time, which is nearly the same
on a busy machine; it is blind to waiting for a disk or a GPU.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable

import torch

from sdd_eval.device import keep_freed_memory

Work = Callable[[], object]
clock = time.process_time if os.environ.get("CPU_TIME") == "1" else time.perf_counter


def seconds(work: Work) -> float:
    """Return the seconds of a call, GPU work included."""
    begun = clock()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return clock() - begun


def compare(named: tuple[str, Work], against: tuple[str, Work], pairs: int) -> float:
    """Print the median seconds of both and the median of their ratios, which is returned."""
    for _, work in (named, against):
        work()
    # Every second pair the other way round: what comes second may find warm caches.
    times = []
    for number in range(pairs):
        order = (named[1], against[1]) if number % 2 == 0 else (against[1], named[1])
        result = [seconds(work) for work in order]
        times.append(result if number % 2 == 0 else result[::-1])
    ours, theirs = (statistics.median(column) for column in zip(*times, strict=True))
    ratio = statistics.median(second / first for first, second in times)
    print(f"{named[0]:<44} {ours:.4f} s")
    print(f"{against[0]:<44} {theirs:.4f} s   {ratio:.3f} × as long, median of {pairs} pairs")
    return ratio


def where() -> str:
    """Prepare the device and the memory settings as a command does."""
    keep_freed_memory()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    how = f"{torch.get_num_threads()} threads, torch {torch.__version__}, {clock.__name__}"
    print(f"{device}, {how}")
    return device
