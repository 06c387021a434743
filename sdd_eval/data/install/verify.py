"""The full verification of a data set: every checksum anew, every image read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sdd_eval.data.catalogue import dataset, regenerated_folder
from sdd_eval.data.dataset import Dataset, Status, missing_dataset
from sdd_eval.data.fingerprints import file_digests
from sdd_eval.data.image_folder import FolderImages
from sdd_eval.data.provenance import ContentHashed, is_verified
from sdd_eval.data.readers.cifar_c import read_regenerated
from sdd_eval.errors import InputError
from sdd_eval.progress import NoProgress, Progress

SUFFIX = "_c_regenerated"


@dataclass(frozen=True)
class Finding:
    """One thing that was checked: a file, the count, an image that cannot be read."""

    item: str
    verdict: Literal["ok", "wrong", "missing", "unknown"]
    """"unknown" where the publisher gives nothing to compare with."""
    detail: str = ""


def verify(name: str, root: Path, progress: Progress | None = None) -> tuple[Finding, ...]:
    """Everything that can be said of a set on the disk; nothing is taken from the cache.

    Raises:
        InputError: the name is unknown, or the set is not there.
    """
    progress = progress or NoProgress()
    if name.endswith(SUFFIX):
        folder = regenerated_folder(name.removesuffix(SUFFIX), root)
        return tuple(_regenerated(name, folder, progress))
    found = dataset(name, root)
    if not _present(found, root):
        raise missing_dataset(found.name, root, bool(found.archives))
    findings = list(_checksums(found, root, progress))
    try:
        findings += _content(found, root)
        findings += _annotated(found, root)
        findings += _unreadable(found, root, progress)
        status: Status = verified_status(found, root)
    except InputError as error:
        return (*findings, Finding("images", "wrong", str(error)))
    unread = any(finding.verdict == "wrong" for finding in findings)
    wrong = unread or status.provenance.startswith("partial")
    verdict: Literal["ok", "wrong"] = "wrong" if wrong else "ok"
    return (*findings, Finding("images", verdict, f"{status.images:,}, {status.provenance}"))


def _regenerated(name: str, folder: Path, progress: Progress) -> Iterator[Finding]:
    """Each file that this package wrote against the sha256 that it noted then."""
    noted = read_regenerated(folder).get("files")
    if not noted:
        raise InputError(f"{folder} holds nothing that `sdd-eval data corrupt` wrote")
    progress.start(f"{name}: checksums", len(noted))
    for file, sha256 in noted.items():
        if not (folder / file).is_file():
            yield Finding(file, "missing")
        elif file_digests(folder / file, fresh=True).sha256 == sha256:
            yield Finding(file, "ok", "regenerated")
        else:
            yield Finding(file, "wrong", "changed since it was written")
        progress.advance()


def _present(found: Any, root: Path) -> bool:
    """Whether anything of the set is there, be it broken."""
    try:
        return bool(found.status(root).present)
    except InputError:
        return True


def _checksums(found: Any, root: Path, progress: Progress) -> Iterator[Finding]:
    """Each file against the publisher's md5."""
    published: dict[str, str] = getattr(found, "checksums", {})
    progress.start(f"{found.name}: checksums", len(published))
    for inside, md5 in published.items():
        path = root / inside
        if not path.is_file():
            yield Finding(inside, "missing")
        elif (sum_of := file_digests(path, fresh=True).md5) == md5:
            yield Finding(inside, "ok", md5)
        else:
            yield Finding(inside, "wrong", f"md5 {sum_of}, the publisher's is {md5}")
        progress.advance()


def _content(found: Any, root: Path) -> Iterator[Finding]:
    """The content against that of the publisher's archive, where it came out of one here."""
    summed = not found.archives or getattr(found, "md5", None)
    if summed or not isinstance(found, ContentHashed):
        return
    content = found.content(root, fresh=True)
    known = is_verified(root, content)
    detail = "as in the publisher's archive" if known else "the publisher gives no checksums of it"
    yield Finding("content", "ok" if known else "unknown", detail)


def _annotated(found: Any, root: Path) -> Iterator[Finding]:
    """Of a set with boxes of objects, the annotations of each split."""
    for split in ("train", "test") if hasattr(found, "load_objects") else ():
        try:
            objects = found.load_objects(root, split)
        except InputError as error:
            yield Finding(f"{split} annotations", "wrong", str(error))
            continue
        boxes = f"{len(objects):,} images, {len(objects.annotations.boxes):,} objects"
        partial = objects.provenance.startswith("partial")
        detail = f"{boxes}, {objects.provenance}"
        yield Finding(f"{split} annotations", "wrong" if partial else "ok", detail)


def _unreadable(found: Any, root: Path, progress: Progress) -> Iterator[Finding]:
    """Every image of a folder that cannot be read, by name."""
    for images in _streamed(found, root):
        progress.start(f"{found.name}: images", len(images))
        for row, file in enumerate(images.files):
            try:
                images.preprocessed(row)
            except InputError as error:
                yield Finding(file, "wrong", str(error))
            progress.advance()


def _streamed(found: Any, root: Path) -> Iterator[FolderImages]:
    """The splits that a set has, if they are folders of images; each file of them once."""
    if hasattr(found, "load_corrupted"):
        return
    for split in ("test", "train"):
        try:
            images = found.load(root, split)
        except InputError:
            if split == "test":
                raise
            continue  # it has no training images, or `_content` has told what is wrong
        if isinstance(images, FolderImages):
            yield images


def verified_status(dataset: Dataset, root: Path) -> Status:
    """Load a set, so that every file is read and hashed, and say what it is.

    Raises:
        InputError: it is not there, or broken (the file is named).
    """
    if not dataset.status(root).present:
        raise missing_dataset(dataset.name, root, bool(dataset.archives))
    kinds = ("load_corrupted", "load_objects")
    load = next((getattr(dataset, k) for k in kinds if hasattr(dataset, k)), dataset.load)
    broken = getattr(load(root), "broken", {})
    if broken:  # an evaluation goes on without such files; a set that is being added does not
        raise InputError("; ".join(broken.values()))
    return dataset.status(root)
