"""Download data sets: resume, verify, unpack to a temporary folder, and move into the data root."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdd_eval.data.dataset import Archive, DatasetPlugin, Status
from sdd_eval.data.files import free_bytes
from sdd_eval.data.fingerprints import file_digests
from sdd_eval.data.install.unpack import install_staged, refuse_existing, staging, unpack
from sdd_eval.data.install.verify import verified_status
from sdd_eval.data.provenance import OFFICIAL, record_verified
from sdd_eval.errors import InputError, file_errors
from sdd_eval.progress import NoProgress, Progress
from sdd_eval.store import locked, write_record
from sdd_eval.version import __version__

CHUNK = 1 << 18
TIMEOUT = 30.0

#: Seconds to wait after each consecutive attempt that received no data.
PAUSES = (1.0, 2.0, 4.0, 8.0)

#: Exceptions of an interrupted or refused connection, after which the download is retried.
_INTERRUPTED = (OSError, http.client.HTTPException)


#: What servers often return when they no longer have the file.
_HTML = "an HTML page instead of the file"


def download(
    dataset: DatasetPlugin,
    root: Path,
    progress: Progress | None = None,
    *,
    pauses: Sequence[float] = PAUSES,
) -> Status:
    """Download the archives of a data set and unpack them in the publisher's layout.

    An official set on disk is left unchanged. Raise InputError if the set has no download, other
    files are in its place, the URL does not return the published file, or the disk is full. Partial
    files are kept, and the next call resumes the download.
    """
    if not dataset.archives:
        add = f" or has none; `sdd-eval data add {dataset.name} PATH` adds a local copy"
        present = dataset.status(root).present
        raise InputError(f"{dataset.name} needs no download{'' if present else add}")
    placed = [archive for archive in dataset.archives if _is_placed(dataset, archive, root)]
    if not placed and _is_official(dataset, root):
        return dataset.status(root)
    for archive in dataset.archives:
        if archive not in placed:
            _get_archive(dataset.name, archive, root, progress or NoProgress(), pauses)
    content = getattr(dataset, "content", None)  # for files without checksums of their own
    if content is not None:
        record_verified(root, dataset.name, content(root), dataset.archives[0].md5)
    for archive in dataset.archives:
        _receipt(archive, root).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        (root / ".downloads").rmdir()
    return verified_status(dataset, root)


def _is_official(dataset: DatasetPlugin, root: Path) -> bool:
    folder = getattr(dataset, "folder", None)
    try:
        if dataset.status(root).present:
            provenance = verified_status(dataset, root).provenance
            if provenance == OFFICIAL:
                return True
            raise InputError(f"{dataset.name} already exists and is {provenance}")
        if folder and all(archive.unpack for archive in dataset.archives):
            refuse_existing(root / Path(folder).parts[0])
    except InputError as error:
        raise InputError(f"{error}; move it away to download the published files") from error
    return False


def _get_archive(
    name: str, archive: Archive, root: Path, progress: Progress, pauses: Sequence[float]
) -> None:
    """Download one file, verify it, and install it or its content."""
    part = root / ".downloads" / f"{archive.filename}.part"
    with locked(part, "downloading"):
        _Transfer(name, archive, part, progress, pauses).run()
        _verify(archive, part)
        with staging(root) as staged:
            if archive.unpack:
                unpack(part, staged)
            else:
                refuse_existing(root / archive.folder / archive.filename)
                os.replace(part, staged / archive.filename)
            install_staged(staged, root / archive.folder)
        write_record(_receipt(archive, root), {"placed": archive.filename})
        _delete(part)


def _receipt(archive: Archive, root: Path) -> Path:
    """Return the marker of an installed archive; it is removed once the whole set is installed."""
    return root / ".downloads" / f"{archive.md5}.placed"


def _is_placed(dataset: DatasetPlugin, archive: Archive, root: Path) -> bool:
    """Return whether an earlier, interrupted call has installed an archive."""
    folder = root / Path(getattr(dataset, "folder", archive.folder)).parts[0]
    return _receipt(archive, root).is_file() and folder.is_dir()


def _verify(archive: Archive, part: Path) -> None:
    """Compare a file with its published checksum; delete it if it differs."""
    actual = file_digests(part, fresh=True).md5
    if actual != archive.md5:
        _delete(part)
        raise InputError(
            f"{archive.url} returned a file with md5 {actual}, not the published {archive.md5}; it "
            "was deleted. Try again, unless the publisher has changed the file"
        )


def _delete(part: Path) -> None:
    for path in (part, _record_path(part)):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def _record_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


@dataclass
class _Transfer:
    """The download of one file, with resumption."""

    name: str
    archive: Archive
    part: Path
    progress: Progress
    pauses: Sequence[float]

    def run(self) -> None:
        """Try until the file is complete, or until too many attempts in a row receive no data."""
        failures = 0
        while True:
            before = self._size()
            try:
                if self._attempt():
                    return
                cause = "an interrupted connection"
            except urllib.error.HTTPError as error:
                cause = f"HTTP {error.code} {error.reason}"
                error.close()
                if error.code < 500 and error.code not in (408, 429):
                    raise self._failure(cause) from error
            except _INTERRUPTED as error:
                cause = str(getattr(error, "reason", "") or error or type(error).__name__)
            failures = 0 if self._size() > before else failures + 1
            if failures > len(self.pauses):
                raise self._failure(cause)
            if failures:
                time.sleep(self.pauses[failures - 1])

    def _attempt(self) -> bool:
        """Request the missing part and write it; return whether the file is complete."""
        have = self._size()
        try:
            response = urllib.request.urlopen(self._request(have), timeout=TIMEOUT)
        except urllib.error.HTTPError as error:
            if error.code != 416:  # the partial file is at least as long as the complete one
                raise
            error.close()
            complete = _total(error.headers.get("Content-Range")) == have > 0
            if not complete:
                _delete(self.part)
            return complete
        with response:
            if response.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
                raise self._failure(_HTML)
            start = _start(response)
            if start not in (0, have):
                _delete(self.part)
                return False
            have = start
            length = response.headers.get("Content-Length", "")
            total = have + int(length) if length.isdigit() else None
            tag = response.headers.get("ETag", "")
            validator = tag if tag.startswith('"') else response.headers.get("Last-Modified", "")
            record = {"url": self.archive.url, "validator": validator}
            write_record(_record_path(self.part), record)
            if total is not None and total - have > free_bytes(self.part):
                raise InputError(
                    f"{self.archive.filename} has {total - have:,} bytes more, and "
                    f"{free_bytes(self.part):,} are free; make room or choose another --data-root"
                )
            self.progress.start(self.archive.filename, total or self.archive.size or 0)
            self.progress.advance(have)
            return self._receive(response, have, total)

    def _receive(self, response: Any, have: int, total: int | None) -> bool:
        """Append the response to the partial file, or overwrite it if `have` is 0."""
        with file_errors("write", self.part):  # not retried
            opened = io.FileIO(self.part, "ab" if have else "wb")
        with opened as file:
            while chunk := response.read1(CHUNK):
                is_start = file.tell() == 0
                if is_start and chunk.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")):
                    raise self._failure(_HTML)
                with file_errors("write", self.part):
                    written = 0
                    while written < len(chunk):
                        written += file.write(chunk[written:])
                self.progress.advance(len(chunk))
        return total is None or self._size() == total

    def _request(self, have: int) -> urllib.request.Request:
        headers = {"User-Agent": f"sdd-eval/{__version__}", "Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            validator = self._record().get("validator")
            if validator:  # if the file has changed, it is then returned completely
                headers["If-Range"] = validator
        return urllib.request.Request(self.archive.url, headers=headers)

    def _failure(self, cause: str) -> InputError:
        size = self._size()
        partial = f"{size:,} bytes are kept, and the same command resumes; " if size else ""
        return InputError(
            f"{self.archive.url} returned {cause}; {partial}if the URL no longer works, "
            f"`sdd-eval data add {self.name} PATH` adds a local copy"
        )

    def _size(self) -> int:
        """Return the size of the partial file, if it comes from this URL."""
        if not self.part.is_file() or self._record().get("url") != self.archive.url:
            return 0
        return self.part.stat().st_size

    def _record(self) -> dict[str, str]:
        try:
            record = json.loads(_record_path(self.part).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return record if isinstance(record, dict) else {}


def _start(response: Any) -> int:
    described = response.headers.get("Content-Range", "") if response.status == 206 else ""
    first = described.removeprefix("bytes ").split("-")[0]
    return int(first) if first.isdigit() else 0


def _total(content_range: str | None) -> int | None:
    last = (content_range or "").rpartition("/")[2]
    return int(last) if last.isdigit() else None
