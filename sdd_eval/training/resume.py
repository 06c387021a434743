"""The folder of a checkpoint during training: locked, resumed, finished or refused."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

import torch

from sdd_eval import store
from sdd_eval.checkpoints import checkpoint
from sdd_eval.checkpoints.folder import is_checkpoint, read_card
from sdd_eval.checkpoints.state import STATE_FILE, RecipeType, State, read_state, write_state
from sdd_eval.errors import InputError
from sdd_eval.records import Card
from sdd_eval.training.distributed.processes import Processes
from sdd_eval.training.recipe import differences


@dataclass(frozen=True)
class TrainingFolder(Generic[RecipeType]):
    """A folder in which a recipe is trained to a checkpoint."""

    folder: Path
    recipe: RecipeType
    recipe_of: Callable[[Card], RecipeType | None]
    """Returns the recipe of a card; None if the card has no such recipe."""
    what: str
    """What is trained, for error messages."""
    overwrite: bool = False
    """Replace a checkpoint of another recipe or other images, or a damaged one."""

    def run(self, complete: Callable[[], Card], processes: Processes | None = None) -> Card:
        """Return the card of the finished checkpoint, training what is missing with `complete`.

        Meanwhile the folder is locked, by the first of several processes. Raise InputError if it
        contains anything else, or another process is training in it.
        """
        processes = processes or Processes("cpu")
        locked = store.locked(self.folder, "training")
        with locked if processes.first else contextlib.nullcontext():
            try:
                finished = processes.broadcast(self._prepare) or complete()
                if processes.first:
                    (self.folder / STATE_FILE).unlink(missing_ok=True)
                return finished
            finally:
                if processes.first:
                    with contextlib.suppress(OSError):  # only an empty folder is removed
                        self.folder.rmdir()

    def start_state(self, fingerprint: str, threads: int | None) -> State[RecipeType]:
        """Return the resumed state or a new one; raise InputError if it has seen other images."""
        state = read_state(self.folder, type(self.recipe))
        other = state is not None and state.fingerprint != fingerprint
        if state is None or (other and self.overwrite):
            started = torch.get_num_threads() if threads is None else threads
            return State(self.recipe, fingerprint, started, devices=())
        if other:
            raise InputError(
                f"{self.folder} was begun on other images of {self.recipe.dataset} than there are "
                "now; --overwrite starts again"
            )
        return state

    def save(self, state: State[RecipeType]) -> None:
        """Write the state after an epoch."""
        write_state(self.folder, state)
        checkpoint.write_history(self.folder, state.history)

    def _prepare(self) -> Card | None:
        """Remove what is to be replaced, and return the card if the checkpoint is finished."""
        try:
            return self._finished()
        except InputError:
            if not (self.overwrite and self.folder.is_dir()):
                raise
        shutil.rmtree(self.folder)
        return self._finished()

    def _finished(self) -> Card | None:
        """Return the card if the checkpoint is finished, after verifying its weights; else None."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot write {self.folder}: {error.strerror}") from error
        for leftover in self.folder.glob(".*.part"):  # from a process killed while writing
            leftover.unlink()
        if not is_checkpoint(self.folder):
            state = read_state(self.folder, type(self.recipe))
            if state is not None:
                self._check_same_recipe(state.recipe)
            return None
        card = read_card(self.folder)
        self._check_same_recipe(self.recipe_of(card))
        checkpoint.verified_weights(self.folder, card)
        return card

    def _check_same_recipe(self, existing: RecipeType | None) -> None:
        if existing is None:
            raise InputError(
                f"{self.folder} is not a training of {self.what}; choose another --name"
            )
        pairs = differences(existing, self.recipe)
        if pairs:
            differing = "; ".join(
                f"{n} is {old!r} there, {new!r} here" for n, (old, new) in pairs.items()
            )
            raise InputError(
                f"{self.folder} contains another recipe: {differing}; choose another --name or "
                "--overwrite"
            )
