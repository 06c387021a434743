"""The width of text in tables, and line breaks in tables and captions."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

from sdd_eval.metrics.formatting import escaped

#: Text size and line spacing of tables, in points.
SIZE, SPACING = 8.0, 9.6
#: Upper bounds of character widths in Computer Modern at `SIZE`, in points, from its fonts'
#: metrics (TFM). Times, which most conferences use, is narrower.
_WIDTHS = (
    (2.4, "il!',.:;[]`|·"),
    (2.9, " -fj°"),
    (3.4, "t()rsI"),
    (3.8, "cez²†"),
    (4.3, "0123456789ago$*/\\{}–↑↓?"),
    (4.5, "kqvxyJ"),
    (4.8, "bdhnpuSτε"),
    (5.4, "ZLλ"),
    (5.8, "EPF"),
    (6.3, "BwCTR"),
    (6.7, "ADGHKNOQUVXY_&+<=>@±−×≥^~"),
    (7.1, "m#%"),
    (7.9, "M"),
    (8.8, "W—"),
    (11.4, "…"),
)
_WIDTH = {character: width for width, characters in _WIDTHS for character in characters}
#: The width of other characters, such as Greek letters.
_OTHER = 7.1
#: Bold text is at most this much wider.
_BOLD = 1.16
#: Spaces at which text may be broken: none after a symbol, none before a unit or an arrow.
_SPACE = re.compile(r"(?<![λε]) (?![%↑↓])")
#: Number of texts whose widths are cached: table cells are measured in several layouts.
_KEPT = 100_000
#: Words in captions and notes that are wider than this, in points, may be broken.
_LONG = 110.0


@functools.lru_cache(maxsize=_KEPT)
def text_width(text: str, *, bold: bool = False) -> float:
    """Return an upper bound of the width of text in a table, in points.

    >>> round(text_width("97.1±0.2"), 1)
    33.0
    """
    return sum(_WIDTH.get(character, _OTHER) for character in text) * (_BOLD if bold else 1.0)


@functools.lru_cache(maxsize=_KEPT)
def wrapped(text: str, width: float) -> tuple[str, ...]:
    """Wrap text to lines of a width in points; a word is broken only if it is wider.

    >>> wrapped("CE + SD-Dropout", 50.0), wrapped("a_long_name", 40.0)
    (('CE +', 'SD-Dropout'), ('a_long_', 'name'))
    """
    lines = [""]
    for word in unbroken(text):
        for index, piece in enumerate(_pieces(word, width)):
            longer = lines[-1] + (" " if lines[-1] and not index else "") + piece
            if lines[-1] and text_width(longer) > width:
                lines.append(piece)
            else:
                lines[-1] = longer
    return tuple(lines)


def _pieces(word: str, width: float) -> Iterator[str]:
    """Yield the parts between which a word may be broken: after punctuation, else anywhere."""
    if text_width(word) <= width:
        yield word
        return
    for part in re.split(r"(?<=[-–_/.,:+=])", word):
        piece = ""
        for character in part:
            if piece and text_width(piece + character) > width:
                yield piece
                piece = ""
            piece += character
        if piece:
            yield piece


def paragraph(text: str) -> str:
    r"""Return escaped text for a caption or note, whose long words LaTeX may break.

    >>> paragraph("On a_name_that_is_long.")
    'On a\\_name\\_that\\_is\\_long.'
    """
    words = ([escaped(piece) for piece in _pieces(word, _LONG)] for word in unbroken(text))
    return " ".join(r"\allowbreak{}".join(pieces).replace(" ", "~") for pieces in words)


def unbroken(text: str) -> list[str]:
    """Return the parts between spaces at which text may be broken.

    >>> unbroken("ε 0.2, 95 % TPR")
    ['ε 0.2,', '95 %', 'TPR']
    """
    return _SPACE.split(" ".join(text.split()))
