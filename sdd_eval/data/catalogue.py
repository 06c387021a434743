"""Find data sets by name: plugins, folders below the data root, and paths; list and load them."""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from sdd_eval import data, plugins
from sdd_eval.data.dataset import CorruptedSet, Dataset, DetectionSet, Status
from sdd_eval.data.images import ImageSet
from sdd_eval.data.provenance import ABSENT, REGENERATED
from sdd_eval.data.readers.cifar_c import (
    CorruptedDataset,
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
    """Return a name in the catalogue's spelling: with underscores, and aliases resolved.

    >>> canonical_name("lsun"), canonical_name("photo-patches")
    ('lsun_resize', 'photo_patches')
    """
    spelled = name.replace("-", "_")
    return ALIASES.get(spelled, spelled)


def dataset(name: str, root: Path | None = None) -> Dataset:
    """Return the data set of a name: a plugin, a folder below the data root, or a path.

    A path is that of a folder of images or arrays, or of an `.npz` file. Raise InputError if the
    name is none of them.
    """
    root = data_root(root)
    if canonical_name(name) in plugins.names("datasets"):
        return cast(Dataset, plugins.load("datasets", canonical_name(name)))
    inside = root / name
    for path in (inside, Path(name).expanduser()):
        if name.strip("./") and (path.is_dir() or npz_files(path)):
            return custom_dataset(path, path.name if path == inside and path.is_dir() else None)
    raise unknown_name("data set", name, {*plugins.names("datasets"), *folder_names(root)})


def custom_dataset(path: Path, name: str | None = None) -> Dataset:
    """Return the data set of a user's folder or `.npz` file, by its layout."""
    path = path.absolute()  # a relative path would be looked up below the data root
    name = name or (path.stem if path.is_file() else path.resolve().name)
    if npz_files(path):
        return NpzSet(name, "arrays of images", str(path))
    if present_corruptions(path) and (path / "labels.npy").is_file():
        return CorruptedDataset(name, "a corrupted test set", str(path))
    if is_coco(path):
        return CocoFolder(name, "images with annotated objects", str(path))
    return FolderSet(name, "folder of images", str(path))


def folder_names(root: Path) -> tuple[str, ...]:
    """Return the sorted names of the folders in the data root, without hidden ones."""
    try:
        names = [entry.name for entry in root.iterdir() if entry.is_dir()]
    except OSError:
        return ()
    return tuple(sorted(name for name in names if not name.startswith(".")))


def load_images(
    name: str,
    root: Path | None = None,
    split: str = "test",
    *,
    image_size: int | None = None,
    channels: int | None = None,
) -> ImageSet:
    """Load the images of a split, in the network's shape if the set has no fixed one.

    Raise InputError if the name is unknown, or the set absent, broken or of another shape.
    """
    root = data_root(root)
    return dataset(name, root).load(root, split, image_size=image_size, channels=channels)


def load_objects(name: str, root: Path | None = None, split: str = "test") -> DetectionSet:
    """Load the images of a split with their objects; raise InputError if there are none."""
    root = data_root(root)
    objects: DetectionSet = detection_dataset(name, root).load_objects(root, split)
    return objects


def detection_dataset(name: str, root: Path) -> Any:
    """Return a set, maybe absent, if it has annotated objects; raise InputError otherwise."""
    try:
        selected = dataset(name, root)
    except InputError as error:
        raise unknown_name("detection set", name, _detection_names(root)) from error
    if not hasattr(selected, "load_objects"):
        raise InputError(
            f"{selected.name} has no boxes of objects: it has no annotations/instances_*.json as "
            f"in COCO's layout. Sets that have them: {', '.join(_detection_names(root))}"
        )
    return selected


def _detection_names(root: Path) -> list[str]:
    names = {name for name in folder_names(root) if is_coco(root / name)}
    for name in plugins.names("datasets"):
        with contextlib.suppress(InputError):  # plugins that cannot be imported
            names |= {name} if hasattr(plugins.load("datasets", name), "load_objects") else set()
    return sorted(names)


def load_corrupted(name: str, root: Path | None, *, clean: ImageSet) -> CorruptedSet:
    """Load corruptions of `clean`: a published set, a user's folder, or NAME_c_regenerated.

    A regenerated set, which may also be called by the name of its folder, is read from that folder
    if it exists, and rendered on the fly otherwise. Raise InputError if the name is unknown, or the
    set absent, broken or of other images than `clean`.
    """
    root, spelled = data_root(root), canonical_name(name)
    if spelled == f"{canonical_name(clean.name)}_c_regenerated":
        return _regenerated(root, clean)
    custom = _custom_corrupted(name, root)
    if custom is not None:
        return _matched(custom.load_corrupted(root), clean)
    if is_regenerated(name, clean.name, root):
        return _regenerated(root, clean)
    published = {key: value for key in plugins.names("datasets") if (value := _published(key))}
    if spelled not in published:
        known = (*published, f"{canonical_name(clean.name)}_c_regenerated")
        raise unknown_name("corrupted set", name, known)
    if published[spelled].clean != clean.name:
        raise InputError(f"{spelled} corrupts {published[spelled].clean}, not {clean.name}")
    return _matched(published[spelled].load_corrupted(root), clean)


def default_corrupted_set(dataset_name: str, root: Path | None) -> str:
    """Return the name of a test set's corrupted set: published or custom, else regenerated.

    Raise InputError if a published set exists, but neither it nor a regenerated folder is on disk
    (rendering all of CIFAR on the fly takes minutes at every evaluation).
    """
    root, name = data_root(root), f"{dataset_name}_c"
    if _custom_corrupted(name, root) is not None:
        return name
    published = _published(name)
    if published is not None and published.status(root).present:
        return name
    if published is None or present_corruptions(regenerated_folder(dataset_name, root)):
        return f"{name}_regenerated"
    raise InputError(
        f"no corrupted {dataset_name} was found; `sdd-eval data get {name}` downloads the "
        f"published one, `sdd-eval data corrupt {dataset_name}` renders one"
    )


def regenerated_folder(name: str, root: Path) -> Path:
    """Return the folder that `sdd-eval data corrupt NAME` writes."""
    return root / REGENERATED_FOLDERS.get(name, f"{name}-C-regenerated")


def is_regenerated(name: str, clean: str, root: Path) -> bool:
    """Return whether a name is that of the regenerated corruptions of a set, or of their folder."""
    regenerated = f"{canonical_name(clean)}_c_regenerated"
    return canonical_name(name) == regenerated or name == regenerated_folder(clean, root).name


def _custom_corrupted(name: str, root: Path) -> CorruptedDataset | None:
    """Return a user's folder in CIFAR-C's layout; None if the name is of something else."""
    if canonical_name(name) in plugins.names("datasets"):
        return None
    try:
        custom = dataset(name, root)
    except InputError:  # the caller's error lists the names that fit
        return None
    return custom if isinstance(custom, CorruptedDataset) else None


def _published(name: str) -> Any:
    """Return the plugin of a published corrupted set; None for any other name."""
    if not name.endswith("_c") or name not in plugins.names("datasets"):
        return None
    plugin = plugins.load("datasets", name)
    return plugin if hasattr(plugin, "load_corrupted") else None


def _regenerated(root: Path, clean: ImageSet) -> CorruptedSet:
    """Return the regenerated corruptions of a set, from disk or rendered on the fly."""
    folder = regenerated_folder(clean.name, root)
    if not present_corruptions(folder):
        return data.GeneratedCorruptions(clean)
    fingerprint = read_regenerated(folder).get("source", {}).get("fingerprint")
    if fingerprint not in (None, clean.fingerprint):
        raise InputError(
            f"{folder} was rendered from other images than {clean.name} has now; delete it and "
            f"run `sdd-eval data corrupt {clean.name}`"
        )
    return _matched(open_corrupted_folder(f"{clean.name}_c_regenerated", folder), clean)


def _matched(corrupted: Any, clean: ImageSet) -> CorruptedSet:
    """Return a corrupted set with class names and labels; both must agree with the clean set's."""
    if corrupted.images != len(clean):
        raise InputError(
            f"{corrupted.folder} has {corrupted.images:,} images per severity, but {clean.name} "
            f"has {len(clean):,}; they must be the same images"
        )
    labels = corrupted.labels
    if labels is not None and clean.labels is not None and not np.array_equal(labels, clean.labels):
        raise InputError(f"{corrupted.folder}/labels.npy differs from the labels of {clean.name}")
    labels = clean.labels if labels is None else labels
    matched: CorruptedSet = dataclasses.replace(
        corrupted, labels=labels, class_names=clean.class_names
    )
    return matched


@dataclass(frozen=True)
class CatalogueEntry:
    """A row of `sdd-eval data list`."""

    name: str
    provenance: str
    """As in `ImageSet`, "absent", or "broken: why"."""
    images: int
    location: str
    source: str
    """The URL that `sdd-eval data get` downloads; empty if there is none."""
    summary: str


def list_datasets(root: Path) -> tuple[CatalogueEntry, ...]:
    """Return every plugin, then regenerated sets, then other folders of images in the root."""
    entries, claimed = [], set()
    for name in plugins.names("datasets"):
        try:
            plugin = plugins.load("datasets", name)
        except InputError as error:
            entries.append(CatalogueEntry(name, f"broken: {error}", 0, "", "", ""))
            continue
        entries.append(_entry(plugin, root))
        claimed.add(str(getattr(plugin, "folder", "")).split("/")[0])
    entries += _regenerated_entries(root, claimed)
    folders = [name for name in folder_names(root) if name not in claimed]
    others = [_entry(custom_dataset(root / name, name), root) for name in folders]
    return (*entries, *(each for each in others if each.images and each.provenance != ABSENT))


def _entry(plugin: Any, root: Path) -> CatalogueEntry:
    source = plugin.archives[0].url if plugin.archives else ""
    status = _status(plugin, root)
    return CatalogueEntry(
        plugin.name, status.provenance, status.images, status.location, source, plugin.summary
    )


def _status(plugin: Any, root: Path) -> Status:
    """Return the status; a broken set is reported as such and does not affect the others."""
    try:
        status: Status = plugin.status(root)
    except Exception as error:  # third-party code may raise anything
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        return Status(f"broken: {cause}", 0, str(root / getattr(plugin, "folder", "")))
    return status


def _regenerated_entries(root: Path, claimed: set[str]) -> list[CatalogueEntry]:
    """Return the sets that `sdd-eval data corrupt` wrote, and add their folders to `claimed`."""
    entries = []
    for name in dict.fromkeys((*plugins.names("datasets"), *folder_names(root))):
        folder = regenerated_folder(name, root)
        corruptions = present_corruptions(folder)
        if not corruptions:
            continue
        claimed.add(folder.name)
        try:
            (images, location), provenance = count_images(folder, corruptions), REGENERATED
        except InputError as error:
            images, location, provenance = 0, str(folder), f"broken: {error}"
        summary = f"the test images of {name}, corrupted by this package"
        entries.append(
            CatalogueEntry(f"{name}_c_regenerated", provenance, images, location, "", summary)
        )
    return entries
