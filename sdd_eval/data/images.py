"""Sets of images: the `ImageSet` protocol and its implementations in memory and in `.npy` files.

Image files in folders are in `image_folder.py`. All other code relies on the protocol alone. Torch
is imported when the first batch is read, so that listing data sets stays fast.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sdd_eval.data.files import reading
from sdd_eval.data.fingerprints import array_fingerprint
from sdd_eval.data.provenance import MADE_HERE
from sdd_eval.errors import InputError

if TYPE_CHECKING:
    import torch

    Batches = Iterator[torch.Tensor]

#: Exceeds the number of classes of any data set.
MOST_CLASSES = 1_000_000

Labels = NDArray[np.int64]
Pixels = NDArray[np.uint8]
Rows = NDArray[np.int64]


class Described(Protocol):
    """The properties that identify every set."""

    @property
    def name(self) -> str:
        """Name in the catalogue (e.g. "cifar100_c", "NAME_c_regenerated"), or of the folder."""

    @property
    def fingerprint(self) -> str:
        """Hexadecimal sha256 of the content, or of everything that determines it."""

    @property
    def provenance(self) -> str:
        """How the set relates to its publisher's, reported with every number measured on it.

        "official", "partial: 1,200 of 5,640", "unverified", "regenerated", "made here" …
        """


@runtime_checkable
class ImageSet(Described, Protocol):
    """Images of one square size, with or without labels."""

    @property
    def labels(self) -> Labels | None:
        """Class indices (n,), or None for an unlabelled set."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names by index; empty if unknown."""

    @property
    def image_size(self) -> int:
        """Side in pixels."""

    @property
    def channels(self) -> int:
        """Number of channels: 1 (grey) or 3 (RGB)."""

    def __len__(self) -> int:
        """Return the number of images."""

    def batches(self, size: int, indices: Rows | None = None, device: str = "cpu") -> Batches:
        """Yield uint8 batches (≤ size, channels, side, side) in the order of `indices`."""


def to_device(array: NDArray[Any], device: str) -> torch.Tensor:
    """Return an array as a tensor on a device; copies to a GPU are asynchronous."""
    import torch

    tensor = torch.from_numpy(array)
    if device.startswith("cuda"):
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def batch_slices(total: int, size: int, indices: Any) -> Iterator[Any]:
    """Yield slices of `total` images, or parts of `indices` (array or tensor), of `size` each."""
    if indices is None:
        yield from (slice(start, start + size) for start in range(0, total, size))
    else:
        yield from (indices[start : start + size] for start in range(0, len(indices), size))


@dataclass(frozen=True)
class ArrayImages:
    """Images in memory, uint8 (n, channels, side, side); copied to each device once."""

    name: str
    images: Pixels
    labels: Labels | None
    fingerprint: str
    provenance: str
    class_names: tuple[str, ...] = ()
    _on_device: dict[str, torch.Tensor] = field(default_factory=dict, repr=False, compare=False)

    @property
    def image_size(self) -> int:
        """Side in pixels."""
        return int(self.images.shape[-1])

    @property
    def channels(self) -> int:
        """Number of channels: 1 (grey) or 3 (RGB)."""
        return int(self.images.shape[1])

    def __len__(self) -> int:
        return len(self.images)

    def tensor(self, device: str = "cpu") -> torch.Tensor:
        """Return all images as one uint8 tensor on a device."""
        import torch

        if device not in self._on_device:
            self._on_device[device] = torch.from_numpy(self.images).to(device)
        return self._on_device[device]

    def batches(self, size: int, indices: Rows | None = None, device: str = "cpu") -> Batches:
        """Yield uint8 batches (≤ size, channels, side, side) in the order of `indices`."""
        images = self.tensor(device)
        order = None if indices is None else to_device(indices, device)
        for rows in batch_slices(len(self), size, order):
            yield images[rows]


def from_arrays(
    images: Any,
    labels: Any = None,
    *,
    name: str = "arrays",
    class_names: Sequence[str] = (),
    provenance: str = MADE_HERE,
) -> ArrayImages:
    """Create a set of images from arrays or tensors.

    `images` are uint8 (n, side, side), (n, side, side, 1 or 3) or (n, 1 or 3, side, side), `labels`
    class indices (n,). Results are stored under `name`. Raise InputError if the shape or type of an
    array is wrong, or a label is not a non-negative integer or has no class name.
    """
    pixels = _pixels(_as_array(images, f"the images of {name}"), name)
    indices = None if labels is None else class_indices(labels, len(pixels), name)
    names = tuple(map(str, class_names))
    if indices is not None and names and indices.max() >= len(names):
        raise InputError(f"{name} has the label {indices.max()} but only {len(names)} class names")
    fingerprint = array_fingerprint(pixels, indices)
    return ArrayImages(name, pixels, indices, fingerprint, provenance, names)


def _pixels(images: NDArray[Any], name: str) -> Pixels:
    """Return images as uint8 (n, channels, side, side)."""
    if images.dtype != np.uint8:
        raise InputError(f"the images of {name} are {images.dtype}, not uint8 (0 to 255)")
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim == 4 and images.shape[3] in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    square = images.ndim == 4 and images.shape[1] in (1, 3) and images.shape[2] == images.shape[3]
    if not square or not images.size:
        raise InputError(
            f"the images of {name} have the shape {images.shape}, not (n, side, side), "
            "(n, side, side, 1 or 3) or (n, 1 or 3, side, side)"
        )
    return np.ascontiguousarray(images)


