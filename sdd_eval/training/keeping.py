"""How often a training writes its state: after each epoch, if that costs next to nothing.

The state of a ResNet-18 takes a third of a second to reach a disk, and an epoch of CIFAR on a fast
GPU three quarters of one. So the next write waits until training has taken `SHARE`⁻¹ times as long
as the last write took. Meanwhile the last finished epoch is held as a copy, which any ordinary end
(an error, Ctrl-C, SIGTERM) writes; what `kill -9` loses is the time since the last write.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Generic

import torch

from sdd_eval.training.state import Kind, State

#: How much of the time writing may take.
SHARE = 0.02


@contextlib.contextmanager
def keeping(write: Callable[[State[Kind]], None]) -> Iterator[Callable[[State[Kind]], None]]:
    """What to call after each epoch; where the block fails, its last finished epoch is written."""
    keeper = Keeper(write)
    try:
        yield keeper.after_epoch
    except BaseException:
        keeper.catch_up()
        raise


@dataclass
class Keeper(Generic[Kind]):
    """Writes the first epoch, the last one, and between them those that fall due."""

    write: Callable[[State[Kind]], None]
    took: float = 0.0
    """Seconds of the last write."""
    since: float = 0.0
    """Seconds of training before it."""
    held: State[Kind] | None = None
    """The last finished epoch, where it is not written."""

    def after_epoch(self, state: State[Kind]) -> None:
        """Write the state, or copy it: training goes on in its tensors."""
        last = state.epoch == state.recipe.epochs
        due = last or self.took <= SHARE * (state.seconds - self.since)
        if due or not self._hold(state):
            self._write(state)

    def catch_up(self) -> None:
        """Write the last finished epoch if it is not yet."""
        if self.held is not None:
            self._write(self.held)

    def _hold(self, state: State[Kind]) -> bool:
        """Whether the device has room for a copy."""
        try:
            objective, optimiser = copy.deepcopy((state.objective, state.optimiser))
        except torch.OutOfMemoryError:
            return False
        self.held = replace(state, objective=objective, optimiser=optimiser)
        return True

    def _write(self, state: State[Kind]) -> None:
        self.held = None
        begun = perf_counter()
        self.write(state)
        self.took, self.since = perf_counter() - begun, state.seconds
