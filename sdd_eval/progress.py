"""Progress reporting, independent of how progress is displayed."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """A progress display: work starts with a label and a total, then advances towards the total."""

    def start(self, label: str, total: int) -> None:
        """Start a new piece of work of `total` units, usually images."""

    def advance(self, units: int = 1, note: str = "") -> None:
        """Report finished units; `note` is a short text to display."""


class NoProgress:
    """A progress display that shows nothing."""

    def start(self, label: str, total: int) -> None:
        """Do nothing."""

    def advance(self, units: int = 1, note: str = "") -> None:
        """Do nothing."""
