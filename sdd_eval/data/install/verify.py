"""Verify a data set completely: recompute every checksum and read every image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sdd_eval.data.catalogue import dataset, regenerated_folder
from sdd_eval.data.classes import class_sizes
from sdd_eval.data.dataset import DatasetPlugin, Status, missing_dataset
from sdd_eval.data.fingerprints import file_digests
from sdd_eval.data.image_folder import FolderImages
from sdd_eval.data.provenance import is_verified
from sdd_eval.data.readers.cifar_c import REGENERATED_SUFFIX, read_regenerated
from sdd_eval.errors import InputError, file_errors
from sdd_eval.progress import NoProgress, Progress


@dataclass(frozen=True)
class Finding:
    """The result of one check: of a file, of the number of images, or of one image."""

    item: str
    verdict: Literal["ok", "wrong", "missing", "unknown"]
    """"unknown" if the publisher provides nothing to compare with."""
    detail: str = ""


def verify(name: str, root: Path, progress: Progress | None = None) -> tuple[Finding, ...]:
    """Verify a set, ignoring cached checksums; raise InputError if it is unknown or absent."""
    progress = progress or NoProgress()
    if name.endswith(REGENERATED_SUFFIX):
        folder = regenerated_folder(name.removesuffix(REGENERATED_SUFFIX), root)
        return tuple(_regenerated(name, folder, progress))
    target: Any = dataset(name, root).plugin
    if not _present(target, root):
        raise missing_dataset(target.name, root, bool(target.archives))
    checksums = getattr(target, "checksums", {})
    findings = list(_compared(target.name, root, checksums, "md5", progress))
    try:
        with file_errors("read"):
            findings += _content(target, root)
            findings += _annotations(target, root)
            findings += _unreadable(target, root, progress)
            status: Status = verified_status(target, root)
    except InputError as error:
        return (*findings, Finding("images", "wrong", str(error)))
    unreadable = any(finding.verdict == "wrong" for finding in findings)
    wrong = unreadable or status.provenance.startswith("partial")
    verdict: Literal["ok", "wrong"] = "wrong" if wrong else "ok"
    return (*findings, Finding("images", verdict, f"{status.images:,}, {status.provenance}"))


def _regenerated(name: str, folder: Path, progress: Progress) -> Iterator[Finding]:
    """Compare each file that this package wrote with its recorded sha256."""
    marker = read_regenerated(folder)
    if not (marker and marker.files):
        raise InputError(f"{folder} contains nothing that `sdd-eval data corrupt` wrote")
    return _compared(name, folder, marker.files, "sha256", progress)


def _present(target: Any, root: Path) -> bool:
    """Return whether any part of the set is on disk, even if broken."""
    try:
        return bool(target.status(root).present)
    except (InputError, OSError):
        return True


def _compared(
    name: str, folder: Path, expected: Mapping[str, str], kind: str, progress: Progress
) -> Iterator[Finding]:
    """Compare the checksums, "md5" or "sha256", of files below a folder with the expected ones."""
    progress.start(f"{name}: checksums", len(expected))
    for file, checksum in expected.items():
        path = folder / file
        if not path.is_file():
            yield Finding(file, "missing")
        elif (actual := getattr(file_digests(path, fresh=True), kind)) == checksum:
            yield Finding(file, "ok", checksum)
        else:
            yield Finding(file, "wrong", f"{kind} is {actual}, the recorded one is {checksum}")
        progress.advance()


def _content(target: Any, root: Path) -> Iterator[Finding]:
    """Compare the content with that of the published archive, if this package unpacked it."""
    has_checksums = not target.archives or getattr(target, "md5", None)
    if has_checksums or not hasattr(target, "content"):
        return
    verified = is_verified(root, target.content(root, fresh=True))
    detail = "as in the published archive" if verified else "no published checksums"
    yield Finding("content", "ok" if verified else "unknown", detail)


def _annotations(target: Any, root: Path) -> Iterator[Finding]:
    """Check the annotations of each split of a detection set."""
    for split in ("train", "test") if hasattr(target, "load_objects") else ():
        try:
            objects = target.load_objects(root, split)
        except InputError as error:
            yield Finding(f"{split} annotations", "wrong", str(error))
            continue
        counts = f"{len(objects):,} images, {len(objects.annotations.boxes):,} objects"
        partial = objects.provenance.startswith("partial")
        detail = f"{counts}, {objects.provenance}"
        yield Finding(f"{split} annotations", "wrong" if partial else "ok", detail)


def _unreadable(target: Any, root: Path, progress: Progress) -> Iterator[Finding]:
    """Read every image file of both splits, and count the images of each class."""
    for split in () if hasattr(target, "load_corrupted") else ("test", "train"):
        try:
            images = target.load(root, split)
        except InputError:
            if split == "test":
                raise
            continue  # no training images, or `_content` reported the cause
        if isinstance(images, FolderImages):
            if sizes := class_sizes(images):
                yield Finding(f"{split} classes", "ok", sizes)
            progress.start(f"{target.name}: images", len(images))
            for row, file in enumerate(images.files):
                try:
                    images.preprocessed(row)
                except InputError as error:
                    yield Finding(file, "wrong", str(error))
                progress.advance()


def verified_status(dataset: DatasetPlugin, root: Path) -> Status:
    """Return the status after hashing every file; raise InputError for an absent or broken set."""
    if not dataset.status(root).present:
        raise missing_dataset(dataset.name, root, bool(dataset.archives))
    kinds = ("load_corrupted", "load_objects")
    load = next((getattr(dataset, k) for k in kinds if hasattr(dataset, k)), dataset.load)
    loaded: Any = load(root)
    broken = dict(getattr(loaded, "broken", {}))
    if "labels" in broken and not (loaded.folder / "labels.npy").exists():
        del broken["labels"]  # the clean set's labels are used
    if broken:  # tolerated in an evaluation, but not when a set is added
        raise InputError("; ".join(broken.values()))
    return dataset.status(root)
