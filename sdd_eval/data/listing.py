"""The rows of `sdd-eval data list`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdd_eval import plugins
from sdd_eval.data.catalogue import folder_names, regenerated_folder
from sdd_eval.data.dataset import Status
from sdd_eval.data.provenance import ABSENT, REGENERATED
from sdd_eval.data.readers.corrupted_folder import counted, present
from sdd_eval.data.readers.custom import users_set
from sdd_eval.errors import InputError


@dataclass(frozen=True)
class Row:
    """One set: what it is, what is on the disk of it, and how it gets there."""

    name: str
    origin: str
    """As in `ImageSet`, "absent", or "broken: why"."""
    images: int
    where: str
    source: str
    """The address that `sdd-eval data get` downloads from; empty where there is none."""
    summary: str


def rows(root: Path) -> tuple[Row, ...]:
    """Every plugin, then what is regenerated, then every other folder of images in the root."""
    found, claimed = [], set()
    for name in plugins.names("datasets"):
        try:
            plugin = plugins.load("datasets", name)
        except InputError as error:
            found.append(Row(name, f"broken: {error}", 0, "", "", ""))
            continue
        found.append(_row(plugin, root))
        claimed.add(str(getattr(plugin, "folder", "")).split("/")[0])
    return (*found, *_regenerated(root, claimed), *_folders(root, claimed))


def _row(plugin: Any, root: Path) -> Row:
    source = plugin.archives[0].url if plugin.archives else ""
    status = _status(plugin, root)
    return Row(plugin.name, status.origin, status.images, status.where, source, plugin.summary)


def _status(plugin: Any, root: Path) -> Status:
    """The status; a set that is broken is told so and disturbs no other."""
    try:
        status: Status = plugin.status(root)
    except Exception as error:  # a stranger's plugin may raise anything
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        return Status(f"broken: {cause}", 0, str(root / getattr(plugin, "folder", "")))
    return status


def _regenerated(root: Path, claimed: set[str]) -> list[Row]:
    """The sets that `sdd-eval data corrupt` made; their folders are added to `claimed`."""
    names = (*plugins.names("datasets"), *folder_names(root))
    found = []
    for name in dict.fromkeys(names):
        place = regenerated_folder(name, root)
        corruptions = present(place)
        if not corruptions:
            continue
        claimed.add(place.name)
        try:
            (images, where), origin = counted(place, corruptions), REGENERATED
        except InputError as error:
            images, where, origin = 0, str(place), f"broken: {error}"
        summary = f"the test images of {name}, corrupted by this package's recipe"
        found.append(Row(f"{name}_c_regenerated", origin, images, where, "", summary))
    return found


def _folders(root: Path, claimed: set[str]) -> list[Row]:
    """The user's folders with at least one image."""
    found = []
    for name in folder_names(root):
        if name not in claimed:
            row = _row(users_set(root / name, name), root)
            if row.images and row.origin != ABSENT:
                found.append(row)
    return found
