"""A figure as PDF or SVG bytes: the same bytes for the same figure, fonts embedded."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: What would make two equal figures differ: when, and by which version.
_SILENT = {
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
}


def figure_bytes(figure: Figure, kind: str) -> bytes:
    """The bytes of a figure as "pdf", "svg" or "png"; call it in the style it was drawn in."""
    from sdd_eval.figures.style import house_style

    buffer = io.BytesIO()
    with house_style(), warnings.catch_warnings():
        # a name in a script that the font lacks is drawn as boxes; the page has it as text
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(buffer, format=kind, metadata=_SILENT[kind])
    return buffer.getvalue()
