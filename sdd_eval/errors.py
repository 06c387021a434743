"""The exception for mistakes in the user's files, flags or data.

Exception
└── InputError             the command line prints its one line and exits with 2
    ├── NotOnDisk          a data set is known, and has to be downloaded, rendered or added
    └── ReportedElsewhere  the same, but another process of the same work prints the line
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterable, Iterator

#: Maximum length of another library's error message that is shown.
MESSAGE = 300


class InputError(Exception):
    """The user's file, flag or data is wrong; the one-line message says what is wrong and how."""


class NotOnDisk(InputError):
    """A data set is known but not on disk; the message names the command that fetches it."""


class ReportedElsewhere(InputError):
    """Another process of the same job failed and reports the error; this one exits silently."""


@contextlib.contextmanager
def file_errors(action: str, path: object = None) -> Iterator[None]:
    """Re-raise file system errors, such as a full disk, as "cannot ACTION PATH: why".

    If no path is given, the path of the error is used.
    """
    try:
        yield
    except OSError as error:
        name = error.filename if path is None else path
        raise InputError(f"cannot {action} {name}: {error.strerror or error}") from error


def unknown_name(kind: str, name: str, known: Iterable[str]) -> InputError:
    """Return an error for an unknown name that lists the closest known name and all known names.

    >>> print(unknown_name("evaluator", "acuracy", ["accuracy", "odin"]))
    unknown evaluator 'acuracy'; did you mean 'accuracy'? Known: accuracy, odin
    """
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    return InputError(f"unknown {kind} {name!r}{hint} Known: {', '.join(known) or 'none'}")


def one_line(error: Exception) -> str:
    """Return another library's error as one line; for a TorchScript traceback, its last line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[-1] if "Traceback" in str(error) else " ".join(lines)
    text = " ".join(text.split()) or type(error).__name__
    return text if len(text) <= MESSAGE else f"{text[:MESSAGE]} …"
