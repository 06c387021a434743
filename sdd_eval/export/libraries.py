"""Libraries that are extras of this package."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from sdd_eval.errors import InputError, one_line


@contextlib.contextmanager
def required(extra: str) -> Iterator[None]:
    """Raise InputError if a library that is imported here cannot be imported."""
    try:
        yield
    except ImportError as error:
        raise InputError(
            f"{extra} cannot be imported ({one_line(error)}): pip install 'sdd-eval[{extra}]'"
        ) from error
