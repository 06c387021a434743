"""The studies that come with the package."""

from __future__ import annotations

from pathlib import Path

from sdd_eval.errors import unknown_name

#: Folder of the study files.
FOLDER = Path(__file__).parent


def builtin_names() -> tuple[str, ...]:
    """Return the names of the built-in studies, e.g. "paper/table-1", in numeric order."""
    names = [path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.rglob("*.toml")]
    return tuple(sorted(names, key=_sort_key))


def study_file(name: str) -> Path:
    """Return a study's file by path or built-in name; raise InputError if there is none."""
    path = Path(name)
    if path.is_file():
        return path
    return builtin_file(name.removesuffix(".toml"))


def builtin_file(name: str) -> Path:
    """Return the file of a built-in study; raise InputError if there is none."""
    if name not in builtin_names():
        raise unknown_name("study", name, builtin_names())
    return FOLDER / f"{name}.toml"


def _sort_key(name: str) -> tuple[str, int, str]:
    begin, _, number = name.rpartition("-")
    return (begin, int(number), "") if number.isdigit() else (name, 0, "")
