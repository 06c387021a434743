"""Find data sets by name: plugins, folders below the data root, and paths; list and load them."""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sdd_eval import data, plugins
from sdd_eval.data.dataset import CorruptedSet, DatasetPlugin, DetectionSet, Status
from sdd_eval.data.image_folder import printable
from sdd_eval.data.images import ImageSet
from sdd_eval.data.provenance import ABSENT
from sdd_eval.data.readers.cifar_c import (
    REGENERATED_SUFFIX,
    CorruptedDataset,
    open_corrupted_folder,
    present_corruptions,
    read_regenerated,
)
from sdd_eval.data.readers.coco import CocoFolder, is_coco
from sdd_eval.data.readers.folders import FolderSet
from sdd_eval.data.readers.npz import NpzSet, npz_files
from sdd_eval.data.root import data_root
from sdd_eval.errors import InputError, NotOnDisk, file_errors, unknown_name
from sdd_eval.records import CLASSIFICATION, OBJECT_DETECTION, Task

ALIASES = {"lsun": "lsun_resize"}
REGENERATED_FOLDERS = {"cifar10": "CIFAR-10-C-regenerated", "cifar100": "CIFAR-100-C-regenerated"}


def canonical_name(name: str) -> str:
    """Return a name in the catalogue's spelling: with underscores, and aliases resolved.

    >>> canonical_name("lsun"), canonical_name("photo-patches")
    ('lsun_resize', 'photo_patches')
    """
    spelled = name.replace("-", "_")
    return ALIASES.get(spelled, spelled)


@dataclass(frozen=True)
class Dataset:
    """A data set found by its name."""

    plugin: Any
    """A `DatasetPlugin`."""
    root: Path
    """The data root."""
    reference: str
    """A name that finds it from any working directory."""

    @property
    def name(self) -> str:
        """The name under which its images and numbers are stored."""
        return str(self.plugin.name)

    @property
    def task(self) -> Task:
        """The task that its annotations are made for."""
        return OBJECT_DETECTION if hasattr(self.plugin, "load_objects") else CLASSIFICATION

    @property
    def present(self) -> bool:
        """Whether it is on disk, according to a quick check."""
        with file_errors("read"):
            return bool(self.plugin.status(self.root).present)

    def images(
        self, split: str = "test", *, image_size: int | None = None, channels: int | None = None
    ) -> ImageSet:
        """Load the images of a split, in the network's shape if the set has no fixed one.

        Raise InputError if the set is absent or broken, or has another shape.
        """
        with file_errors("read"):
            images: ImageSet = self.plugin.load(
                self.root, split, image_size=image_size, channels=channels
            )
        return images

    def objects(self, split: str = "test") -> DetectionSet:
        """Load the images of a split with their objects."""
        with file_errors("read"):
            objects: DetectionSet = self.plugin.load_objects(self.root, split)
        return objects


def dataset(name: str, root: Path | None = None, task: Task = CLASSIFICATION) -> Dataset:
    """Find a data set by name: a plugin, a folder below the data root, or a path.

    A path leads to a folder of images or arrays, or to an `.npz` file. Raise InputError if the name
    is none of these, or if the set lacks the annotated objects that `task` needs.
    """
    root = data_root(root)
    resolved = _find(name, root)
    if task == CLASSIFICATION or (resolved and resolved.task == task):
        if resolved is None:
            raise unknown_name("data set", name, {*plugins.names("datasets"), *folder_names(root)})
        return resolved
    known = _detection_names(root)
    if resolved is None:
        raise unknown_name("detection set", name, known)
    raise InputError(
        f"{resolved.name} has no boxes of objects: it has no annotations/instances_*.json as "
        f"in COCO's layout. Sets that have them: {', '.join(known)}"
    )


def _find(name: str, root: Path) -> Dataset | None:
    if "\0" in name or name != printable(name):
        raise InputError(f"the data set {name!r} has a name that is not text; rename it")
    spelled = canonical_name(name)
    if spelled in plugins.names("datasets"):
        return Dataset(plugins.load("datasets", spelled), root, spelled)
    inside, path = root / name, Path(name).expanduser()
    if not name.strip("./"):
        return None
    with file_errors("find", name if len(name) < 200 else f"{name[:60]}…"):
        if inside.is_dir():
            return Dataset(custom_dataset(inside, inside.name), root, name)
        for custom in (inside, path):
            if custom.is_dir() or npz_files(custom):
                return Dataset(custom_dataset(custom), root, str(path.resolve()))
    return None


def custom_dataset(path: Path, name: str | None = None) -> DatasetPlugin:
    """Return the data set in a user's folder or `.npz` file, according to its layout."""
    path = path.absolute()  # a relative path would be looked up below the data root
    name = printable(name or (path.stem if path.is_file() else path.resolve().name))
    if npz_files(path):
        return NpzSet(name, "arrays of images", str(path))
    if present_corruptions(path):
        return CorruptedDataset(name, "a corrupted test set", str(path))
    if is_coco(path):
        return CocoFolder(name, "images with annotated objects", str(path))
    return FolderSet(name, "folder of images", str(path))


def folder_names(root: Path) -> tuple[str, ...]:
    """Return the sorted names of the non-hidden folders in the data root.

    There are none if the root does not exist; raise InputError if it cannot be read.
    """
    try:
        with file_errors("read", root):
            names = [entry.name for entry in root.iterdir() if entry.is_dir()]
    except InputError as error:
        if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            return ()
        raise
    return tuple(sorted(name for name in names if not name.startswith(".")))


def load_images(name: str, root: Path | None = None, split: str = "test", **shape: Any) -> ImageSet:
    """Load the images of a split as `Dataset.images` does; InputError if the name is unknown."""
    return dataset(name, root).images(split, **shape)


