"""How much a command prints: only its result with --quiet, also details with --verbose.

The level is that of the package's logger, whose messages are printed with --verbose.
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
    """Print only errors and the result: its path, or the output of --json."""
    verbose: bool = False
    """Also print software versions, the time of each step, protocols, and what is reused from
    stored runs and the cache, on standard error."""


def set_verbosity(flags: Any) -> None:
    """Apply the `Verbosity` among the groups of flags, or the default if there is none.

    Raise InputError if both flags are set.
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
