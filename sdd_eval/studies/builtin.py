"""The studies that come with the package, by name, beside files of one's own."""

from __future__ import annotations

from pathlib import Path

from sdd_eval.errors import unknown_name

#: Where they lie.
FOLDER = Path(__file__).parent


def shipped_names() -> tuple[str, ...]:
    """Their names, e.g. "paper/table-1", in the order of the paper."""
    names = [path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.rglob("*.toml")]
    return tuple(sorted(names, key=_order))


def study_file(name: str) -> Path:
    """The file of a study: a path, or the name of one that comes with the package.

    Raises:
        InputError: it is neither.
    """
    path = Path(name)
    if path.is_file():
        return path
    if name.removesuffix(".toml") in shipped_names():
        return FOLDER / f"{name.removesuffix('.toml')}.toml"
    raise unknown_name("study", name, shipped_names())


def _order(name: str) -> tuple[str, int, str]:
    """Numbers count as numbers: table-2 comes before table-10."""
    begin, _, number = name.rpartition("-")
    return (begin, int(number), "") if number.isdigit() else (name, 0, "")
