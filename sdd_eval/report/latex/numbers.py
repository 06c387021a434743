r"""Every headline number as a LaTeX command, so that the text of a paper follows the results.

A command consists of `\sdd`, the metric, the method and, if there are several, the test set or
network: `\sddAccuracyOurs`. Digits are spelled out ("CIFAR-10" is `CIFAROneZero`) and Greek letters
named; other characters separate words. Suffixes give the other numbers of a cell: `Std`, or `Low`
and `High` for a single network; `Seeds` and `Images`; and for the comparison with another group
`Difference`, `DifferenceLow`, `DifferenceHigh`, `P` (adjusted) and `Verdict`. Where two commands
would be equal, both get six letters that their full names determine.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sdd_eval.metrics.formatting import (
    MISSING,
    escaped,
    format_number,
    format_p_value,
    format_verdict,
)
from sdd_eval.report.tables.columns import HeadlineColumn
from sdd_eval.report.tables.headline import Headline, HeadlineCell

PREFIX = "sdd"
_DIGITS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")


@dataclass(frozen=True)
class _Number:
    """A cell of the headline table: the words of its command, and its values by suffix."""

    words: tuple[str, ...]
    identity: str
    values: Mapping[str, str]
    comment: str


def numbers_tex(table: Headline) -> str:
    """Return a `newcommand` for each number of the headline table."""
    numbers = [*_numbers(table)]
    lines = ["% Numbers of the headline table by sdd-eval report, without units; do not edit."]
    for name, number in zip(_names(numbers), numbers, strict=True):
        lines += ["", f"% {number.comment}"]
        lines += [rf"\newcommand{{\{name}{end}}}{{{text}}}" for end, text in number.values.items()]
    return "\n".join([*lines, ""])


def _numbers(table: Headline) -> Iterator[_Number]:
    several = len(table.parts) > 1
    for row in table.rows:
        part = row.comparison
        for column, cell in zip(table.columns, row.cells, strict=True):
            if not cell.values:
                continue
            data = [part.title] if several else []
            identity = [column.evaluator, column.metric, str(column.at), part.study, *data]
            unit = column.entry.shown_unit
            about = [f"{column.title} in {unit}", row.group, part.title]
            yield _Number(
                words=(column.title, row.group, *data),
                identity="\n".join([*identity, row.group]),
                values=_values(column, cell),
                comment=" ".join("; ".join(filter(None, about)).split()),
            )


def _values(column: HeadlineColumn, cell: HeadlineCell) -> dict[str, str]:
    """Return the values of a cell as LaTeX, by the suffix of their commands."""
    entry, summary = column.entry, cell.summary
    values = {"": format_number(entry, summary.mean)}
    if len(cell.values) > 1:
        values |= {"Std": format_number(entry, summary.std)}
    else:
        low, high = cell.intervals[0][:2]
        values |= {"Low": format_number(entry, low), "High": format_number(entry, high)}
    values |= {"Seeds": str(len(cell.values)), "Images": f"{cell.images:,}"}
    if (change := cell.change) is not None:
        ends = {"": change.value, "Low": change.low, "High": change.high}
        signed = {f"Difference{e}": format_number(entry, v, sign=True) for e, v in ends.items()}
        values |= signed | {"P": format_p_value(change.adjusted)}
        values |= {"Verdict": format_verdict(entry, change.verdict)}
    return {end: _tex(text) for end, text in values.items() if text != MISSING}


def _tex(text: str) -> str:
    """Return a value that works both in text and in formulas."""
    return r"\ensuremath{-}".join(map(escaped, text.split("−")))


def _names(numbers: Sequence[_Number]) -> list[str]:
    """Return distinct names that do not depend on the order or number of the others."""
    names = [command_name(*number.words) for number in numbers]
    counts = Counter(
        name + end for name, number in zip(names, numbers, strict=True) for end in number.values
    )
    return [
        name + _letters(number.identity)
        if any(counts[name + end] > 1 for end in number.values)
        else name
        for name, number in zip(names, numbers, strict=True)
    ]


def command_name(*words: str) -> str:
    r"""Return the name of a command, which has only letters, without its backslash.

    >>> command_name("ECE", "CE + SD-Dropout λ 0.1"), command_name("Accuracy", "文 50 %")
    ('sddECECESDDropoutLambdaZeroPointOne', 'sddAccuracyFiveZeroPercent')
    """
    text = re.sub(r"(?<=\d)\.(?=\d)", " point ", " ".join(words))
    text = re.sub(r"(?<=\w)\+", " plus ", text).replace("%", " percent ")
    plain = "".join(map(_spelled, unicodedata.normalize("NFKD", text)))
    return PREFIX + "".join(word[0].upper() + word[1:] for word in re.findall("[A-Za-z]+", plain))


def _spelled(character: str) -> str:
    """Return a character as letters: a digit and a Greek letter by name; others unchanged."""
    if character.isdecimal():
        return f" {_DIGITS[int(character)]} "
    name = unicodedata.name(character, "")
    if name.startswith("GREEK "):
        return f" {name.split(' WITH ')[0].split()[-1].lower().replace('lamda', 'lambda')} "
    return "" if unicodedata.combining(character) else character


def _letters(identity: str) -> str:
    """Return five letters that depend only on a text.

    >>> _letters("accuracy of a")
    'XXPUFS'
    """
    digest = hashlib.sha256(identity.encode(errors="replace")).digest()
    return "X" + "".join(chr(ord("A") + byte % 26) for byte in digest[:5])
