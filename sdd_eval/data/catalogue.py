"""From a name to images: plugins, folders below the data root, and paths."""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from sdd_eval import plugins
from sdd_eval.data.dataset import CorruptedSet, Dataset, DetectionSet, Status
from sdd_eval.data.images import ImageSet
from sdd_eval.data.provenance import ABSENT, REGENERATED
from sdd_eval.data.readers.cifar_c import (
    CorruptedUsers,
    count_images,
    open_corrupted_folder,
    present_corruptions,
    read_regenerated,
)
from sdd_eval.data.readers.coco import CocoFolder, is_coco
from sdd_eval.data.readers.folders import FolderSet
from sdd_eval.data.readers.npz import NpzSet, npz_files
from sdd_eval.data.root import data_root
from sdd_eval.errors import InputError, unknown_name

ALIASES = {"lsun": "lsun_resize"}


REGENERATED_FOLDERS = {"cifar10": "CIFAR-10-C-regenerated", "cifar100": "CIFAR-100-C-regenerated"}


def canonical_name(name: str) -> str:
    """The catalogue's spelling of a name: underscores, and the paper's "lsun" is lsun_resize.

    >>> canonical_name("lsun"), canonical_name("photo-patches")
    ('lsun_resize', 'photo_patches')
    """
    spelled = name.replace("-", "_")
    return ALIASES.get(spelled, spelled)


def dataset(name: str, root: Path | None = None) -> Dataset:
    """The data set of a name: a plugin, a folder below the data root, or a path.

    A path is that of a folder, of images or arrays, or of an `.npz` file.

    Raises:
        InputError: it is none of them.
    """
    root = data_root(root)
    if canonical_name(name) in plugins.names("datasets"):
        return cast(Dataset, plugins.load("datasets", canonical_name(name)))
    inside = root / name
    for place in (inside, Path(name).expanduser()):
        if name.strip("./") and (place.is_dir() or npz_files(place)):
            return custom_dataset(
                place, inside.name if place == inside and place.is_dir() else None
            )
    raise unknown_name("data set", name, {*plugins.names("datasets"), *folder_names(root)})


def folder_names(root: Path) -> tuple[str, ...]:
    """The names of the folders in the data root, sorted; hidden ones are skipped."""
    try:
        found = [entry.name for entry in root.iterdir() if entry.is_dir()]
    except OSError:
        return ()
    return tuple(sorted(name for name in found if not name.startswith(".")))


def load_images(
    name: str,
    root: Path | None = None,
    split: str = "test",
    *,
    image_size: int | None = None,
    channels: int | None = None,
) -> ImageSet:
    """The images of a split of a data set, in the shape of the network where that can be chosen.

    Raises:
        InputError: the name is unknown, or the set absent, broken or of another shape.
    """
    root = data_root(root)
    found = dataset(name, root)
    return found.load(root, split, image_size=image_size, channels=channels)


def load_objects(name: str, root: Path | None = None, split: str = "test") -> DetectionSet:
    """The images of a split with the objects in them: a plugin's, or a folder in COCO's layout.

    Raises:
        InputError: the name is unknown, or the set absent, broken or without objects.
    """
    root = data_root(root)
    objects: DetectionSet = detection_dataset(name, root).load_objects(root, split)
    return objects


def detection_dataset(name: str, root: Path) -> Any:
    """The data set of a name, which has boxes of objects; whether it is there is not looked at.

    Raises:
        InputError: the name is unknown, or the set has none.
    """
    try:
        found = dataset(name, root)
    except InputError as error:
        raise unknown_name("set with boxes of objects", name, _with_objects(root)) from error
    if not hasattr(found, "load_objects"):
        raise InputError(
            f"{found.name} has no boxes of objects: it is not laid out as COCO, with annotations/"
            f"instances_*.json. Sets that have them: {', '.join(_with_objects(root))}"
        )
    return found


def _with_objects(root: Path) -> list[str]:
    """The names of sets with boxes of objects."""
    found = {name for name in folder_names(root) if is_coco(root / name)}
    for name in plugins.names("datasets"):
        with contextlib.suppress(InputError):  # one that does not import is none
            found |= {name} if hasattr(plugins.load("datasets", name), "load_objects") else set()
    return sorted(found)


