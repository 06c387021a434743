"""A corrupted test set on disk in the layout of CIFAR-C: one `.npy` a corruption, `labels.npy`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.corruptions import NINETEEN, SEVERITIES
from sdd_eval.data.fingerprints import Digests, of_file, of_parts
from sdd_eval.data.images import Labels, MappedImages
from sdd_eval.data.origin import REGENERATED
from sdd_eval.errors import InputError, unknown_name

#: Lies in a folder that this package wrote, and says how.
REGENERATED_FILE = "regenerated.json"

Sums = Mapping[str, Digests]


@dataclass(frozen=True)
class CorruptedFolder:
    """A corrupted test set on disk; a cell maps only its own rows into memory."""

    name: str
    folder: Path
    corruptions: tuple[str, ...]
    labels: Labels
    """Of one severity; every severity holds the same images in the same order."""
    image_size: int
    channels: int
    sums: Sums
    origin: str
    frost: str
    class_names: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """sha256 over the files' own."""
        return content_of(self.sums)

    def cell(self, corruption: str, severity: int) -> MappedImages:
        """The images of one corruption at one severity, 1 to 5.

        Raises:
            InputError: there is no such corruption or severity.
        """
        if corruption not in self.corruptions:
            raise unknown_name(f"corruption of {self.name}", corruption, self.corruptions)
        if severity not in SEVERITIES:
            raise InputError(f"severity is {severity}, not one of 1 to {len(SEVERITIES)}")
        start = (severity - 1) * len(self.labels)
        return MappedImages(
            name=f"{self.name} {corruption} {severity}",
            path=self.folder / f"{corruption}.npy",
            start=start,
            stop=start + len(self.labels),
            image_size=self.image_size,
            channels=self.channels,
            labels=self.labels,
            fingerprint=of_parts(self.sums[corruption].sha256, start, len(self.labels)),
            origin=self.origin,
            class_names=self.class_names,
        )


def open_folder(
    name: str,
    folder: Path,
    judge: Callable[[int, Sums], str] | None = None,
    frost: str = "official",
) -> CorruptedFolder:
    """Open the corruptions that are there; every file is checked and hashed (once, then cached).

    `judge` makes the origin of the number of images and the checksums, and `frost` says where the
    frost is from; a folder with `regenerated.json` is "regenerated", and says the latter itself.

    Raises:
        InputError: a file has another shape or type than the rest, or is cut short.
    """
    corruptions = present(folder)
    shape = _common_shape(folder, corruptions)
    labels = _labels(folder / "labels.npy", shape[0])
    sums = sums_of(folder, corruptions)
    made = read_regenerated(folder)
    _refuse_changed(folder, made.get("files", {}), sums)
    judged = judge(len(labels), sums) if judge is not None else REGENERATED
    return CorruptedFolder(
        name=name,
        folder=folder,
        corruptions=corruptions,
        labels=labels,
        image_size=shape[1],
        channels=shape[3],
        sums=sums,
        origin=REGENERATED if made else judged,
        frost=str(made.get("frost", "synthetic")) if made else frost,
    )


def _refuse_changed(folder: Path, noted: Mapping[str, str], sums: Sums) -> None:
    """Refuse a file that is no longer what this package wrote."""
    for name, digests in sums.items():
        if noted.get(f"{name}.npy", digests.sha256) != digests.sha256:
            raise InputError(
                f"{folder / name}.npy has changed since it was written; delete it, and "
                "`sdd-eval data corrupt` makes it again"
            )


def counted(folder: Path, corruptions: tuple[str, ...]) -> tuple[int, str]:
    """How many images a severity has, of which only a header is read, and where they are."""
    count = len(mapped(folder / f"{corruptions[0]}.npy")) // len(SEVERITIES)
    return count, f"{folder} ({len(corruptions)} of {len(NINETEEN)} corruptions)"


def present(folder: Path) -> tuple[str, ...]:
    """The corruptions whose files lie in a folder, in the order of the recipe."""
    return tuple(name for name in NINETEEN if (folder / f"{name}.npy").is_file())


def sums_of(
    folder: Path, corruptions: tuple[str, ...], *, fresh: bool = False
) -> dict[str, Digests]:
    """Checksums of the corruptions' files and of `labels.npy`, by name without the suffix."""
    names = (*corruptions, "labels")
    return {name: of_file(folder / f"{name}.npy", fresh=fresh) for name in names}


def content_of(sums: Sums) -> str:
    """One sha256 over those of several files."""
    return of_parts(*sorted((name, digests.sha256) for name, digests in sums.items()))


def read_regenerated(folder: Path) -> dict[str, Any]:
    """What this package noted when it wrote a folder; empty where it did not.

    Raises:
        InputError: the note is not JSON.
    """
    path = folder / REGENERATED_FILE
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not JSON: {error}") from error
    return {"regenerated": True, **(found if isinstance(found, dict) else {})}


def mapped(path: Path) -> NDArray[Any]:
    """A `.npy` file mapped into memory; only its header is read.

    Raises:
        InputError: it is not such a file, or cut short.
    """
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise InputError(f"{path} is not there") from error
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} is no whole .npy file: {error}") from error
    return array


def _common_shape(folder: Path, corruptions: tuple[str, ...]) -> tuple[int, int, int, int]:
    """(rows, side, side, channels) of all files."""
    shapes = {name: _shape(folder / f"{name}.npy") for name in corruptions}
    first = shapes[corruptions[0]]
    for name, shape in shapes.items():
        if shape != first:
            raise InputError(
                f"{folder / name}.npy has the shape {shape}, {corruptions[0]}.npy {first}"
            )
    return first


def _shape(path: Path) -> tuple[int, int, int, int]:
    array = mapped(path)
    if array.dtype != np.uint8:
        raise InputError(f"{path} holds {array.dtype}, not uint8")
    square = array.ndim == 4 and array.shape[1] == array.shape[2] and array.shape[3] in (1, 3)
    if not square or len(array) == 0 or len(array) % len(SEVERITIES):
        raise InputError(
            f"{path} has the shape {array.shape}, not (5 × images, side, side, channels)"
        )
    rows, side, _, channels = array.shape
    return rows, side, side, channels


def _labels(path: Path, rows: int) -> Labels:
    """The labels of one severity."""
    stored = mapped(path)
    if stored.shape != (rows,) or stored.dtype.kind not in "iu":
        raise InputError(f"{path} holds {stored.dtype} {stored.shape}, not {rows:,} labels")
    by_severity: Labels = np.asarray(stored, dtype=np.int64).reshape(len(SEVERITIES), -1)
    if (by_severity != by_severity[0]).any():
        raise InputError(f"{path} does not repeat the same labels for each severity")
    first: Labels = by_severity[0]
    return first
