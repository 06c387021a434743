"""How much a command prints: only its result with --quiet, also how it came about with --verbose.

The package's logger has the level: what the package logs is printed with --verbose.
"""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from typing import Any

from sdd_eval import cli
from sdd_eval.errors import InputError
from sdd_eval.evaluation import environment

LOGGER = logging.getLogger("sdd_eval")


@dataclass(frozen=True)
class Verbosity:
    """What to print."""

    quiet: bool = False
    """Print nothing but errors and the result: its path, or what --json prints."""
    verbose: bool = False
    """Also print, on standard error, versions of the software, how long each step took, protocols,
    and what is reused from stored runs and the cache."""


def set_verbosity(flags: Any) -> None:
    """Print as much as the group of flags says that is a `Verbosity`, or the default without one.

    Raise InputError for both flags at once.
    """
    groups = (getattr(flags, field.name) for field in dataclasses.fields(flags))
    chosen = next((group for group in groups if isinstance(group, Verbosity)), Verbosity())
    if chosen.quiet and chosen.verbose:
        raise InputError("--quiet and --verbose exclude each other; give one of them")
    LOGGER.handlers = [cli.LogHandler()] if chosen.verbose else []
    LOGGER.setLevel(
        logging.ERROR if chosen.quiet else logging.INFO if chosen.verbose else logging.WARNING
    )
    if chosen.verbose:
        software = (f"{name} {version}" for name, version in environment.versions().items())
        LOGGER.info("%s\n%s", ", ".join(software), environment.machine())


def is_quiet() -> bool:
    """Return whether only errors and results are printed."""
    return not LOGGER.isEnabledFor(logging.WARNING)
