"""How far a set on the disk is its publisher's, and the errors of sets that are not there."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Protocol, runtime_checkable

from sdd_eval.data.images import ImageSet
from sdd_eval.errors import InputError
from sdd_eval.store import write_record

OFFICIAL, UNVERIFIED, ABSENT = "official", "unverified", "absent"
MADE_HERE, USERS_FOLDER, REGENERATED = "made here", "user's folder", "regenerated"


def judged(found: int, published: int, verified: bool) -> str:
    """The origin of a set from its count, the publisher's count, and whether checksums agree.

    >>> judged(1200, 5640, False), judged(5640, 5640, False), judged(5640, 5640, True)
    ('partial: 1,200 of 5,640', 'unverified', 'official')
    """
    if found != published:
        return f"partial: {found:,} of {published:,}"
    return OFFICIAL if verified else UNVERIFIED


def missing(name: str, where: Path, downloadable: bool) -> InputError:
    """The error for a set that is not on the disk; it names the commands that mend it."""
    get = f"`sdd-eval data get {name}` downloads it, " if downloadable else ""
    add = f"`sdd-eval data add {name} PATH` places what you have"
    return InputError(f"{name} is not there ({where}); {get}{add}")


def require_split(name: str, split: str, *splits: str) -> None:
    """Refuse a split that a set does not have.

    Raises:
        InputError: it is none of `splits`.
    """
    if split not in splits:
        raise InputError(f"{name} has no {split!r} images, only {' and '.join(splits)}")


def require_shape(images: ImageSet, image_size: int | None, channels: int | None) -> None:
    """Refuse a set with a size of its own where the network takes another.

    Raises:
        InputError: side or channels differ from what is asked for.
    """
    wanted = (channels or images.channels, image_size or images.image_size)
    if wanted != (images.channels, images.image_size):
        raise InputError(
            f"{images.name} has {images.channels}-channel images of {images.image_size} pixels, "
            f"the network takes {wanted[0]} channels and {wanted[1]} pixels"
        )


@runtime_checkable
class Vouched(Protocol):
    """A set whose publisher gives the archive's checksum and none of what lies in it."""

    @property
    def name(self) -> str:
        """The catalogue's name."""

    def content(self, root: Path, *, fresh: bool = False) -> str:
        """sha256 of what is on the disk; with `fresh` not from the cache."""


def vouch(root: Path, name: str, content: str, md5: str) -> None:
    """Write down that this content came out of an archive with the publisher's checksum."""
    write_record(_receipt(root, name), {"name": name, "content": content, "archive_md5": md5})


def vouched(root: Path, content: str | None) -> bool:
    """Whether this very content came out of an archive with the publisher's checksum.

    By whatever name: one archive may hold two sets of the catalogue.
    """
    if content is None:
        return False
    for path in (root / ".verified").glob("*.json"):
        with contextlib.suppress(OSError, ValueError):
            receipt = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(receipt, dict) and receipt.get("content") == content:
                return True
    return False


def _receipt(root: Path, name: str) -> Path:
    return root / ".verified" / f"{name}.json"
