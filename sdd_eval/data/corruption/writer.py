"""Write a corrupted test set in CIFAR-10-C's layout; an interrupted call can be resumed.

`NAME.npy`, uint8 (5 · n, side, side, channels), has severity 1 of all images, then severity 2 …;
`labels.npy` repeats the labels five times; `regenerated.json` records how the images were made.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from msgspec import structs

from sdd_eval.data.corruption import frost
from sdd_eval.data.corruption.recipe import VERSION, require_corruption
from sdd_eval.data.corruption.rendering import Job, Render, blocks, renderer
from sdd_eval.data.files import free_bytes
from sdd_eval.data.fingerprints import file_digests
from sdd_eval.data.images import ImageSet
from sdd_eval.data.readers.cifar_c import REGENERATED_FILE, Regenerated, Source, read_regenerated
from sdd_eval.errors import InputError, file_errors
from sdd_eval.metrics.corruption import FIFTEEN, SEVERITIES
from sdd_eval.progress import NoProgress, Progress
from sdd_eval.store import locked, write_atomically, write_record

#: Bytes of images per rendered block.
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
) -> Regenerated:
    """Write the corruptions that are missing from a folder, and return its record.

    Until a file is complete, it is called `.NAME.npy.part`, and the next call continues it.
    Progress counts rendered images, 5 per image and corruption. Raise InputError if a corruption is
    unknown, the images have no labels, the folder was made from other inputs or not by this
    package, it cannot be written, or another process is writing it.
    """
    for corruption in corruptions:
        require_corruption(corruption, seed=seed)
    if images.labels is None:
        raise InputError(f"{images.name} has no labels, which labels.npy needs")
    photos = frost.read_photographs(frost_photos, images.image_size)
    progress = progress or NoProgress()
    with locked(folder / REGENERATED_FILE, "writing"), renderer(workers, photos) as render:
        record = _record(folder, images, seed, photos)
        # As bytes, if possible: CIFAR-100's file is then bitwise identical to the published one.
        kind = np.uint8 if images.labels.max(initial=0) < 256 else images.labels.dtype
        labels = np.tile(images.labels.astype(kind), len(SEVERITIES))
        write_atomically(folder / "labels.npy", lambda file: np.save(file, labels))
        _require_space(images, folder, corruptions)
        progress.start(f"corrupting {images.name}", len(corruptions) * len(labels))
        for corruption in corruptions:
            path = folder / f"{corruption}.npy"
            sha256 = _write(images, path, seed, render, progress)
            if record.files.get(path.name) != sha256:
                record = structs.replace(record, files={**record.files, path.name: sha256})
                write_record(folder / REGENERATED_FILE, record)
    return record


def _write(images: ImageSet, final: Path, seed: int, render: Render, progress: Progress) -> str:
    """Write the missing part of a corruption's file, and return its sha256."""
    row_bytes = images.image_size**2 * images.channels
    header, total = _header(images), len(SEVERITIES) * len(images)
    with file_errors("write", final):
        if final.exists():
            progress.advance(total, note=f"{final.stem} kept")
        else:
            partial = _partial(final)
            partial.touch()
            with partial.open("r+b") as file:
                done = _resume(file, header, row_bytes)
                progress.advance(done, note=final.stem)
                for block in render(_jobs(images, final.stem, seed, done)):
                    file.write(block.tobytes())
                    progress.advance(len(block), note=final.stem)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, final)
        if final.stat().st_size != len(header) + total * row_bytes:
            raise InputError(f"{final} has the wrong size; delete it and try again")
        return file_digests(final, fresh=True).sha256


def _require_space(images: ImageSet, folder: Path, corruptions: Sequence[str]) -> None:
    """Raise InputError, before any work, if the disk has no space for the missing files."""
    size = len(SEVERITIES) * len(images) * images.image_size**2 * images.channels
    paths = (folder / f"{corruption}.npy" for corruption in corruptions)
    parts = [_partial(path) for path in paths if not path.exists()]
    needed, free = size * len(parts), free_bytes(folder)
    needed -= sum(part.stat().st_size for part in parts if part.exists())
    if needed > free:
        raise InputError(
            f"{folder} needs {needed:,} bytes, and {free:,} are free; choose fewer --corruptions "
            "or another --data-root"
        )


def _partial(final: Path) -> Path:
    """Return the path of a file until it is complete."""
    return final.with_name(f".{final.name}.part")


def _header(images: ImageSet) -> bytes:
    """Return the `.npy` header of an array (5 · n, side, side, channels)."""
    side, buffer = images.image_size, io.BytesIO()
    shape = (len(SEVERITIES) * len(images), side, side, images.channels)
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    return buffer.getvalue()


def _resume(file: BinaryIO, header: bytes, row_bytes: int) -> int:
    """Cut an incomplete file after its last complete row, and return the number of rows."""
    if file.read(len(header)) != header:
        file.seek(0)
        file.write(header)
        file.truncate()
    done = (file.seek(0, os.SEEK_END) - len(header)) // row_bytes
    file.truncate(file.seek(len(header) + done * row_bytes))
    return done


def _jobs(images: ImageSet, corruption: str, seed: int, done: int) -> Iterator[Job]:
    count = len(images)
    size = min(500, max(1, _BLOCK // (images.image_size**2 * images.channels)))
    for severity in SEVERITIES:
        first = min(count, max(0, done - (severity - 1) * count))
        rows = np.arange(first, count)
        starts = range(0, len(rows), size)
        for start, pixels in zip(starts, blocks(images, size, rows), strict=True):
            indices = rows[start : start + size]
            where = {"corruption": corruption, "severity": severity, "seed": seed}
            yield {"images": pixels, "indices": indices, **where}


def _record(
    folder: Path, images: ImageSet, seed: int, photos: tuple[frost.Photograph, ...] | None
) -> Regenerated:
    """Return the folder's record, writing it if missing; InputError if the inputs differ."""
    record = Regenerated(
        recipe=VERSION,
        seed=seed,
        source=Source(
            *(images.name, images.fingerprint, images.provenance, len(images)),
            *(images.image_size, images.channels),
        ),
        frost="synthetic" if photos is None else "photographs",
        frost_photos=None if photos is None else frost.photographs_digest(photos),
    )
    existing = read_regenerated(folder)
    if existing is None:
        return _started(folder, record)
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


def _started(folder: Path, record: Regenerated) -> Regenerated:
    """Write the record of a new folder; raise InputError if it has arrays of another origin."""
    foreign = sorted(file.name for file in folder.glob("*.npy"))
    if foreign:
        raise InputError(
            f"{folder} contains {foreign[0]} but no {REGENERATED_FILE}: it was not created by "
            "sdd-eval, which does not overwrite it; move it away"
        )
    write_record(folder / REGENERATED_FILE, record)
    return record
