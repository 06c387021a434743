"""What a training needs to go on after an interruption: `state.pt`, rewritten after each epoch."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch

from sdd_eval import records, store
from sdd_eval.errors import InputError
from sdd_eval.records import Recipe

FILE = "state.pt"


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

    def on(self, device: str) -> State:
        """The state, going on on a device."""
        return replace(self, devices=tuple(dict.fromkeys((*self.devices, device))))


def write_state(folder: Path, state: State) -> None:
    """Write the state atomically: the last epoch's stays until this one's is whole."""
    content = {field.name: getattr(state, field.name) for field in fields(State)}
    content["recipe"] = records.encode(state.recipe)
    buffer = io.BytesIO()  # torch's writer hides why a disk refused it
    torch.save(content, buffer)
    store.write_atomically(folder / FILE, lambda file: file.write(buffer.getbuffer()))


def read_state(folder: Path) -> State | None:
    """The state in a checkpoint's folder, or None.

    Raises:
        InputError: the file is not such a state.
    """
    path = folder / FILE
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        recipe = records.decode(Recipe, content.pop("recipe"), str(path))
        return State(recipe=recipe, **content)
    except FileNotFoundError:
        return None
    except InputError:
        raise
    except (OSError, RuntimeError, ValueError, TypeError, AttributeError, KeyError, EOFError,
            pickle.UnpicklingError) as error:  # fmt: skip
        raise InputError(
            f"{path} cannot be read as the state of a training; --overwrite starts anew"
        ) from error