def load_corrupted(name: str, root: Path | None, *, clean: ImageSet) -> CorruptedSet:
    """A corrupted rendering of `clean`: an official archive, NAME_c_regenerated, or the user's.

    A regenerated one is read from its folder where that is there, and made on the fly where not.

    Raises:
        InputError: the name is unknown, or the set absent, broken or not made of `clean`.
    """
    root, spelled = data_root(root), canonical_name(name)
    if spelled == f"{canonical_name(clean.name)}_c_regenerated":
        return _regenerated(root, clean)
    users = _users_corrupted(name, root)
    if users is not None:
        return _same_images(users.load_corrupted(root), clean)
    archives = {key: value for key in plugins.names("datasets") if (value := _archive(key))}
    if spelled not in archives:
        usable = (*archives, f"{canonical_name(clean.name)}_c_regenerated")
        raise unknown_name("corrupted set", name, usable)
    if archives[spelled].clean != clean.name:
        raise InputError(f"{spelled} is made of {archives[spelled].clean}, not of {clean.name}")
    found: CorruptedSet = archives[spelled].load_corrupted(root)
    return _same_images(found, clean)


def _users_corrupted(name: str, root: Path) -> CorruptedUsers | None:
    """A folder of the user's in the layout of CIFAR-C; None where the name is of something else."""
    if canonical_name(name) in plugins.names("datasets"):
        return None
    try:
        found = dataset(name, root)
    except InputError:  # the caller knows better what could have been meant
        return None
    return found if isinstance(found, CorruptedUsers) else None


def regenerated_folder(name: str, root: Path) -> Path:
    """Where `sdd-eval data corrupt NAME` writes."""
    return root / REGENERATED_FOLDERS.get(name, f"{name}-C-regenerated")


def default_corrupted_set(dataset_name: str, root: Path | None) -> str:
    """The corrupted rendering for a test set: the archive, else what was or can be regenerated.

    For a set of the user's a folder NAME_c of theirs is what the archive is for others.

    Raises:
        InputError: an archive exists for it and neither that nor a regenerated folder is there
            (making all of CIFAR's on the fly takes minutes at every evaluation).
    """
    root = data_root(root)
    if _users_corrupted(f"{dataset_name}_c", root) is not None:
        return f"{dataset_name}_c"
    regenerated = f"{dataset_name}_c_regenerated"
    archive = _archive(f"{dataset_name}_c")
    if archive is None or present_corruptions(regenerated_folder(dataset_name, root)):
        on_disk = archive is not None and archive.status(root).present
        return f"{dataset_name}_c" if on_disk else regenerated
    if archive.status(root).present:
        return f"{dataset_name}_c"
    raise InputError(
        f"no corrupted {dataset_name} is there; `sdd-eval data get {dataset_name}_c` downloads "
        f"the official one, `sdd-eval data corrupt {dataset_name}` makes one"
    )


def _archive(name: str) -> Any:
    """The plugin of an official corrupted archive; None for any other name."""
    if not name.endswith("_c") or name not in plugins.names("datasets"):
        return None
    found = plugins.load("datasets", name)
    return found if hasattr(found, "load_corrupted") else None


def _regenerated(root: Path, clean: ImageSet) -> CorruptedSet:
    folder = regenerated_folder(clean.name, root)
    if present_corruptions(folder):
        made_of = read_regenerated(folder).get("source", {}).get("fingerprint")
        if made_of not in (None, clean.fingerprint):
            raise InputError(
                f"{folder} was made of other images than {clean.name} has now; delete it, then "
                f"`sdd-eval data corrupt {clean.name}`"
            )
        return _same_images(open_corrupted_folder(f"{clean.name}_c_regenerated", folder), clean)
    from sdd_eval.data.corruption.generated import GeneratedCorruptions

    made: CorruptedSet = GeneratedCorruptions(clean)
    return made


