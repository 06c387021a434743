"""Fonts of figures: copies of matplotlib's fonts that are several times faster to embed."""

from __future__ import annotations

import functools
import io
from pathlib import Path

from sdd_eval import store

#: Version of the copies, which are recreated if it changes.
VERSION = 2
#: Latin, Greek, Cyrillic, punctuation, arrows and mathematics, with the combining accents.
_CHARACTERS = (*range(0x20, 0x530), *range(0x1E00, 0x2300))


@functools.cache
def reduced_font(family: str) -> str:
    """Return the family of a copy of a font that only contains the scripts of most labels.

    Embedding a font means reading all of it, and most of DejaVu Sans is scripts that few labels
    use. The copy is created once, in matplotlib's cache; its kerning is that of the table `kern`.
    """
    import fontTools
    import matplotlib
    from matplotlib.font_manager import findfont, fontManager

    original = Path(findfont(family, fallback_to_default=False))
    name = f"{original.stem}Reduced"
    version = f"{VERSION}-{fontTools.version}-{original.stat().st_size}"
    path = Path(matplotlib.get_cachedir()) / f"sdd-eval-{name}-{version}.ttf"
    if not path.is_file():
        store.write_bytes(path, _reduced(original, name))
    fontManager.addfont(path)
    return name


def _reduced(original: Path, name: str) -> bytes:
    from fontTools.subset import Options, Subsetter, load_font

    options = Options(name_IDs=["*"], notdef_outline=True)
    options.drop_tables += ["FFTM", "GDEF", "GPOS", "GSUB", "MATH"]
    with load_font(original, options) as font:
        subsetter = Subsetter(options)
        subsetter.populate(unicodes=_CHARACTERS)
        subsetter.subset(font)
        for identifier in (1, 4, 6, 16):  # family, full and PostScript name
            font["name"].setName(name, identifier, 3, 1, 0x409)
            font["name"].setName(name, identifier, 1, 0, 0)
        file = io.BytesIO()
        font.save(file, reorderTables=False)
    return file.getvalue()
