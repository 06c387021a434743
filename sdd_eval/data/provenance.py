"""How far a set on the disk is its publisher's, and the errors of sets that are not there."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Protocol, runtime_checkable

from sdd_eval.store import write_record

OFFICIAL, UNVERIFIED, ABSENT = "official", "unverified", "absent"
MADE_HERE, USERS_FOLDER, REGENERATED = "made here", "user's folder", "regenerated"


def assess(found: int, published: int, verified: bool) -> str:
    """The origin of a set from its count, the publisher's count, and whether checksums agree.

    >>> judged(1200, 5640, False), judged(5640, 5640, False), judged(5640, 5640, True)
    ('partial: 1,200 of 5,640', 'unverified', 'official')
    """
    if found != published:
        return f"partial: {found:,} of {published:,}"
    return OFFICIAL if verified else UNVERIFIED


@runtime_checkable
class ContentHashed(Protocol):
    """A set whose publisher gives the archive's checksum and none of what lies in it."""

    @property
    def name(self) -> str:
        """The catalogue's name."""

    def content(self, root: Path, *, fresh: bool = False) -> str:
        """sha256 of what is on the disk; with `fresh` not from the cache."""


def record_verified(root: Path, name: str, content: str, md5: str) -> None:
    """Write down that this content came out of an archive with the publisher's checksum."""
    write_record(_receipt(root, name), {"name": name, "content": content, "archive_md5": md5})


def is_verified(root: Path, content: str | None) -> bool:
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
