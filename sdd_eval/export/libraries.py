"""Optional libraries, installed as extras of this package."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

from sdd_eval.errors import InputError, one_line


@contextlib.contextmanager
def required(extra: str) -> Iterator[None]:
    """Raise InputError if an import in this context fails; ignore the library's own warnings."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ImportError as error:
        raise InputError(
            f"{extra} cannot be imported ({one_line(error)}): pip install 'sdd-eval[{extra}]'"
        ) from error
