"""What a training needs to go on after an interruption: `state.pt`, rewritten after each epoch."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from sdd_eval import records, store
from sdd_eval.errors import InputError
from sdd_eval.records import Recipe

FILE = "state.pt"

Kept = TypeVar("Kept")


@dataclass(frozen=True)
class State:
    """A training after some of its epochs."""

    recipe: Recipe
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
    """The `state_dict` of network and parts; None before the first epoch."""
    optimiser: Mapping[str, Any] | None = None
    processes: tuple[int, ...] = ()
    """By how many processes the epochs were trained, in order, without repetition."""

    def on(self, device: str, processes: int = 1) -> State:
        """The state, going on on a device, by so many processes."""
        return replace(
            self,
            devices=tuple(dict.fromkeys((*self.devices, device))),
            processes=tuple(dict.fromkeys((*self.processes, processes))),
        )


def write_state(folder: Path, state: State) -> None:
    """Write the state atomically: the last epoch's stays until this one's is whole."""
    write_content(folder, state)


def read_state(folder: Path) -> State | None:
    """The state in a checkpoint's folder, or None.

    Raises:
        InputError: the file is not such a state.
    """
    return read_content(folder, State, Recipe)


def write_content(folder: Path, state: Any) -> None:
    """Write a state of any kind atomically; its field `recipe` is a record."""
    content = {field.name: getattr(state, field.name) for field in fields(state)}
    content["recipe"] = records.encode(state.recipe)
    buffer = io.BytesIO()  # torch's writer hides why a disk refused it
    torch.save(content, buffer)
    store.write_atomically(folder / FILE, lambda file: file.write(buffer.getbuffer()))


def read_content(folder: Path, kind: Callable[..., Kept], recipe: type[Any]) -> Kept | None:
    """The state of a kind in a checkpoint's folder, its `recipe` of a kind too; or None.

    Raises:
        InputError: the file is not such a state.
    """
    path = folder / FILE
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        return kind(recipe=records.decode(recipe, content.pop("recipe"), str(path)), **content)
    except FileNotFoundError:
        return None
    except InputError:
        raise
    except (OSError, RuntimeError, ValueError, TypeError, AttributeError, KeyError, EOFError,
            pickle.UnpicklingError) as error:  # fmt: skip
        raise InputError(
            f"{path} cannot be read as the state of a training; --overwrite starts anew"
        ) from error
