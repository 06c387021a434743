"""Sets of images: the protocol, and two kinds of it, an array in memory and rows of a file on disk.

The third kind is a streamed folder (`folder_images.py`). Nothing but the `ImageSet` protocol is
assumed anywhere else. Torch is imported only when batches are asked for, so that listing data sets
stays quick.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sdd_eval.data.fingerprints import array_fingerprint
from sdd_eval.data.provenance import MADE_HERE
from sdd_eval.errors import InputError

if TYPE_CHECKING:
    import torch

Labels = NDArray[np.int64]
Pixels = NDArray[np.uint8]


@runtime_checkable
class ImageSet(Protocol):
    """Images of one square size, perhaps labelled.

    `origin` says how far the set is its publisher's: "official", "partial: 1,200 of 5,640",
    "unverified", "regenerated", "made here" …; it stands beside every number measured on it.
    """

    @property
    def name(self) -> str:
        """The catalogue's name, or the folder's."""

    @property
    def labels(self) -> Labels | None:
        """Class indices (n,), or None where there are none."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes in the order of their indices; empty where unknown."""

    @property
    def image_size(self) -> int:
        """Side in pixels."""

    @property
    def channels(self) -> int:
        """One for grey, three for colour."""

    @property
    def fingerprint(self) -> str:
        """sha256 of the content, in hex."""

    @property
    def provenance(self) -> str:
        """How far the set is its publisher's."""

    def __len__(self) -> int:
        """How many images there are."""

    def batches(
        self, size: int, indices: NDArray[np.int64] | None = None, device: str = "cpu"
    ) -> Iterator[torch.Tensor]:
        """uint8 tensors (≤ size, channels, side, side) on the device, in the order of `indices`."""


def to_device(array: NDArray[Any], device: str) -> torch.Tensor:
    """An array as a tensor there; on its way to a GPU nothing waits."""
    import torch

    tensor = torch.from_numpy(array)
    if device.startswith("cuda"):
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def batch_slices(total: int, size: int, indices: Any) -> Iterator[Any]:
    """Slices that cover the whole set, or parts of `indices` (array or tensor), `size` a step."""
    if indices is None:
        yield from (slice(start, start + size) for start in range(0, total, size))
    else:
        yield from (indices[start : start + size] for start in range(0, len(indices), size))


@dataclass(frozen=True)
class ArrayImages:
    """Images in memory, (n, channels, side, side) uint8; moved to a device once, whole."""

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
        """One for grey, three for colour."""
        return int(self.images.shape[1])

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.images)

    def tensor(self, device: str = "cpu") -> torch.Tensor:
        """All images as one uint8 tensor on the device."""
        import torch

        if device not in self._on_device:
            self._on_device[device] = torch.from_numpy(self.images).to(device)
        return self._on_device[device]

    def batches(
        self, size: int, indices: NDArray[np.int64] | None = None, device: str = "cpu"
    ) -> Iterator[torch.Tensor]:
        """uint8 tensors (≤ size, channels, side, side) on the device, in the order of `indices`."""
        images = self.tensor(device)
        order = None if indices is None else to_device(indices, device)
        for rows in batch_slices(len(self), size, order):
            yield images[rows]


def open_npy(path: Path) -> NDArray[Any]:
    """A `.npy` file mapped into memory; only its header is read.

    Raises:
        InputError: it is not there, not such a file, or cut short.
    """
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise InputError(f"{path} is not there") from error
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} is no whole .npy file: {error}") from error
    return array


@dataclass(frozen=True)
class MappedImages:
    """Rows `start` to `stop` of a `.npy` file (rows, side, side, channels) uint8, read lazily."""

    name: str
    path: Path
    start: int
    stop: int
    image_size: int
    channels: int
    labels: Labels | None
    fingerprint: str
    provenance: str
    class_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        """How many images there are."""
        return self.stop - self.start

    def batches(
        self, size: int, indices: NDArray[np.int64] | None = None, device: str = "cpu"
    ) -> Iterator[torch.Tensor]:
        """uint8 tensors (≤ size, channels, side, side) on the device, in the order of `indices`."""
        # Mapped anew for each pass: its pages leave memory with it.
        mapped = open_npy(self.path)[self.start : self.stop]
        for rows in batch_slices(len(self), size, indices):
            # A copy even where the layout would not need one: mapped rows cannot be written to.
            pixels = np.array(mapped[rows].transpose(0, 3, 1, 2), order="C")
            yield to_device(pixels, device)


