"""The protocol of a number: its conditions as a mapping, with an id.

Two numbers may be compared if their protocols are equal. Values determined for one network, such as
a fitted temperature, are not part of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache


class Protocol(Mapping[str, str]):
    """The conditions of a number: an ordered mapping of names to text.

    Protocols are equal if their sentences are, regardless of how these are split into conditions. A
    text given instead of conditions becomes the single condition "protocol".

    >>> one = Protocol({"attack": "FGSM", "temperature": "T, fitted by NLL"})
    >>> one.text, one.id
    ('FGSM; T, fitted by NLL', '6d708d00d415')
    >>> one == Protocol("FGSM; T, fitted by NLL")
    True
    """

    def __init__(self, conditions: Mapping[str, str] | str = "") -> None:
        if isinstance(conditions, str):
            conditions = {"protocol": conditions}
        self._conditions = {name: text for name, text in conditions.items() if text}

    def __getitem__(self, name: str) -> str:
        """Return the text of a condition."""
        return self._conditions[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the conditions."""
        return iter(self._conditions)

    def __len__(self) -> int:
        """Return the number of conditions."""
        return len(self._conditions)

    def __eq__(self, other: object) -> bool:
        """Return whether another protocol has the same sentence."""
        return isinstance(other, Protocol) and self.text == other.text

    def __hash__(self) -> int:
        """Return the hash of the sentence."""
        return hash(self.text)

    def __repr__(self) -> str:
        """Return an expression that evaluates to the protocol."""
        return f"Protocol({self._conditions!r})"

    @cached_property
    def text(self) -> str:
        """The conditions, joined by "; "."""
        return "; ".join(self._conditions.values())

    @cached_property
    def id(self) -> str:
        """The id of the sentence; empty without conditions."""
        return text_id(self.text)


@lru_cache(maxsize=65536)
def shared_protocol(conditions: tuple[tuple[str, str], ...] | str) -> Protocol:
    """Return the protocol with some conditions, a single object shared by all its users."""
    return Protocol(conditions if isinstance(conditions, str) else dict(conditions))


@lru_cache(maxsize=65536)
def text_id(text: str) -> str:
    """Return the id of a protocol's text: 12 hex digits of its SHA-256; empty for no text."""
    return hashlib.sha256(text.encode()).hexdigest()[:12] if text else ""


def values_text(fitted: Mapping[str, str]) -> str:
    """Return values determined for a network as text.

    >>> values_text({"T": "1.43", "ε": "0.0014"})
    'T = 1.43, ε = 0.0014'
    """
    return ", ".join(f"{name} = {value}" for name, value in fitted.items())
