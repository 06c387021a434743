"""Write a corrupted test set in CIFAR-10-C's layout; an interrupted call can be resumed.

`NAME.npy`, uint8 (5 · n, side, side, channels), has severity 1 of all images, then severity 2 …;
`labels.npy` repeats the labels five times; `regenerated.json` records how the images were made.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from sdd_eval.data.corruption import frost
from sdd_eval.data.corruption.recipe import VERSION, require_corruption
from sdd_eval.data.corruption.rendering import Job, Render, blocks, renderer
from sdd_eval.data.fingerprints import file_digests
from sdd_eval.data.images import ImageSet
from sdd_eval.data.readers.cifar_c import REGENERATED_FILE
from sdd_eval.errors import InputError
from sdd_eval.metrics.corruption import FIFTEEN, SEVERITIES
from sdd_eval.progress import NoProgress, Progress
from sdd_eval.records import FORMAT
from sdd_eval.store import locked, read_record, write_atomically, write_record

#: Bytes of images per rendered block.
_BLOCK = 2**20


@dataclass(frozen=True)
class CleanImages:
    """The images that were corrupted."""

    name: str
    fingerprint: str
    origin: str
    """Their provenance."""
    images: int
    image_size: int
    channels: int


@dataclass(frozen=True)
class RegenerationRecord:
    """The content of `regenerated.json`; `files` are the complete files with their sha256."""

    recipe: int
    seed: int
    source: CleanImages
    frost: str
    frost_photos: str | None = None
    """sha256 of the photographs of frost, if any."""
    files: Mapping[str, str] = field(default_factory=dict)
    format: int = FORMAT


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
    """Write the corruptions that are missing in a folder, and return its record.

    Until a file is complete it is called `.NAME.npy.part`, and the next call continues with it.
    Progress counts rendered images, 5 per image and corruption. Raise InputError if a corruption is
    unknown, the images have no labels, the folder was made from other inputs or not by this
    package, it cannot be written, or another process writes it.
    """
    for corruption in corruptions:
        require_corruption(corruption, seed=seed)
    if images.labels is None:
        raise InputError(f"{images.name} has no labels, which labels.npy needs")
    photos = frost.read_photographs(frost_photos, images.image_size)
    progress = progress or NoProgress()
    with locked(folder / REGENERATED_FILE, "writing"), renderer(workers, photos) as render:
        record = _open_record(folder, _new_record(images, seed, photos))
        # As bytes, if possible: CIFAR-100's file is then bitwise identical to the published one.
        kind = np.uint8 if images.labels.max(initial=0) < 256 else images.labels.dtype
        labels = np.tile(images.labels.astype(kind), len(SEVERITIES))
        write_atomically(folder / "labels.npy", lambda file: np.save(file, labels))
        progress.start(f"corrupting {images.name}", len(corruptions) * len(labels))
        for corruption in corruptions:
            target = _Target(images, folder, corruption, seed)
            sha256 = _write(target, render, progress)
            if record.files.get(target.final.name) != sha256:
                record = replace(record, files={**record.files, target.final.name: sha256})
                write_record(folder / REGENERATED_FILE, record)
    return record


@dataclass(frozen=True)
class _Target:
    images: ImageSet
    folder: Path
    corruption: str
    seed: int

    @property
    def final(self) -> Path:
        """Path of the complete file."""
        return self.folder / f"{self.corruption}.npy"

    @property
    def partial(self) -> Path:
        """Path of the incomplete file."""
        return self.folder / f".{self.corruption}.npy.part"

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of the array: (5 · n, side, side, channels)."""
        side = self.images.image_size
        return len(SEVERITIES) * len(self.images), side, side, self.images.channels

    @property
    def header(self) -> bytes:
        """The `.npy` header."""
        buffer = io.BytesIO()
        header = {"descr": "|u1", "fortran_order": False, "shape": self.shape}
        np.lib.format.write_array_header_1_0(buffer, header)
        return buffer.getvalue()

    @property
    def row_bytes(self) -> int:
        """Size of one image in bytes."""
        return self.images.image_size**2 * self.images.channels


def _write(target: _Target, render: Render, progress: Progress) -> str:
    """Write the missing part of a file and return its sha256."""
    try:
        if not target.final.exists():
            _append(target, render, progress)
            os.replace(target.partial, target.final)
        else:
            progress.advance(target.shape[0], note=f"{target.corruption} kept")
        size = len(target.header) + target.shape[0] * target.row_bytes
        if target.final.stat().st_size != size:
            raise InputError(f"{target.final} has the wrong size; delete it and try again")
        return file_digests(target.final, fresh=True).sha256
    except OSError as error:
        message = f"cannot write {target.final}: {error.strerror or error}"
        raise InputError(message) from error


def _append(target: _Target, render: Render, progress: Progress) -> None:
    """Append the missing rows to the incomplete file."""
    target.partial.touch()
    with target.partial.open("r+b") as file:
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
    count = len(target.images)
    size = min(500, max(1, _BLOCK // target.row_bytes))
    for severity in SEVERITIES:
        first = min(count, max(0, done - (severity - 1) * count))
        rows = np.arange(first, count)
        starts = range(0, len(rows), size)
        for start, pixels in zip(starts, blocks(target.images, size, rows), strict=True):
            yield {
                **{"images": pixels, "indices": rows[start : start + size], "seed": target.seed},
                **{"corruption": target.corruption, "severity": severity},
            }


def _new_record(
    images: ImageSet, seed: int, photos: tuple[frost.Photograph, ...] | None
) -> RegenerationRecord:
    source = CleanImages(
        *(images.name, images.fingerprint, images.provenance, len(images)),
        *(images.image_size, images.channels),
    )
    if photos is None:
        return RegenerationRecord(VERSION, seed, source, "synthetic")
    digest = frost.photographs_digest(photos)
    return RegenerationRecord(VERSION, seed, source, "photographs", digest)


def _open_record(folder: Path, record: RegenerationRecord) -> RegenerationRecord:
    """Return the record of the folder; without one, write and return the given record."""
    path = folder / REGENERATED_FILE
    if path.exists():
        existing = read_record(path, RegenerationRecord)
        pairs = {
            "recipe version": (existing.recipe, record.recipe),
            "seed": (existing.seed, record.seed),
            "source": (existing.source.name, record.source.name),
            "source's content": (existing.source.fingerprint, record.source.fingerprint),
            "frost": (existing.frost, record.frost),
            "frost photographs": (existing.frost_photos, record.frost_photos),
        }
        for what, (old, new) in pairs.items():
            if old != new:
                raise InputError(
                    f"{folder} was made with {what} {old}, not {new}; move or delete that folder "
                    "to render it again"
                )
        return existing
    foreign = sorted(file.name for file in folder.glob("*.npy"))
    if foreign:
        raise InputError(
            f"{folder} contains {foreign[0]} but no {REGENERATED_FILE}: it was not created by "
            "sdd-eval, which does not overwrite it; move it away"
        )
    write_record(path, record)
    return record
