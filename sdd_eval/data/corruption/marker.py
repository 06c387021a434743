"""What is noted beside corrupted images that this package wrote: from what, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from sdd_eval.data.corruption import frost
from sdd_eval.data.corruption.recipe import VERSION
from sdd_eval.data.images import ImageSet
from sdd_eval.errors import InputError
from sdd_eval.records import FORMAT
from sdd_eval.store import read_record, write_record

MARKER = "regenerated.json"


@dataclass(frozen=True)
class Source:
    """The clean images."""

    name: str
    fingerprint: str
    origin: str
    images: int
    image_size: int
    channels: int


@dataclass(frozen=True)
class Regenerated:
    """`regenerated.json`; `files` are the finished ones, each with its sha256."""

    recipe: int
    seed: int
    source: Source
    frost: str
    frost_photos: str | None = None
    """sha256 of the photographs of frost, if there were any."""
    files: Mapping[str, str] = field(default_factory=dict)
    format: int = FORMAT


def note_of(
    images: ImageSet, seed: int, photos: tuple[frost.Photograph, ...] | None
) -> Regenerated:
    """The note for a set that is to be written."""
    source = Source(
        images.name,
        images.fingerprint,
        images.origin,
        len(images),
        images.image_size,
        images.channels,
    )
    if photos is None:
        return Regenerated(VERSION, seed, source, "synthetic")
    return Regenerated(VERSION, seed, source, "photographs", frost.digest(photos))


def claim(folder: Path, note: Regenerated) -> Regenerated:
    """The note that is in the folder, or else this one, written there.

    Raises:
        InputError: the folder holds images of another origin, source, seed, recipe or frost.
    """
    path = folder / MARKER
    if path.exists():
        found = read_record(path, Regenerated)
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


def _compare(folder: Path, found: Regenerated, wanted: Regenerated) -> None:
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


def noted(folder: Path, note: Regenerated, file: str, sha256: str) -> Regenerated:
    """The note with one more finished file, written."""
    note = replace(note, files={**note.files, file: sha256})
    write_record(folder / MARKER, note)
    return note
