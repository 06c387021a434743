"""Names of the arrays of `ood`, which say whose scores they are."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote

#: The array of the scores of validation images.
VALIDATION = "held_out"
#: First letters of names that NumPy or this evaluator reserves are escaped, too.
RESERVED = (VALIDATION, "file", "allow_pickle")
#: What is escaped in names: separators of array names and of paths.
_SPECIAL = re.compile(r"[%:./\\]")


class ArrayName(NamedTuple):
    """Scores of the test set or of an OOD set by a detector, or a count made when fitting it.

    As text `DETECTOR`, `DETECTOR:SET` or `DETECTOR.COUNT`, with escapes as in a URL for "%", ":",
    "." and slashes in each part, so that the parts may hold any character. Earlier versions escaped
    nothing; of plain names they wrote the same.

    >>> str(ArrayName("my.msp", "svhn"))
    'my%2Emsp:svhn'
    >>> ArrayName.parse("my%2Emsp:svhn")
    ArrayName(detector='my.msp', outliers='svhn', counted='')
    """

    detector: str
    outliers: str = ""
    counted: str = ""

    def __str__(self) -> str:
        """Return the array's name."""
        detector, outliers, counted = map(_escaped, self)
        if outliers:
            return f"{detector}:{outliers}"
        return f"{detector}.{counted}" if counted else detector

    @classmethod
    def parse(cls, name: str) -> ArrayName:
        """Return the parts of an array's name."""
        detector, colon, outliers = name.partition(":")
        if colon:
            return cls(unquote(detector), unquote(outliers))
        detector, _, counted = name.partition(".")
        return cls(unquote(detector), counted=unquote(counted))


def _escaped(part: str) -> str:
    escaped = _SPECIAL.sub(lambda found: f"%{ord(found[0]):02X}", part)
    return f"%{ord(part[0]):02X}{part[1:]}" if part in RESERVED else escaped
