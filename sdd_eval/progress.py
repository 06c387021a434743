"""How long work tells how far it is, without knowing who listens."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """A listener: work starts with a label and a total, then advances towards it."""

    def start(self, label: str, total: int) -> None:
        """A new piece of work of `total` units (images, usually) begins."""

    def advance(self, units: int = 1, note: str = "") -> None:
        """So many more units are done; the note is a short text to show beside them."""


class NoProgress:
    """Nobody listens."""

    def start(self, label: str, total: int) -> None:
        """Say nothing."""

    def advance(self, units: int = 1, note: str = "") -> None:
        """Say nothing."""
