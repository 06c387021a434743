"""Comparisons in the study's folder: computed once for the same runs, then read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from sdd_eval import store
from sdd_eval.comparison.families import Families
from sdd_eval.comparison.joining import Evaluated
from sdd_eval.comparison.record import Compared
from sdd_eval.errors import InputError

#: Raised when the same runs would be compared in another way.
VERSION = 1
FOLDER = "comparisons"


def kept(
    study: Path,
    sides: tuple[Sequence[Sequence[Evaluated]], Sequence[Sequence[Evaluated]]],
    how: tuple[Families, int, str],
    compare: Callable[[], Compared],
) -> Compared:
    """The comparison of these runs as it lies in the study; made and written where it does not.

    `how` are the families, how many pairs are compared together, and which McNemar's test.
    """
    content = [[[_content(each) for each in runs] for runs in side] for side in sides]
    families = {name: list(each) for name, each in how[0].items()}
    key = store.key_of(
        {"runs": content, "families": families, "how": list(how[1:]), "version": VERSION}
    )
    first, second = (side[0][0].run.checkpoint for side in sides)
    path = study / FOLDER / f"{first[:90]}--{second[:90]}-{key}.json"
    if path.exists():
        try:
            return store.read_record(path, Compared)
        except InputError:  # of another format, or cut by a hand: it is made again
            pass
    found = compare()
    store.write_record(path, found)
    return found


def _content(found: Evaluated) -> tuple[str, str]:
    return found.path.name, hashlib.sha256(found.path.read_bytes()).hexdigest()


def comparisons_of(study: Path) -> list[Compared]:
    """The comparisons that lie in a study and can be read, in order of their files' names."""
    found = []
    for path in sorted((study / FOLDER).glob("*.json")):
        try:
            found.append(store.read_record(path, Compared))
        except InputError:
            continue
    return found
