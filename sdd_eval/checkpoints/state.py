"""What a training needs to go on after an interruption: `state.pt`, rewritten as it goes on."""

from __future__ import annotations

import contextlib
import copy
import io
import pickle
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch

from sdd_eval import records, store
from sdd_eval.errors import InputError

STATE_FILE = "state.pt"


class AnyRecipe(Protocol):
    """What every recipe says, a classifier's or a detector's: a frozen dataclass."""

    @property
    def dataset(self) -> str:
        """What is trained on."""

    @property
    def epochs(self) -> int:
        """Passes over the training images."""

    @property
    def batch_size(self) -> int:
        """Images a step."""


Kind = TypeVar("Kind", bound=AnyRecipe)


@dataclass(frozen=True)
class State(Generic[Kind]):
    """A training after some of its epochs, by a recipe of some kind."""

    recipe: Kind
    fingerprint: str
    """Of the training images."""
    threads: int
    devices: tuple[str, ...]
    """On which devices the epochs were trained, in order, without repetition."""
    epoch: int = 0
    """How many epochs are finished."""
    seconds: float = 0.0
    history: tuple[Mapping[str, float], ...] = ()
    objective: Mapping[str, Any] | None = None
    """The `state_dict` of what is trained; None before the first epoch."""
    optimiser: Mapping[str, Any] | None = None
    processes: tuple[int, ...] = ()
    """By how many processes the epochs were trained, in order, without repetition."""

    def on(self, device: str, processes: int = 1) -> State[Kind]:
        """The state, going on on a device, by so many processes."""
        return replace(
            self,
            devices=tuple(dict.fromkeys((*self.devices, device))),
            processes=tuple(dict.fromkeys((*self.processes, processes))),
        )


def write_state(folder: Path, state: State[Any]) -> None:
    """Write the state atomically: the last epoch's stays until this one's is whole."""
    content = {field.name: getattr(state, field.name) for field in fields(state)}
    content["recipe"] = records.encode(state.recipe)
    buffer = io.BytesIO()  # torch's writer hides why a disk refused it
    torch.save(content, buffer)
    store.write_atomically(folder / STATE_FILE, lambda file: file.write(buffer.getbuffer()))


def read_state(folder: Path, kind: type[Kind]) -> State[Kind] | None:
    """The state in a checkpoint's folder, its recipe of a kind; None where there is none.

    Raises:
        InputError: the file is not such a state.
    """
    path = folder / STATE_FILE
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        recipe = records.upgraded(kind, content.pop("recipe"))
        return State(recipe=records.decode(kind, recipe, str(path)), **content)
    except FileNotFoundError:
        return None
    except InputError:
        raise
    except (OSError, RuntimeError, ValueError, TypeError, AttributeError, KeyError, EOFError,
            pickle.UnpicklingError) as error:  # fmt: skip
        raise InputError(
            f"{path} cannot be read as the state of a training; --overwrite starts anew"
        ) from error


@contextlib.contextmanager
def background_writer(
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
        keeper = StateWriter(write, thread)
        try:
            yield keeper.after_epoch
        finally:
            keeper.wait()


@dataclass
class StateWriter(Generic[Kind]):
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