def class_indices(
    labels: Any,
    count: int,
    where: object,
    *,
    first: int = 0,
    classes: int | None = None,
    floats: bool = False,
) -> Labels:
    """Return labels as class indices (count,), counted from 0; the first class is labelled `first`.

    `floats` accepts integers of a floating-point type, for files that have no integer type. Raise
    InputError, beginning with `where`, if there are not `count` labels, or one is not an integer or
    not one of `classes` classes.
    """
    values = _as_array(labels, f"the labels of {where}")
    if values.shape == (count, 1):
        values = values[:, 0]
    if values.shape != (count,) or values.dtype.kind not in ("iuf" if floats else "iu"):
        raise InputError(
            f"{where}: its labels are {values.dtype} {values.shape}, not {count:,} class indices"
        )
    last = first + (classes or MOST_CLASSES) - 1
    valid = (values >= first) & (values <= last) & (values == np.floor(values))
    if not valid.all():
        row = int(np.flatnonzero(~valid)[0])
        raise InputError(
            f"{where}: the label of image {row} is {values[row]}, not a whole number from {first} "
            f"to {last:,}"
        )
    return values.astype(np.int64) - first


def _as_array(values: Any, where: str) -> NDArray[Any]:
    """Convert an array, a list or a tensor (which may require gradients) to an array."""
    try:
        return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
    except Exception as error:  # ragged lists, tensors without memory
        raise InputError(f"{where} are not an array: {error}") from error


def open_npy(path: Path) -> NDArray[Any]:
    """Memory-map a `.npy` file, reading its header; raise InputError if it is incomplete."""
    with reading(path, "a complete .npy file"):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.ndarray):
            array.close()
            raise ValueError("it is an .npz archive")
    return array


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """The description that an `ImageSet` gives of its images."""

    name: str
    labels: Labels | None
    class_names: tuple[str, ...] = ()
    image_size: int
    channels: int
    fingerprint: str
    provenance: str


def metadata(images: ImageSet) -> dict[str, Any]:
    """Return the fields of `Metadata` of a set."""
    return {field.name: getattr(images, field.name) for field in fields(Metadata)}


@dataclass(frozen=True, kw_only=True)
class MappedImages(Metadata):
    """Rows `start` to `stop` of a memory-mapped `.npy` file, uint8 (rows, side, side, channels)."""

    path: Path
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def batches(self, size: int, indices: Rows | None = None, device: str = "cpu") -> Batches:
        """Yield uint8 batches (≤ size, channels, side, side) in the order of `indices`."""
        # Mapped again for each pass, so that its pages are released afterwards.
        mapped = open_npy(self.path)[self.start : self.stop]
        for rows in batch_slices(len(self), size, indices):
            # Always a copy: mapped rows are read-only.
            pixels = np.array(mapped[rows].transpose(0, 3, 1, 2), order="C")
            yield to_device(pixels, device)


@dataclass(frozen=True, kw_only=True)
class ComputedImages(Metadata):
    """Images that are computed on access.

    `compute` returns the images of rows (n,), uint8 (n, channels, side, side).
    """

    total: int
    compute: Callable[[Rows], Pixels] = field(repr=False, compare=False)

    def __len__(self) -> int:
        return self.total

    def batches(self, size: int, indices: Rows | None = None, device: str = "cpu") -> Batches:
        """Yield uint8 batches (≤ size, channels, side, side) in the order of `indices`."""
        rows = np.arange(self.total) if indices is None else np.asarray(indices)
        for part in batch_slices(len(rows), size, rows):
            yield to_device(np.ascontiguousarray(self.compute(part)), device)


@dataclass(frozen=True, kw_only=True)
class Subset(Metadata):
    """The images of `parent` at `rows`, in that order."""

    parent: ImageSet
    rows: Rows

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self, size: int, indices: Rows | None = None, device: str = "cpu") -> Batches:
        """Yield uint8 batches (≤ size, channels, side, side) in the order of `indices`."""
        rows = self.rows if indices is None else self.rows[indices]
        yield from self.parent.batches(size, rows, device)


def subset(name: str, parent: ImageSet, rows: Rows) -> Subset:
    """Return the images of a set at `rows`, in that order, under a new name."""
    labels = None if parent.labels is None else parent.labels[rows]
    content = parent.fingerprint.encode() + rows.astype("<i8").tobytes()
    own = {"name": name, "labels": labels, "fingerprint": hashlib.sha256(content).hexdigest()}
    return Subset(**metadata(parent) | own, parent=parent, rows=rows)


@dataclass(frozen=True, kw_only=True)
class LazyImages(Metadata):
    """A description of an in-memory set whose images are loaded again for every pass."""

    total: int
    load: Callable[[], ImageSet] = field(repr=False, compare=False)

    def __len__(self) -> int:
        return self.total

    def batches(self, size: int, indices: Rows | None = None, device: str = "cpu") -> Batches:
        """Yield uint8 batches (≤ size, channels, side, side) in the order of `indices`."""
        yield from self.load().batches(size, indices, device)


def lazy_images(load: Callable[[], ImageSet]) -> ImageSet:
    """Return the set that `load` returns, reloaded for each pass unless it is streamed."""
    images = load()
    if not isinstance(images, ArrayImages):
        return images
    return LazyImages(**metadata(images), total=len(images), load=load)
