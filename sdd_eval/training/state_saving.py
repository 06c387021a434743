"""When the state of a training is written: after each epoch, on a GPU while the next one runs.

The state of a ResNet-18 takes a third of a second to reach a disk, and an epoch of CIFAR on a fast
GPU three quarters of one, so no GPU waits for the disk: a copy of the state is written aside. A
process that is killed in that moment loses one more epoch than the one that it was at; any other
end waits until the write is done. A processor has nothing else to do meanwhile, so it writes first.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Generic

import torch

from sdd_eval.checkpoints.state import Kind, State


@contextlib.contextmanager
def keeping(
    write: Callable[[State[Kind]], None], *, aside: bool
) -> Iterator[Callable[[State[Kind]], None]]:
    """What to call after each epoch; all is written when the block is left, however it ends.

    Args:
        write: writes a state, the one before staying whole until this one is.
        aside: in a thread, while the caller goes on in the tensors of the state.
    """
    if not aside:
        yield write
        return
    with ThreadPoolExecutor(1, "state") as thread:
        keeper = Keeper(write, thread)
        try:
            yield keeper.after_epoch
        finally:
            keeper.wait()


@dataclass
class Keeper(Generic[Kind]):
    """Writes copies of states in a thread, one at a time."""

    write: Callable[[State[Kind]], None]
    thread: ThreadPoolExecutor
    writing: Future[None] | None = None

    def after_epoch(self, state: State[Kind]) -> None:
        """Have a copy of the state written, once the one before is; what failed there is raised."""
        self.wait()
        copied = _copy(state)
        if copied is None:
            self.write(state)
        else:
            self.writing = self.thread.submit(self.write, copied)

    def wait(self) -> None:
        """Until nothing is being written."""
        writing, self.writing = self.writing, None
        if writing is not None:
            writing.result()


def _copy(state: State[Kind]) -> State[Kind] | None:
    """The state in tensors of its own; None where the device has no room for them."""
    try:
        objective, optimiser = copy.deepcopy((state.objective, state.optimiser))
    except torch.OutOfMemoryError:
        return None
    return replace(state, objective=objective, optimiser=optimiser)
