"""The state of an interrupted training run, `state.pt`, and its writing after each epoch.

On a GPU, where an epoch takes little longer than the write, a copy is written in the background. A
process that is killed meanwhile loses one more epoch; every other exit waits for the write.
"""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec
import torch

from sdd_eval import records, store
from sdd_eval.errors import InputError

STATE_FILE = "state.pt"


#: Types of the values in the file, other than the recipe and the tensors.
_STORED: Mapping[str, Any] = {
    "fingerprint": str,
    "threads": int,
    "devices": tuple[str, ...],
    "epoch": int,
    "seconds": float,
    "history": tuple[dict[str, float], ...],
    "processes": tuple[int, ...],
    "further": dict[str, dict[str, Any]],
}

#: A recipe of a classifier or of a detector.
RecipeType = TypeVar("RecipeType", bound=Any)


@dataclass(frozen=True)
class State(Generic[RecipeType]):
    """A training run after a number of epochs."""

    recipe: RecipeType
    fingerprint: str
    """Fingerprint of the training images."""
    threads: int
    devices: tuple[str, ...]
    """Devices on which the epochs were trained, in order, without repetition."""
    epoch: int = 0
    """Number of finished epochs."""
    seconds: float = 0.0
    history: tuple[Mapping[str, float], ...] = ()
    objective: Mapping[str, Any] | None = None
    """The `state_dict` of the trained module; None before the first epoch."""
    optimiser: Mapping[str, Any] | None = None
    further: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Other state kept between epochs, such as averaged weights and the best ones."""
    processes: tuple[int, ...] = ()
    """Numbers of processes that trained the epochs, in order, without repetition."""

    def resumed_on(self, device: str, processes: int = 1) -> State[RecipeType]:
        """Return the state with the device and the number of processes that resume it."""
        return replace(
            self,
            devices=tuple(dict.fromkeys((*self.devices, device))),
            processes=tuple(dict.fromkeys((*self.processes, processes))),
        )


def write_state(folder: Path, state: State[Any]) -> None:
    """Write the state atomically; the previous one is kept until this one is complete."""
    content = {item.name: getattr(state, item.name) for item in fields(state)}
    content["recipe"] = records.encode(state.recipe)
    buffer = io.BytesIO()  # torch's writer hides disk errors
    torch.save(content, buffer)
    store.write_atomically(folder / STATE_FILE, lambda file: file.write(buffer.getbuffer()))


def read_state(folder: Path, recipe_type: type[RecipeType]) -> State[RecipeType] | None:
    """Read the state in a folder, or None; raise InputError if it does not belong to a recipe."""
    path = folder / STATE_FILE
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        recipe = records.upgraded(recipe_type, content.pop("recipe"))
        state = State(recipe=records.decode(recipe_type, recipe, str(path)), **content)
        _check(state)
    except FileNotFoundError:
        return None
    except InputError:
        raise
    except Exception as error:  # a damaged file may raise anything
        raise InputError(
            f"{path} is not a readable training state; use --overwrite to restart"
        ) from error
    return state


def _check(state: State[Any]) -> None:
    """Raise an error if a value has the wrong type, or the epoch is not one of the recipe's."""
    for name, kind in _STORED.items():
        msgspec.convert(getattr(state, name), kind)
    if not 0 <= state.epoch <= state.recipe.epochs:
        raise ValueError(f"epoch {state.epoch} of {state.recipe.epochs}")


@contextlib.contextmanager
def background_writer(
    write: Callable[[State[RecipeType]], None], *, in_background: bool
) -> Iterator[Callable[[State[RecipeType]], None]]:
    """Yield the function to call after each epoch; leaving the block waits for the last write.

    `write` keeps the previous state until the new one is complete. In the background, a thread
    writes a copy while the caller continues; the next call waits for it and raises its errors.
    """
    if not in_background:
        yield write
        return
    writing: list[Future[None]] = []

    def wait() -> None:
        while writing:
            writing.pop().result()

    def after_epoch(state: State[RecipeType]) -> None:
        wait()
        copied = _copy(state)
        if copied is None:
            write(state)
        else:
            writing.append(thread.submit(write, copied))

    with ThreadPoolExecutor(1, "state") as thread:
        try:
            yield after_epoch
        finally:
            wait()


def _copy(state: State[RecipeType]) -> State[RecipeType] | None:
    """Return a copy of the state; None if the device has no memory for it."""
    try:
        tensors = state.objective, state.optimiser, state.further
        objective, optimiser, further = copy.deepcopy(tensors)
    except torch.OutOfMemoryError:
        return None
    return replace(state, objective=objective, optimiser=optimiser, further=further)