def _detection_names(root: Path) -> list[str]:
    names = {name for name in folder_names(root) if is_coco(root / name)}
    for name in plugins.names("datasets"):
        with contextlib.suppress(InputError):  # plugins that cannot be imported
            names |= {name} if hasattr(plugins.load("datasets", name), "load_objects") else set()
    return sorted(names)


def corrupted_set(name: str, clean: str, root: Path | None) -> Dataset | None:
    """Return the corruptions of a data set: published ones, or a folder; None for regenerated ones.

    NAME_c_regenerated, or the name of their folder, stands for the corruptions that this package
    renders. Without a name, published or custom corruptions are preferred to regenerated ones.
    Raise InputError if the name is unknown or belongs to other images or, without a name, if a
    published set exists, but neither it nor a regenerated one is on disk (rendering all of CIFAR
    takes minutes).
    """
    root, regenerated = data_root(root), f"{canonical_name(clean)}{REGENERATED_SUFFIX}"
    if canonical_name(name) == regenerated:
        return None
    resolved = _find(name or f"{clean}_c", root)
    if resolved is not None and not hasattr(resolved.plugin, "load_corrupted"):
        resolved = None
    if resolved is not None and resolved.plugin.clean is None:  # a user's folder
        return resolved
    if not name:
        return _default_corrupted_set(resolved, clean, root)
    if name == regenerated_folder(clean, root).name:
        return None
    if resolved is None:
        published = (key for key in plugins.names("datasets") if key.endswith("_c"))
        raise unknown_name("corrupted set", name, (*published, regenerated))
    if resolved.plugin.clean != clean:
        raise InputError(f"{resolved.name} corrupts {resolved.plugin.clean}, not {clean}")
    return resolved


def _default_corrupted_set(published: Dataset | None, clean: str, root: Path) -> Dataset | None:
    if published is None or published.present:
        return published
    if present_corruptions(regenerated_folder(clean, root)):
        return None
    raise NotOnDisk(
        f"no corrupted {clean} was found; `sdd-eval data get {clean}_c` downloads the "
        f"published one, `sdd-eval data corrupt {clean}` renders one"
    )


def load_corrupted(name: str, root: Path | None, *, clean: ImageSet) -> CorruptedSet:
    """Load the corruptions of `clean` that `corrupted_set` finds.

    Regenerated ones are read from their folder if it exists, and rendered on the fly otherwise.
    Raise InputError if they are absent, broken or made from images other than `clean`.
    """
    resolved = corrupted_set(name, clean.name, root)
    if resolved is None:
        return _regenerated(data_root(root), clean)
    with file_errors("read"):
        corrupted = resolved.plugin.load_corrupted(resolved.root)
    return _matched(corrupted, clean)


def regenerated_folder(name: str, root: Path) -> Path:
    """Return the folder to which `sdd-eval data corrupt NAME` writes."""
    return root / REGENERATED_FOLDERS.get(name, f"{name}-C-regenerated")


def _regenerated(root: Path, clean: ImageSet) -> CorruptedSet:
    """Return the regenerated corruptions of a set, from disk or rendered on the fly."""
    folder = regenerated_folder(clean.name, root)
    if not present_corruptions(folder):
        return data.GeneratedCorruptions(clean)
    marker = read_regenerated(folder)
    source = getattr(clean, "original", clean)  # whose labels do not follow a network's classes
    if marker and marker.source.fingerprint not in (None, source.fingerprint):
        raise InputError(
            f"{folder} was rendered from other images than {clean.name} has now; delete it and "
            f"run `sdd-eval data corrupt {clean.name}`"
        )
    return _matched(open_corrupted_folder(f"{clean.name}{REGENERATED_SUFFIX}", folder), clean)


def _matched(corrupted: Any, clean: ImageSet) -> CorruptedSet:
    """Return a corrupted set with class names and labels; both must agree with the clean set's."""
    if corrupted.images != len(clean):
        raise InputError(
            f"{corrupted.folder} has {corrupted.images:,} images per severity, but {clean.name} "
            f"has {len(clean):,}; they must be the same images"
        )
    labels, stored = getattr(clean, "original", clean).labels, corrupted.labels
    if labels is not None and stored is not None and not np.array_equal(labels, stored):
        raise InputError(f"{corrupted.folder}/labels.npy differs from the labels of {clean.name}")
    labels = stored if clean.labels is None else clean.labels
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
    named = (e for e in others if e.images or e.provenance.startswith("broken"))
    return (*entries, *(entry for entry in named if entry.provenance != ABSENT))


def _entry(plugin: Any, root: Path) -> CatalogueEntry:
    """Return the entry of a set; a broken one is reported as such and does not affect others."""
    source = plugin.archives[0].url if plugin.archives else ""
    try:
        status: Status = plugin.status(root)
    except Exception as error:  # third-party code may raise anything
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        status = Status(f"broken: {cause}", 0, str(root / getattr(plugin, "folder", "")))
    return CatalogueEntry(
        plugin.name, status.provenance, status.images, status.location, source, plugin.summary
    )


def _regenerated_entries(root: Path, claimed: set[str]) -> list[CatalogueEntry]:
    """Return the sets that `sdd-eval data corrupt` wrote, and add their folders to `claimed`."""
    entries = []
    for name in dict.fromkeys((*plugins.names("datasets"), *folder_names(root))):
        folder = regenerated_folder(name, root)
        if present_corruptions(folder):
            claimed.add(folder.name)
            summary = f"the test images of {name}, corrupted by this package"
            entries.append(
                _entry(CorruptedDataset(f"{name}{REGENERATED_SUFFIX}", summary, folder.name), root)
            )
    return entries
