"""The one exception for what is wrong with the user's files, flags or data.

Exception
└── InputError        the command line prints its one line and exits with 2
    └── ReportedElsewhere the same, but another process of the same work prints the line
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(Exception):
    """A file, flag or data set of the user's is wrong; the message is one line and says how."""


class ReportedElsewhere(InputError):
    """Another process of the same work has failed and says why; this one ends in silence."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> InputError:
    """An error for a name that is not known: what was meant, perhaps, and what there is.

    >>> print(unknown_name("evaluator", "acuracy", ["accuracy", "odin"]))
    unknown evaluator 'acuracy'; did you mean 'accuracy'? Known: accuracy, odin
    """
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    return InputError(f"unknown {kind} {name!r}{hint} Known: {', '.join(known) or 'none'}")
