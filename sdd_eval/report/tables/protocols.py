"""Protocols by number: each text stands once on the page, each number points to its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sdd_eval.comparison.matching import kind_of

if TYPE_CHECKING:
    import pandas


#: So many protocols of an evaluator are written out.
FEW = 12


def _letter(index: int) -> str:
    """a to z, then aa, ab …

    >>> _letter(1), _letter(26), _letter(53)
    ('b', 'aa', 'bb')
    """
    before, last = divmod(index, 26)
    return (_letter(before - 1) if before else "") + chr(ord("a") + last)


class Protocols:
    """The protocols of a table, numbered P1, P2 … evaluator by evaluator."""

    def __init__(self, results: pandas.DataFrame, evaluators: list[str]) -> None:
        """Number the protocols in the order of the page's sections."""
        self.of_evaluator: dict[str, dict[str, list[str]]] = {name: {} for name in evaluators}
        pairs = results[["evaluator", "protocol", "metric"]].drop_duplicates()
        for evaluator, protocol, metric in pairs.itertuples(index=False, name=None):
            metrics = self.of_evaluator[str(evaluator)].setdefault(kind_of(str(protocol)), [])
            if metric not in metrics:
                metrics.append(str(metric))
        every = [text for texts in self.of_evaluator.values() for text in texts]
        self.number = {text: index + 1 for index, text in enumerate(dict.fromkeys(every))}

    def mark(self, protocol: str) -> str:
        """The number of a protocol, e.g. "P3"; empty where there is none."""
        kind = kind_of(protocol)
        return f"P{self.number[kind]}" if kind and kind in self.number else ""

    def parts(self, evaluator: str) -> dict[str, str]:
        """The parts that several protocols of an evaluator have, each with a letter.

        Nothing where there are few protocols, which are better read as they are.
        """
        texts = self.of_evaluator[evaluator]
        if len(texts) <= FEW:
            return {}
        counted = Counter(part for text in texts for part in text.split("; "))
        several = [part for part, count in counted.items() if count > 1]
        return {part: _letter(index) for index, part in enumerate(several)}

    def told(self, protocol: str, parts: Mapping[str, str]) -> str:
        """A protocol with the letters of the parts that have one."""
        return "; ".join(parts.get(part, part) for part in protocol.split("; "))

    def first(self, protocol: str, evaluator: str) -> bool:
        """Whether an evaluator is the first that measures by a protocol."""
        owners = (name for name, texts in self.of_evaluator.items() if protocol in texts)
        return next(owners, None) == evaluator
