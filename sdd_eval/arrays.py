"""The arrays of a run: per-image values with named axes and coordinates, and facts about it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Array:
    """A named array; the names and values of coordinates may contain any character."""

    name: str
    values: Any
    """The array, or a function that reads it."""
    axes: tuple[str, ...] = ("images",)
    """The name of each dimension; empty if they have none."""
    at: Mapping[str, Any] = field(default_factory=dict)
    """Its place among arrays of the same name, such as {"detector": "msp", "outliers": "svhn"}."""
    labels: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """The values along an axis, such as {"severity": (1, 2, 3, 4, 5)}."""

    def __post_init__(self) -> None:
        """Raise ValueError if the axes do not fit the values."""
        shape = None if callable(self.values) else getattr(self.values, "shape", None)
        if self.axes and shape is not None and len(self.axes) != len(shape):
            raise ValueError(f"{self.name} has axes {', '.join(self.axes)} and shape {shape}")

    def read(self) -> NDArray[Any]:
        """Return the values."""
        values: NDArray[Any] = self.values() if callable(self.values) else self.values
        return values


class Arrays(Mapping[str, "NDArray[Any]"]):
    """Arrays, and facts as JSON values; a mapping from names to arrays without coordinates.

    >>> import numpy as np
    >>> outside = Array("scores", np.zeros(2), at={"outliers": "svhn"})
    >>> arrays = Arrays([Array("scores", np.ones(3)), outside], temperature=1.5)
    >>> arrays["scores"], arrays.where(outliers="svhn")["scores"], arrays.facts["temperature"]
    (array([1., 1., 1.]), array([0., 0.]), 1.5)
    """

    def __init__(self, entries: Iterable[Array] = (), /, **facts: Any) -> None:
        """Raise ValueError for two arrays of the same name and place, or a non-JSON fact."""
        self._entries = tuple(entries)
        self._facts = json.loads(json.dumps(facts, default=_plain, allow_nan=False))
        #: The arrays of the other checkpoints' runs that this run is scored against, by name.
        self.compared: Mapping[str, Arrays] = {}
        places = {(entry.name, *sorted(map(repr, entry.at.items()))) for entry in self._entries}
        if len(places) < len(self._entries):
            raise ValueError("two arrays have the same name and coordinates")

    @classmethod
    def of(cls, arrays: Mapping[str, Any], **facts: Any) -> Arrays:
        """Convert a plain mapping of names to values to arrays without axis names."""
        if isinstance(arrays, Arrays):
            return arrays | cls(**facts) if facts else arrays
        return cls((Array(name, values, ()) for name, values in arrays.items()), **facts)

    @property
    def entries(self) -> tuple[Array, ...]:
        """All arrays."""
        return self._entries

    @property
    def facts(self) -> Mapping[str, Any]:
        """JSON values about the whole run, such as a fitted temperature."""
        facts: Mapping[str, Any] = self._facts
        return facts

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return the values of the array with this name and without coordinates."""
        for entry in self.entries:
            if entry.name == name and not entry.at:
                return entry.read()
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        """Return whether there is such an array, without reading it."""
        return name in tuple(self)

    def __iter__(self) -> Iterator[str]:
        return (entry.name for entry in self.entries if not entry.at)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        return bool(self.entries)

    def __or__(self, other: Arrays) -> Arrays:
        """Merge the arrays and facts of both."""
        return Arrays((*self.entries, *other.entries), **{**self.facts, **other.facts})

    def at(self, **at: Any) -> Arrays:
        """Return the arrays with further coordinates."""
        entries = (replace(entry, at={**at, **entry.at}) for entry in self.entries)
        return Arrays(entries, **self.facts)

    def where(self, **at: Any) -> Arrays:
        """Return the arrays at these coordinates, which are removed; the inverse of `at`."""
        entries = (
            replace(entry, at={axis: entry.at[axis] for axis in entry.at if axis not in at})
            for entry in self.entries
            if at.items() <= entry.at.items()
        )
        return Arrays(entries, **self.facts)

    def coordinates(self, axis: str) -> list[Any]:
        """Return the distinct coordinates on an axis, in the order of the arrays."""
        return list(dict.fromkeys(entry.at[axis] for entry in self.entries if axis in entry.at))

    def along(self, name: str, axis: str) -> dict[Any, NDArray[Any]]:
        """Return the arrays with a name that differ on one axis only, by their coordinate on it."""
        entries = (entry for entry in self.entries if entry.name == name)
        return {entry.at[axis]: entry.read() for entry in entries if entry.at.keys() == {axis}}

    def against(self, others: Mapping[str, Mapping[str, Any]]) -> Arrays:
        """Return the arrays with `compared` set to those of other checkpoints' runs, by name."""
        arrays = Arrays(self.entries, **self.facts)
        arrays.compared = {name: Arrays.of(other) for name, other in others.items()}
        return arrays


def joined(parts: Sequence[Arrays]) -> Arrays:
    """Concatenate the arrays of consecutive batches of images; facts are those of the last batch.

    >>> import numpy as np
    >>> joined([Arrays([Array("labels", np.arange(2))])] * 2)["labels"]
    array([0, 1, 0, 1])
    """
    columns = zip(*(part.entries for part in parts), strict=True)
    whole = (replace(c[0], values=_concatenated([entry.read() for entry in c])) for c in columns)
    return Arrays(whole, **parts[-1].facts)


def _concatenated(values: Sequence[Any]) -> NDArray[Any]:
    if all(hasattr(value, "cpu") for value in values):
        import torch

        return as_numpy(torch.cat(list(values)))  # one copy, as each waits for the device
    import numpy as np  # slow to import, and `--help` needs no arrays

    return np.concatenate(list(map(as_numpy, values)))


def as_numpy(values: Any) -> NDArray[Any]:
    """Convert values, or a tensor on any device, to a NumPy array."""
    import numpy as np

    return values.cpu().numpy() if hasattr(values, "cpu") else np.asarray(values)


def _plain(value: Any) -> Any:
    """Convert a NumPy number or array to JSON values; raise TypeError for anything else."""
    import numpy as np

    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{value!r} is no JSON value")
