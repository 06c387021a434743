"""Protocols as two networks can share them."""

from __future__ import annotations

import re

#: A value that an evaluator fits to each network, as its protocol names it.
_FITTED = re.compile(r" = [0-9.eE+-]+(?:, a bound of the range)?(?=, fitted\b)")


def kind_of(protocol: str) -> str:
    """A protocol without the values fitted to one network, so that seeds share it.

    >>> kind_of("T = 1.43, fitted by NLL; ε = 0.2"), kind_of("T = 1000")
    ('T, fitted by NLL; ε = 0.2', 'T = 1000')
    """
    return _FITTED.sub("", protocol)