@dataclass(frozen=True)
class Subset:
    """Some images of another set, in the order of `rows`."""

    name: str
    parent: ImageSet
    rows: NDArray[np.int64]

    @property
    def labels(self) -> Labels | None:
        """Class indices (n,), or None where there are none."""
        return None if self.parent.labels is None else self.parent.labels[self.rows]

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes of the whole set."""
        return self.parent.class_names

    @property
    def image_size(self) -> int:
        """Side in pixels."""
        return self.parent.image_size

    @property
    def channels(self) -> int:
        """One for grey, three for colour."""
        return self.parent.channels

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the whole set's fingerprint and of which images these are."""
        rows = self.rows.astype("<i8").tobytes()
        return hashlib.sha256(self.parent.fingerprint.encode() + rows).hexdigest()

    @property
    def provenance(self) -> str:
        """How far the whole set is its publisher's."""
        return self.parent.provenance

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.rows)

    def batches(
        self, size: int, indices: NDArray[np.int64] | None = None, device: str = "cpu"
    ) -> Iterator[torch.Tensor]:
        """uint8 tensors (≤ size, channels, side, side) on the device, in the order of `indices`."""
        rows = self.rows if indices is None else self.rows[indices]
        yield from self.parent.batches(size, rows, device)


@dataclass(frozen=True)
class LazyImages:
    """A set in memory of which only what describes it is kept; each pass loads the images anew."""

    name: str
    labels: Labels | None
    class_names: tuple[str, ...]
    image_size: int
    channels: int
    fingerprint: str
    provenance: str
    total: int
    load: Callable[[], ImageSet] = field(repr=False, compare=False)

    def __len__(self) -> int:
        """How many images there are."""
        return self.total

    def batches(
        self, size: int, indices: NDArray[np.int64] | None = None, device: str = "cpu"
    ) -> Iterator[torch.Tensor]:
        """uint8 tensors (≤ size, channels, side, side) on the device, in the order of `indices`."""
        yield from self.load().batches(size, indices, device)


def lazy_images(load: Callable[[], ImageSet]) -> ImageSet:
    """The set that `load` gives, so that many of them need no more memory than one.

    Sets that are read from the disk as they are looked at stay as they are.
    """
    images = load()
    if not isinstance(images, ArrayImages):
        return images
    return LazyImages(
        name=images.name,
        labels=images.labels,
        class_names=images.class_names,
        image_size=images.image_size,
        channels=images.channels,
        fingerprint=images.fingerprint,
        provenance=images.provenance,
        total=len(images),
        load=load,
    )


def from_arrays(
    images: Any,
    labels: Any = None,
    *,
    name: str = "arrays",
    class_names: Sequence[str] = (),
    provenance: str = MADE_HERE,
) -> ArrayImages:
    """A set of images out of arrays, or tensors on the CPU.

    Args:
        images: uint8, (n, side, side) grey, or with 1 or 3 channels last or, as torch has them,
            first.
        labels: class indices (n,); None where there are none.
        name: what results are filed under.
        class_names: in the order of the indices.
        origin: how far the set is its publisher's.

    Raises:
        InputError: the arrays have another shape or type, or labels that are none.
    """
    pixels = _pixels(np.asarray(images), name)
    indices = None if labels is None else _labels(np.asarray(labels), len(pixels), name)
    found = tuple(map(str, class_names))
    if indices is not None and found and indices.max() >= len(found):
        raise InputError(f"{name} has the label {indices.max()} and {len(found)} class names")
    return ArrayImages(name, pixels, indices, array_fingerprint(pixels, indices), provenance, found)


def _pixels(images: NDArray[Any], name: str) -> Pixels:
    """(n, channels, side, side) uint8."""
    if images.dtype != np.uint8:
        raise InputError(f"the images of {name} are {images.dtype}, not uint8 of 0 to 255")
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim == 4 and images.shape[3] in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    square = images.ndim == 4 and images.shape[1] in (1, 3) and images.shape[2] == images.shape[3]
    if not square or not images.size:
        raise InputError(
            f"the images of {name} are {images.shape}, not (n, side, side), (n, side, side, 1 or "
            "3) or (n, 1 or 3, side, side)"
        )
    return np.ascontiguousarray(images)


def _labels(labels: NDArray[Any], count: int, name: str) -> Labels:
    """Class indices as int64."""
    if labels.shape == (count, 1):
        labels = labels[:, 0]
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        raise InputError(
            f"the labels of {name} are {labels.dtype} {labels.shape}, not {count:,} class indices"
        )
    found: Labels = labels.astype(np.int64)
    if found.min() < 0:
        raise InputError(f"the labels of {name} begin at {found.min()}, not at 0")
    return found
