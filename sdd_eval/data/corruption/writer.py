"""Write a corrupted test set in the layout of CIFAR-10-C, resumable wherever it was stopped.

`NAME.npy` (5 · n, side, side, channels) uint8 holds severity 1 of all images, then severity 2 …;
`labels.npy` repeats the labels five times; `regenerated.json` says how it was made.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.data.corruption import frost
from sdd_eval.data.corruption.recipe import VERSION, require_corruption
from sdd_eval.data.corruption.rendering import Job, Render, blocks, renderer
from sdd_eval.data.images import ImageSet, Labels
from sdd_eval.errors import InputError
from sdd_eval.metrics.corruption import FIFTEEN, SEVERITIES
from sdd_eval.progress import NoProgress, Progress
from sdd_eval.records import FORMAT
from sdd_eval.store import locked, read_record, write_atomically, write_record

#: Bytes of images that are rendered and written at once.
_BLOCK = 2**20


def write_corrupted(
    images: ImageSet,
    folder: Path,
    *,
    corruptions: Sequence[str] = FIFTEEN,
    seed: int = 0,
    frost_photos: Sequence[frost.Photo] | None = None,
    progress: Progress | None = None,
    workers: int = 1,
) -> RegenerationRecord:
    """Write the corruptions that are not in the folder yet, and return the note beside them.

    A file has its name when it is whole; until then it is `.NAME.npy.part`, and its whole rows
    are kept by the next call. Progress counts rendered images, 5 an image and corruption.

    Raises:
        InputError: a corruption is unknown, the images have no labels, the folder was made from
            something else or is official, it cannot be written, or another process writes it.
    """
    for corruption in corruptions:
        require_corruption(corruption, seed=seed)
    if images.labels is None:
        raise InputError(f"{images.name} has no labels, which labels.npy is to repeat")
    photos = frost.read_photographs(frost_photos, images.image_size)
    progress = progress or NoProgress()
    with locked(folder / MARKER, "writing"), renderer(workers, photos) as render:
        note = claim(folder, note_of(images, seed, photos))
        labels = np.tile(_in_bytes(images.labels), len(SEVERITIES))
        write_atomically(folder / "labels.npy", lambda file: np.save(file, labels))
        progress.start(f"corrupting {images.name}", len(corruptions) * len(labels))
        for corruption in corruptions:
            target = _Target(images, folder, corruption, seed)
            sha256 = _write(target, render, progress)
            if note.files.get(target.final.name) != sha256:
                note = noted(folder, note, target.final.name, sha256)
    return note


def _in_bytes(labels: Labels) -> NDArray[np.integer[Any]]:
    """Labels as the publisher stores them, one byte each, unless there are more than 256 classes.

    The file of CIFAR-100's is then the published one to the last bit.
    """
    return labels.astype(np.uint8) if labels.max(initial=0) < 256 else labels


@dataclass(frozen=True)
class _Target:
    """One file to be written."""

    images: ImageSet
    folder: Path
    corruption: str
    seed: int

    @property
    def final(self) -> Path:
        """Its name when it is whole."""
        return self.folder / f"{self.corruption}.npy"

    @property
    def aside(self) -> Path:
        """Its name until then."""
        return self.folder / f".{self.corruption}.npy.part"

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(5 · n, side, side, channels)."""
        side = self.images.image_size
        return len(SEVERITIES) * len(self.images), side, side, self.images.channels

    @property
    def header(self) -> bytes:
        """The first bytes of the file."""
        buffer = io.BytesIO()
        header = {"descr": "|u1", "fortran_order": False, "shape": self.shape}
        np.lib.format.write_array_header_1_0(buffer, header)
        return buffer.getvalue()

    @property
    def row_bytes(self) -> int:
        """Bytes of one image."""
        return self.images.image_size**2 * self.images.channels

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return len(self.header) + self.shape[0] * self.row_bytes


def _write(target: _Target, render: Render, progress: Progress) -> str:
    """Write one file, or what of it is missing; its sha256."""
    try:
        if not target.final.exists():
            _append(target, render, progress)
            os.replace(target.aside, target.final)
        else:
            progress.advance(target.shape[0], note=f"{target.corruption} kept")
        if target.final.stat().st_size != target.size:
            raise InputError(f"{target.final} is not of the right size; delete it and start again")
        return _sha256(target.final)
    except OSError as error:
        message = f"cannot write {target.final}: {error.strerror or error}"
        raise InputError(message) from error


