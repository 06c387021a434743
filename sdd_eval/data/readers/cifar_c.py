"""Corrupted test sets in CIFAR-C's layout: `labels.npy`, and one `.npy` file per corruption.

Source: D. Hendrycks and T. Dietterich, "Benchmarking Neural Network Robustness to Common
Corruptions and Perturbations", 2019.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np

from sdd_eval.data.dataset import Archive, Reader, Shape, Status, missing_dataset, published
from sdd_eval.data.files import reading
from sdd_eval.data.fingerprints import Digests, cached_file_digests, file_digests, value_fingerprint
from sdd_eval.data.images import ImageSet, Labels, MappedImages, class_indices, open_npy
from sdd_eval.data.provenance import ABSENT, REGENERATED, USERS_FOLDER, assess, is_verified
from sdd_eval.errors import InputError, unknown_name
from sdd_eval.metrics.corruption import NINETEEN, SEVERITIES
from sdd_eval.records import FORMAT

#: The record in a folder that this package wrote.
REGENERATED_FILE = "regenerated.json"
#: Suffix of the names of sets that `sdd-eval data corrupt` writes.
REGENERATED_SUFFIX = "_c_regenerated"


class Source(msgspec.Struct, frozen=True):
    """The images that were corrupted; `origin` is their provenance."""

    name: str = ""
    fingerprint: str | None = None
    origin: str = ""
    images: int = 0
    image_size: int = 0
    channels: int = 0


class Regenerated(msgspec.Struct, frozen=True):
    """The content of `regenerated.json`: how the images were rendered, and from which source."""

    recipe: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 1
    seed: int = 0
    source: Source = Source()
    frost: Literal["synthetic", "photographs", "official"] = "synthetic"
    frost_photos: str | None = None
    """sha256 of the photographs of frost, if any."""
    files: Mapping[str, str] = {}
    """The sha256 of each complete file."""
    format: int = FORMAT


Sums = Mapping[str, Digests]
#: (rows, side, side, channels).
ArrayShape = tuple[int, int, int, int]


@dataclass(frozen=True)
class CorruptedDataset(Reader):
    """A data set in CIFAR-C's layout: published, or a user's folder if `clean` is None."""

    name: str
    summary: str
    folder: str
    clean: str | None = None
    """The name of the uncorrupted set."""
    md5: Mapping[str, str] = field(default_factory=dict)
    """The published md5 of each file, by name without suffix; empty if there are none."""
    archives: tuple[Archive, ...] = ()

    @property
    def checksums(self) -> dict[str, str]:
        """The published md5 of each file, by path below the data root."""
        return {f"{self.folder}/{name}.npy": md5 for name, md5 in self.md5.items()}

    def status(self, root: Path) -> Status:
        """Return the state of the set on disk; reads headers, and checksums from the cache."""
        folder = root / self.folder
        names = present_corruptions(folder)
        if not names:
            return Status(ABSENT, 0, str(folder))
        count, location = count_images(folder, names)
        cached = {name: cached_file_digests(folder / f"{name}.npy") for name in (*names, "labels")}
        sums = {name: digests for name, digests in cached.items() if digests is not None}
        complete = len(sums) == len(cached)
        return Status(self._provenance(root, count, sums if complete else {}), count, location)

    def read(self, root: Path, split: str, shape: Shape) -> ImageSet:
        """Raise InputError: the set has different images for every corruption and severity."""
        raise InputError(
            f"{self.name} is {self.clean or 'a test set'} under several corruptions, not one set "
            "of images; use it as --corrupted"
        )

    def load_corrupted(self, root: Path) -> CorruptedFolder:
        """Open the corruptions on disk; raise InputError if none is usable."""
        folder = root / self.folder
        if not present_corruptions(folder):
            raise missing_dataset(self.name, folder, bool(self.archives))
        opened = open_corrupted_folder(self.name, folder)
        provenance = self._provenance(root, opened.images, opened.sums)
        frost = "unknown" if provenance == USERS_FOLDER else opened.frost
        return replace(opened, provenance=provenance, frost=frost)

    def content(self, root: Path, *, fresh: bool = False) -> str:
        """Return the sha256 over the checksums of the files; `fresh` bypasses the cache."""
        folder = root / self.folder
        names = (*present_corruptions(folder), "labels")
        return combined_fingerprint(file_sums(folder, names, fresh=fresh))

    def _provenance(self, root: Path, count: int, sums: Sums) -> str:
        """Compare the count, and the md5 of each file or of the archive that they come from."""
        if read_regenerated(root / self.folder) or self.name.endswith(REGENERATED_SUFFIX):
            return REGENERATED
        if self.clean is None:
            return USERS_FOLDER
        if self.md5:
            verified = all(self.md5.get(name) == digests.md5 for name, digests in sums.items())
        else:
            verified = is_verified(root, combined_fingerprint(sums))
        return assess(count, 10_000, bool(sums) and verified)


@dataclass(frozen=True)
class CorruptedFolder:
    """An opened folder; a cell maps only its own rows into memory."""

    name: str
    folder: Path
    corruptions: tuple[str, ...]
    """Corruptions whose files are complete."""
    images: int
    """Images per severity; each severity has the same images in the same order."""
    labels: Labels | None
    """Labels of one severity; None if `labels.npy` is missing or unreadable."""
    image_size: int
    channels: int
    sums: Sums
    provenance: str
    frost: str
    class_names: tuple[str, ...] = ()
    broken: Mapping[str, str] = field(default_factory=dict)
    """The reason why each unusable file is unusable, by name without suffix."""
    recipe: int = 1
    """Version of the recipe that rendered the images, if this package did."""

    @property
    def fingerprint(self) -> str:
        """sha256 over the checksums of the files."""
        return combined_fingerprint(self.sums)

    def cell(self, corruption: str, severity: int) -> MappedImages:
        """Return the images of one corruption at one severity, 1 to 5; raise InputError if none."""
        path = self.folder / f"{corruption}.npy"
        if corruption not in (*self.corruptions, *self.broken, *NINETEEN):
            raise unknown_name(f"corruption of {self.name}", corruption, self.corruptions)
        if corruption not in self.corruptions:
            raise InputError(self.broken.get(corruption, f"{path} does not exist"))
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
            fingerprint=value_fingerprint(self.sums[corruption].sha256, start, self.images),
            provenance=self.provenance,
            class_names=self.class_names,
        )


def open_corrupted_folder(name: str, folder: Path) -> CorruptedFolder:
    """Open the corruptions of a folder; every file is checked and hashed (then cached).

    If a file is truncated, or its shape or type differs from most, only its own corruption is lost:
    `broken` has the reason. `regenerated.json`, if it exists, states the source of the frost.
    Raise InputError if no file is usable, or `labels.npy` contradicts them.
    """
    names = present_corruptions(folder)
    shape, broken = _common_shape(folder, names)
    labels = _labels(folder / "labels.npy", shape[0], broken)
    usable = tuple(name for name in names if name not in broken)
    sums = file_sums(folder, (*usable, *(() if labels is None else ("labels",))))
    record = read_regenerated(folder) or Regenerated(frost="official")
    changed = {
        name: f"{folder / name}.npy has changed since it was written; delete it and run "
        "`sdd-eval data corrupt` again"
        for name, digests in sums.items()
        if record.files.get(f"{name}.npy", digests.sha256) != digests.sha256
    }
    sums = {name: digests for name, digests in sums.items() if name not in changed}
    return CorruptedFolder(
        name=name,
        folder=folder,
        corruptions=tuple(name for name in usable if name not in changed),
        images=shape[0] // len(SEVERITIES),
        labels=labels,
        image_size=shape[1],
        channels=shape[3],
        sums=sums,
        provenance=REGENERATED,
        frost=record.frost,
        broken={**broken, **changed},
        recipe=record.recipe,
    )


def count_images(folder: Path, corruptions: tuple[str, ...]) -> tuple[int, str]:
    """Return the number of images per severity, and a description of the location."""
    rows = _common_shape(folder, corruptions)[0][0]
    own = sum(name not in NINETEEN for name in corruptions)
    known = f"{len(corruptions) - own} of {len(NINETEEN)} corruptions"
    location = f"{folder} ({known}{f', {own} of other names' if own else ''})"
    return rows // len(SEVERITIES), location


def present_corruptions(folder: Path) -> tuple[str, ...]:
    """Return the corruptions whose files are in a folder, the benchmark's first, in its order.

    Files of other names are the user's own corruptions, if `labels.npy` is next to them.
    """
    known = tuple(name for name in NINETEEN if (folder / f"{name}.npy").is_file())
    if not (folder / "labels.npy").is_file():
        return known
    paths = (path for path in folder.glob("[!.]*.npy") if path.is_file())
    return (*known, *sorted({path.stem for path in paths} - {*known, "labels"}))


def file_sums(folder: Path, names: tuple[str, ...], *, fresh: bool = False) -> dict[str, Digests]:
    """Return the checksums of files `NAME.npy`, by name without suffix."""
    return {name: file_digests(folder / f"{name}.npy", fresh=fresh) for name in names}


def combined_fingerprint(sums: Sums) -> str:
    """Return one sha256 over the checksums of several files."""
    return value_fingerprint(*sorted((name, digests.sha256) for name, digests in sums.items()))


def read_regenerated(folder: Path) -> Regenerated | None:
    """Return the record of a folder that this package wrote; None for other folders."""
    path = folder / REGENERATED_FILE
    if not path.is_file():
        return None
    with reading(path, "a record of `sdd-eval data corrupt`"):
        return msgspec.json.decode(path.read_bytes(), type=Regenerated)


def _common_shape(folder: Path, corruptions: tuple[str, ...]) -> tuple[ArrayShape, dict[str, str]]:
    """Return the most frequent shape, and why each file of another shape is unusable."""
    shapes: dict[str, ArrayShape] = {}
    broken: dict[str, str] = {}
    for name in corruptions:
        try:
            shapes[name] = _shape(folder / f"{name}.npy")
        except InputError as error:
            broken[name] = str(error)
    if not shapes:
        raise InputError(next(iter(broken.values())))
    ((common, count),) = Counter(shapes.values()).most_common(1)
    for name, shape in shapes.items():
        if shape != common:
            path = folder / f"{name}.npy"
            broken[name] = f"{path} has the shape {shape}; {count} other files have {common}"
    return common, broken


def _shape(path: Path) -> ArrayShape:
    array = open_npy(path)
    if array.dtype != np.uint8:
        raise InputError(f"{path} has the type {array.dtype}, not uint8")
    square = array.ndim == 4 and array.shape[1] == array.shape[2] and array.shape[3] in (1, 3)
    if not square or len(array) == 0 or len(array) % len(SEVERITIES):
        raise InputError(
            f"{path} has the shape {array.shape}, not (5 × images, side, side, channels)"
        )
    rows, side, _, channels = array.shape
    return rows, side, side, channels


def _labels(path: Path, rows: int, broken: dict[str, str]) -> Labels | None:
    """Return the labels of one severity; None, with an entry in `broken`, if unreadable."""
    try:
        stored = open_npy(path)
    except InputError as error:
        broken["labels"] = str(error)
        return None
    values = class_indices(stored, rows, path)
    by_severity: Labels = values.reshape(len(SEVERITIES), -1)
    if (by_severity != by_severity[0]).any():
        raise InputError(f"{path} does not repeat the same labels for each severity")
    first: Labels = by_severity[0]
    return first


CIFAR10_C, CIFAR100_C = (CorruptedDataset(**published(n)) for n in ("cifar10_c", "cifar100_c"))
