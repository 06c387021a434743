"""A corrupted test set on disk in the layout of CIFAR-C: one `.npy` a corruption, `labels.npy`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sdd_eval.data.fingerprints import Digests, of_file, of_parts
from sdd_eval.data.images import Labels, MappedImages, map_array
from sdd_eval.data.provenance import REGENERATED
from sdd_eval.errors import InputError, unknown_name
from sdd_eval.metrics.corruption import NINETEEN, SEVERITIES

#: Lies in a folder that this package wrote, and says how.
REGENERATED_FILE = "regenerated.json"

Sums = Mapping[str, Digests]
#: (rows, side, side, channels).
Shape = tuple[int, int, int, int]


@dataclass(frozen=True)
class CorruptedFolder:
    """A corrupted test set on disk; a cell maps only its own rows into memory."""

    name: str
    folder: Path
    corruptions: tuple[str, ...]
    """Those whose files are whole."""
    images: int
    """Of one severity; every severity holds the same images in the same order."""
    labels: Labels | None
    """Of one severity; None where `labels.npy` is missing or cannot be read."""
    image_size: int
    channels: int
    sums: Sums
    origin: str
    frost: str
    class_names: tuple[str, ...] = ()
    broken: Mapping[str, str] = field(default_factory=dict)
    """What is wrong with each file that is there and cannot be used, by name without suffix."""

    @property
    def fingerprint(self) -> str:
        """sha256 over the files' own."""
        return content_of(self.sums)

    def cell(self, corruption: str, severity: int) -> MappedImages:
        """The images of one corruption at one severity, 1 to 5.

        Raises:
            InputError: there is no such corruption or severity, or its file is missing or broken.
        """
        path = self.folder / f"{corruption}.npy"
        if corruption not in NINETEEN:
            raise unknown_name(f"corruption of {self.name}", corruption, self.corruptions)
        if corruption not in self.corruptions:
            raise InputError(self.broken.get(corruption, f"{path} is not there"))
        if severity not in SEVERITIES:
            raise InputError(f"severity is {severity}, not one of 1 to {len(SEVERITIES)}")
        start = (severity - 1) * self.images
        return MappedImages(
            name=f"{self.name} {corruption} {severity}",
            path=path,
            start=start,
            stop=start + self.images,
            image_size=self.image_size,
            channels=self.channels,
            labels=self.labels,
            fingerprint=of_parts(self.sums[corruption].sha256, start, self.images),
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

    A file that is cut short, or of another shape or type than most, costs only its own corruption:
    it is in `broken`, with the reason. `judge` makes the origin of the number of images and the
    checksums, and `frost` says where the frost is from; a folder with `regenerated.json` is
    "regenerated", and says the latter itself.

    Raises:
        InputError: no file can be used, or `labels.npy` can be read and contradicts them.
    """
    shape, broken = _common_shape(folder, present(folder))
    labels = _labels(folder / "labels.npy", shape[0], broken)
    whole = tuple(each for each in present(folder) if each not in broken)
    sums = sums_of(folder, (*whole, *(() if labels is None else ("labels",))))
    made = read_regenerated(folder)
    changed = _changed(folder, made.get("files", {}), sums)
    sums = {each: digests for each, digests in sums.items() if each not in changed}
    images = shape[0] // len(SEVERITIES)
    judged = judge(images, sums) if judge is not None else REGENERATED
    return CorruptedFolder(
        name=name,
        folder=folder,
        corruptions=tuple(each for each in whole if each not in changed),
        images=images,
        labels=labels,
        image_size=shape[1],
        channels=shape[3],
        sums=sums,
        origin=REGENERATED if made else judged,
        frost=str(made.get("frost", "synthetic")) if made else frost,
        broken={**broken, **changed},
    )


def _changed(folder: Path, noted: Mapping[str, str], sums: Sums) -> dict[str, str]:
    """The files that are no longer what this package wrote, each with what to do."""
    return {
        name: f"{folder / name}.npy has changed since it was written; delete it, and "
        "`sdd-eval data corrupt` makes it again"
        for name, digests in sums.items()
        if noted.get(f"{name}.npy", digests.sha256) != digests.sha256
    }


def counted(folder: Path, corruptions: tuple[str, ...]) -> tuple[int, str]:
    """How many images a severity has, of which only headers are read, and where they are."""
    rows = _common_shape(folder, corruptions)[0][0]
    where = f"{folder} ({len(corruptions)} of {len(NINETEEN)} corruptions)"
    return rows // len(SEVERITIES), where


def present(folder: Path) -> tuple[str, ...]:
    """The corruptions whose files lie in a folder, in the order of the recipe."""
    return tuple(name for name in NINETEEN if (folder / f"{name}.npy").is_file())


def sums_of(folder: Path, names: tuple[str, ...], *, fresh: bool = False) -> dict[str, Digests]:
    """Checksums of files `NAME.npy`, by name without the suffix."""
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


def _common_shape(folder: Path, corruptions: tuple[str, ...]) -> tuple[Shape, dict[str, str]]:
    """The shape of most files, and what is wrong with each that has another or cannot be read."""
    shapes: dict[str, Shape] = {}
    broken: dict[str, str] = {}
    for name in corruptions:
        try:
            shapes[name] = _shape(folder / f"{name}.npy")
        except InputError as error:
            broken[name] = str(error)
    if not shapes:
        raise InputError(next(iter(broken.values())))
    ((usual, times),) = Counter(shapes.values()).most_common(1)
    for name, shape in shapes.items():
        if shape != usual:
            path = folder / f"{name}.npy"
            broken[name] = f"{path} has the shape {shape}; {times} beside it have {usual}"
    return usual, broken


def _shape(path: Path) -> Shape:
    array = map_array(path)
    if array.dtype != np.uint8:
        raise InputError(f"{path} holds {array.dtype}, not uint8")
    square = array.ndim == 4 and array.shape[1] == array.shape[2] and array.shape[3] in (1, 3)
    if not square or len(array) == 0 or len(array) % len(SEVERITIES):
        raise InputError(
            f"{path} has the shape {array.shape}, not (5 × images, side, side, channels)"
        )
    rows, side, _, channels = array.shape
    return rows, side, side, channels


def _labels(path: Path, rows: int, broken: dict[str, str]) -> Labels | None:
    """The labels of one severity; None, and noted in `broken`, where they cannot be read."""
    try:
        stored = map_array(path)
    except InputError as error:
        broken["labels"] = str(error)
        return None
    if stored.shape != (rows,) or stored.dtype.kind not in "iu":
        raise InputError(f"{path} holds {stored.dtype} {stored.shape}, not {rows:,} labels")
    by_severity: Labels = np.asarray(stored, dtype=np.int64).reshape(len(SEVERITIES), -1)
    if (by_severity != by_severity[0]).any():
        raise InputError(f"{path} does not repeat the same labels for each severity")
    first: Labels = by_severity[0]
    return first