def _same_images(corrupted: Any, clean: ImageSet) -> CorruptedSet:
    """The corrupted set, with class names and labels, if it is made of these very images.

    Where its own labels cannot be read it is known by the number of images alone.

    Raises:
        InputError: number or labels differ.
    """
    if corrupted.images != len(clean):
        raise InputError(
            f"{corrupted.folder} holds {corrupted.images:,} images a severity, "
            f"{clean.name} {len(clean):,}; they must be the same images"
        )
    theirs, ours = corrupted.labels, clean.labels
    if theirs is not None and ours is not None and not np.array_equal(theirs, ours):
        raise InputError(f"{corrupted.folder}/labels.npy differs from the labels of {clean.name}")
    found: CorruptedSet = dataclasses.replace(
        corrupted, labels=ours if theirs is None else theirs, class_names=clean.class_names
    )
    return found


@dataclass(frozen=True)
class CatalogueEntry:
    """One set: what it is, what is on the disk of it, and how it gets there."""

    name: str
    provenance: str
    """As in `ImageSet`, "absent", or "broken: why"."""
    images: int
    location: str
    source: str
    """The address that `sdd-eval data get` downloads from; empty where there is none."""
    summary: str


def list_datasets(root: Path) -> tuple[CatalogueEntry, ...]:
    """Every plugin, then what is regenerated, then every other folder of images in the root."""
    found, claimed = [], set()
    for name in plugins.names("datasets"):
        try:
            plugin = plugins.load("datasets", name)
        except InputError as error:
            found.append(CatalogueEntry(name, f"broken: {error}", 0, "", "", ""))
            continue
        found.append(_entry(plugin, root))
        claimed.add(str(getattr(plugin, "folder", "")).split("/")[0])
    return (*found, *_regenerated_entries(root, claimed), *_folder_entries(root, claimed))


def _entry(plugin: Any, root: Path) -> CatalogueEntry:
    source = plugin.archives[0].url if plugin.archives else ""
    status = _status(plugin, root)
    return CatalogueEntry(
        plugin.name, status.provenance, status.images, status.location, source, plugin.summary
    )


def _status(plugin: Any, root: Path) -> Status:
    """The status; a set that is broken is told so and disturbs no other."""
    try:
        status: Status = plugin.status(root)
    except Exception as error:  # a stranger's plugin may raise anything
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        return Status(f"broken: {cause}", 0, str(root / getattr(plugin, "folder", "")))
    return status


def _regenerated_entries(root: Path, claimed: set[str]) -> list[CatalogueEntry]:
    """The sets that `sdd-eval data corrupt` made; their folders are added to `claimed`."""
    names = (*plugins.names("datasets"), *folder_names(root))
    found = []
    for name in dict.fromkeys(names):
        place = regenerated_folder(name, root)
        corruptions = present_corruptions(place)
        if not corruptions:
            continue
        claimed.add(place.name)
        try:
            (images, location), provenance = count_images(place, corruptions), REGENERATED
        except InputError as error:
            images, location, provenance = 0, str(place), f"broken: {error}"
        summary = f"the test images of {name}, corrupted by this package's recipe"
        found.append(
            CatalogueEntry(f"{name}_c_regenerated", provenance, images, location, "", summary)
        )
    return found


def _folder_entries(root: Path, claimed: set[str]) -> list[CatalogueEntry]:
    """The user's folders with at least one image."""
    found = []
    for name in folder_names(root):
        if name not in claimed:
            row = _entry(custom_dataset(root / name, name), root)
            if row.images and row.provenance != ABSENT:
                found.append(row)
    return found


def custom_dataset(path: Path, name: str | None = None) -> Dataset:
    """Any folder of the user's, or `.npz` file, as a set under its own name."""
    path = path.absolute()  # or it would be looked for below the data root
    called = name or (path.stem if path.is_file() else path.resolve().name)
    if npz_files(path):
        return NpzSet(called, "arrays of images", str(path))
    if present_corruptions(path) and (path / "labels.npy").is_file():
        return CorruptedUsers(called, "a test set in corruptions", str(path))
    if is_coco(path):
        return CocoFolder(called, "images with the boxes of objects", str(path))
    return FolderSet(called, "folder of images", str(path))
