"""How a set on disk relates to the set that its publisher distributes."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from sdd_eval.store import write_record

OFFICIAL, UNVERIFIED, ABSENT = "official", "unverified", "absent"
MADE_HERE, USERS_FOLDER, REGENERATED = "made here", "user's folder", "regenerated"


def assess(count: int, published: int, verified: bool) -> str:
    """Return the provenance of a set from its count, the published count and its checksums.

    >>> assess(1200, 5640, False), assess(5640, 5640, False), assess(5640, 5640, True)
    ('partial: 1,200 of 5,640', 'unverified', 'official')
    """
    if count != published:
        return f"partial: {count:,} of {published:,}"
    return OFFICIAL if verified else UNVERIFIED


def record_verified(root: Path, name: str, content: str, md5: str) -> None:
    """Record that a content hash comes from an archive with the publisher's md5."""
    record = {"name": name, "content": content, "archive_md5": md5}
    write_record(root / ".verified" / f"{name}.json", record)


def is_verified(root: Path, content: str | None) -> bool:
    """Return whether a content hash comes from any archive with its publisher's checksum."""
    if content is None:
        return False
    for path in (root / ".verified").glob("*.json"):
        with contextlib.suppress(OSError, ValueError, RecursionError):
            record = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(record, dict) and record.get("content") == content:
                return True
    return False