def _append(target: _Target, render: Render, progress: Progress) -> None:
    """Bring the file aside to its full length."""
    target.aside.touch()
    with target.aside.open("r+b") as file:
        header = target.header
        if file.read(len(header)) != header:
            file.seek(0)
            file.write(header)
            file.truncate()
        done = (file.seek(0, os.SEEK_END) - len(header)) // target.row_bytes
        file.truncate(file.seek(len(header) + done * target.row_bytes))
        progress.advance(done, note=target.corruption)
        for block in render(_jobs(target, done)):
            file.write(block.tobytes())
            progress.advance(len(block), note=target.corruption)
        file.flush()
        os.fsync(file.fileno())


def _jobs(target: _Target, done: int) -> Iterator[Job]:
    """What is still to be rendered, where so many rows are done."""
    count = len(target.images)
    size = min(500, max(1, _BLOCK // target.row_bytes))
    for severity in SEVERITIES:
        first = min(count, max(0, done - (severity - 1) * count))
        rows = np.arange(first, count)
        starts = range(0, len(rows), size)
        for start, pixels in zip(starts, blocks(target.images, size, rows), strict=True):
            indices = rows[start : start + size]
            yield Job(pixels, target.corruption, severity, target.seed, indices)


def _sha256(path: Path) -> str:
    """sha256 of a file, in hex."""
    whole = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(2**20):
            whole.update(piece)
    return whole.hexdigest()


MARKER = "regenerated.json"


@dataclass(frozen=True)
class CleanImages:
    """The clean images."""

    name: str
    fingerprint: str
    origin: str
    images: int
    image_size: int
    channels: int


@dataclass(frozen=True)
class RegenerationRecord:
    """`regenerated.json`; `files` are the finished ones, each with its sha256."""

    recipe: int
    seed: int
    source: CleanImages
    frost: str
    frost_photos: str | None = None
    """sha256 of the photographs of frost, if there were any."""
    files: Mapping[str, str] = field(default_factory=dict)
    format: int = FORMAT


def note_of(
    images: ImageSet, seed: int, photos: tuple[frost.Photograph, ...] | None
) -> RegenerationRecord:
    """The note for a set that is to be written."""
    source = CleanImages(
        images.name,
        images.fingerprint,
        images.provenance,
        len(images),
        images.image_size,
        images.channels,
    )
    if photos is None:
        return RegenerationRecord(VERSION, seed, source, "synthetic")
    return RegenerationRecord(
        VERSION, seed, source, "photographs", frost.photographs_digest(photos)
    )


def claim(folder: Path, note: RegenerationRecord) -> RegenerationRecord:
    """The note that is in the folder, or else this one, written there.

    Raises:
        InputError: the folder holds images of another origin, source, seed, recipe or frost.
    """
    path = folder / MARKER
    if path.exists():
        found = read_record(path, RegenerationRecord)
        _compare(folder, found, note)
        return found
    foreign = sorted(file.name for file in folder.glob("*.npy"))
    if foreign:
        raise InputError(
            f"{folder} holds {foreign[0]} and no {MARKER}: it is not ours to write; "
            f"choose another folder or move that one away"
        )
    write_record(path, note)
    return note


def _compare(folder: Path, found: RegenerationRecord, wanted: RegenerationRecord) -> None:
    """Refuse a folder that was made with anything else."""
    pairs = {
        "recipe version": (found.recipe, wanted.recipe),
        "seed": (found.seed, wanted.seed),
        "source": (found.source.name, wanted.source.name),
        "source's content": (found.source.fingerprint, wanted.source.fingerprint),
        "frost": (found.frost, wanted.frost),
        "frost photographs": (found.frost_photos, wanted.frost_photos),
    }
    for what, (there, here) in pairs.items():
        if there != here:
            raise InputError(
                f"{folder} was made with {what} {there}, not {here}; move or delete that "
                f"folder to make it anew"
            )


def noted(folder: Path, note: RegenerationRecord, file: str, sha256: str) -> RegenerationRecord:
    """The note with one more finished file, written."""
    note = replace(note, files={**note.files, file: sha256})
    write_record(folder / MARKER, note)
    return note
