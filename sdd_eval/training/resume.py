"""The folder of a checkpoint while it is made: held, resumed, finished, or refused."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

import torch

from sdd_eval import store
from sdd_eval.checkpoints import checkpoint
from sdd_eval.checkpoints.state import STATE_FILE, Kind, State, read_state, write_state
from sdd_eval.errors import InputError
from sdd_eval.records import Card
from sdd_eval.training.distributed.processes import Processes
from sdd_eval.training.recipe import differences


@dataclass(frozen=True)
class TrainingFolder(Generic[Kind]):
    """A checkpoint that a recipe is to make, in a folder of its own."""

    place: Path
    recipe: Kind
    recipe_of: Callable[[Card], Kind | None]
    """The recipe that a card tells; None where it is the card of something else."""
    what: str
    """What it is to become, in words."""
    overwrite: bool = False
    """Replace a checkpoint of another recipe, one of other images, or a damaged one."""

    def made(self, complete: Callable[[], Card], processes: Processes | None = None) -> Card:
        """The card of the finished checkpoint; `complete` makes what is missing of it.

        Other trainings are kept out of the folder meanwhile. Of several processes of one training
        the first holds and looks for all.

        Args:
            complete: trains from `begun` on, and writes weights, history and card.
            processes: those that train; this one alone if None.

        Raises:
            InputError: the folder holds something else, or another process is at it.
        """
        processes = processes or Processes("cpu")
        with self._held() if processes.first else contextlib.nullcontext():
            finished = processes.first_finds(self._left)
            if finished is None:
                finished = complete()
            if processes.first:
                (self.place / STATE_FILE).unlink(missing_ok=True)
            return finished

    def begun(self, fingerprint: str, threads: int | None) -> State[Kind]:
        """The state to go on from; the thread count that training began with is kept.

        Raises:
            InputError: it was begun on other images than those of the fingerprint.
        """
        state = read_state(self.place, type(self.recipe))
        other = state is not None and state.fingerprint != fingerprint
        if state is None or (other and self.overwrite):
            started = torch.get_num_threads() if threads is None else threads
            return State(self.recipe, fingerprint, started, devices=())
        if other:
            raise InputError(
                f"{self.place} was begun on other images of {self.recipe.dataset} than are there "
                "now; --overwrite starts anew"
            )
        return state

    def keep(self, state: State[Kind]) -> None:
        """Write down what there is after an epoch."""
        write_state(self.place, state)
        checkpoint.write_history(self.place, state.history)

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        """The folder, held against other trainings; gone if nothing came of it."""
        with store.locked(self.place, "training"):
            try:
                yield
            finally:
                with contextlib.suppress(OSError):
                    self.place.rmdir()

    def _left(self) -> Card | None:
        """The card of what is finished already, after removing what is to be replaced."""
        if self.overwrite and self._blocked():
            shutil.rmtree(self.place)
        return self._finished()

    def _blocked(self) -> bool:
        """Whether a folder is there that keeps this recipe from being trained in it."""
        if not self.place.is_dir():
            return False
        with contextlib.suppress(InputError):
            self._finished()
            return False
        return True

    def _finished(self) -> Card | None:
        """The card of a finished checkpoint of this recipe, its weights verified; None if not.

        Raises:
            InputError: the folder holds another recipe, something else, or damaged weights.
        """
        try:
            self.place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot write {self.place}: {error.strerror}") from error
        for litter in self.place.glob(".*.part"):  # of a process that was killed while writing
            litter.unlink()
        if not (self.place / checkpoint.CARD).exists():
            state = read_state(self.place, type(self.recipe))
            if state is not None:
                self._refuse_other(state.recipe)
            return None
        card = checkpoint.read_card(self.place)
        self._refuse_other(self.recipe_of(card))
        checkpoint.verify(self.place, card)
        return card

    def _refuse_other(self, there: Kind | None) -> None:
        """Refuse to go on in the folder of another recipe."""
        if there is None:
            raise InputError(
                f"{self.place} holds no training of {self.what}; choose another --name"
            )
        pairs = differences(there, self.recipe)
        if pairs:
            said = "; ".join(
                f"{n} is {old!r} there, {new!r} here" for n, (old, new) in pairs.items()
            )
            raise InputError(
                f"{self.place} holds another recipe: {said}; take another --name or --overwrite"
            )
