"""Downloading a data set: resumed, verified, unpacked aside, moved into place."""

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

from sdd_eval.data.dataset import Archive, Dataset, Status
from sdd_eval.data.fingerprints import file_digests
from sdd_eval.data.install.unpack import install_staged, refuse_existing, staging, unpack
from sdd_eval.data.install.verify import verified_status
from sdd_eval.data.provenance import OFFICIAL, ContentHashed, record_verified
from sdd_eval.errors import InputError
from sdd_eval.progress import NoProgress, Progress
from sdd_eval.store import locked, write_record
from sdd_eval.version import __version__

CHUNK = 1 << 18
TIMEOUT = 30.0

#: Seconds to wait before each further try after one that brought nothing.
PAUSES = (1.0, 2.0, 4.0, 8.0)

#: What a connection that is cut or refused raises; every one is worth another try.
_CUT = (OSError, http.client.HTTPException)


def download(
    dataset: Dataset,
    root: Path,
    progress: Progress | None = None,
    *,
    pauses: Sequence[float] = PAUSES,
) -> Status:
    """Download what a data set needs and lay it out as its publisher does.

    What is there and official is left alone.

    Raises:
        InputError: the set has no download, something else is in its place, the address does not
            answer with the publisher's file, or the disk is full. A partial file is kept, and the
            same call goes on from it.
    """
    if not dataset.archives:
        raise InputError(f"{dataset.name} needs no download" + _or_has_none(dataset, root))
    placed = [archive for archive in dataset.archives if _is_placed(dataset, archive, root)]
    if not placed and _is_official(dataset, root):
        return dataset.status(root)
    for archive in dataset.archives:
        if archive not in placed:
            _get_archive(dataset.name, archive, root, progress or NoProgress(), pauses)
    if isinstance(dataset, ContentHashed):
        record_verified(root, dataset.name, dataset.content(root), dataset.archives[0].md5)
    for archive in dataset.archives:
        _receipt(archive, root).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        (root / ".downloads").rmdir()
    return verified_status(dataset, root)


def _is_official(dataset: Dataset, root: Path) -> bool:
    """Whether the publisher's files are there; False where nothing is.

    Raises:
        InputError: something else is there; it is looked for before hours of downloading.
    """
    folder = getattr(dataset, "folder", None)
    try:
        if dataset.status(root).present:
            provenance = verified_status(dataset, root).provenance
            if provenance == OFFICIAL:
                return True
            raise InputError(f"{dataset.name} is there and {provenance}")
        if folder and all(archive.unpack for archive in dataset.archives):
            refuse_existing(root / Path(folder).parts[0])
    except InputError as error:
        raise InputError(
            f"{error}; to download the publisher's, move what is there elsewhere"
        ) from error
    return False


def _or_has_none(dataset: Dataset, root: Path) -> str:
    if dataset.status(root).present:
        return ""
    return f" or has none; `sdd-eval data add {dataset.name} PATH` places what you have"


def _get_archive(
    name: str, archive: Archive, root: Path, progress: Progress, pauses: Sequence[float]
) -> None:
    """Download one file, verify it and put it, or what it holds, in place."""
    part = root / ".downloads" / f"{archive.filename}.part"
    with locked(part, "downloading"):
        _Transfer(name, archive, part, progress, pauses).run()
        _verify(archive, part)
        with staging(root) as aside:
            if archive.unpack:
                unpack(part, aside)
            else:
                refuse_existing(root / archive.folder / archive.filename)
                os.replace(part, aside / archive.filename)
            install_staged(aside, root / archive.folder)
        write_record(_receipt(archive, root), {"placed": archive.filename})
        _forget(part)


def _receipt(archive: Archive, root: Path) -> Path:
    """Where is noted that an archive is in its place, until all of the set are."""
    return root / ".downloads" / f"{archive.md5}.placed"


def _is_placed(dataset: Dataset, archive: Archive, root: Path) -> bool:
    """Whether an earlier call, cut short before the set was whole, has placed this archive."""
    folder = root / Path(getattr(dataset, "folder", archive.folder)).parts[0]
    return _receipt(archive, root).is_file() and folder.is_dir()


def _verify(archive: Archive, part: Path) -> None:
    """Compare with the publisher's checksum; a wrong file is removed.

    Raises:
        InputError: it differs.
    """
    found = file_digests(part, fresh=True).md5
    if found != archive.md5:
        _forget(part)
        raise InputError(
            f"{archive.url} gave a file with md5 {found}, not the publisher's {archive.md5}; "
            f"it was removed: try again, or the publisher's file has changed"
        )


def _forget(part: Path) -> None:
    for path in (part, _notes(part)):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def _notes(part: Path) -> Path:
    """Beside a partial file: which address and version of the file it is a part of."""
    return part.with_name(f"{part.name}.json")


@dataclass
class _Transfer:
    """One download, until its partial file is whole."""

    name: str
    archive: Archive
    part: Path
    progress: Progress
    pauses: Sequence[float]

    def run(self) -> None:
        """Try until the file is whole; only tries that bring nothing are counted."""
        failures = 0
        while True:
            before = self._size()
            try:
                if self._attempt():
                    return
                cause = "the connection was cut"
            except urllib.error.HTTPError as error:
                cause = f"HTTP {error.code} {error.reason}"
                error.close()
                if error.code < 500 and error.code not in (408, 429):
                    raise self._failure(cause) from error
            except _CUT as error:
                cause = str(getattr(error, "reason", "") or error or type(error).__name__)
            failures = 0 if self._size() > before else failures + 1
            if failures > len(self.pauses):
                raise self._failure(cause)
            if failures:
                time.sleep(self.pauses[failures - 1])

    def _attempt(self) -> bool:
        """Ask for what is missing and write what comes; whether the file is whole then."""
        have = self._size()
        try:
            answer = urllib.request.urlopen(self._request(have), timeout=TIMEOUT)
        except urllib.error.HTTPError as error:
            if error.code != 416:  # the part is as long as the file, or longer
                raise
            error.close()
            whole = _total(error.headers.get("Content-Range")) == have > 0
            if not whole:
                _forget(self.part)
            return whole
        with answer:
            self._refuse_page(answer)
            start = _start(answer)
            if start != have:
                have = 0
            if start not in (0, have):
                _forget(self.part)
                return False
            length = answer.headers.get("Content-Length", "")
            total = have + int(length) if length.isdigit() else None
            self._note(answer)
            self.progress.start(self.archive.filename, total or self.archive.size or 0)
            self.progress.advance(have)
            return self._receive(answer, have, total)

    def _receive(self, answer: Any, have: int, total: int | None) -> bool:
        """Append the answer's bytes to the part, or start it anew where `have` is 0."""
        with self._opened(have) as file:
            while chunk := answer.read1(CHUNK):
                if file.tell() == 0:
                    self._refuse_markup(chunk)
                self._append(file, chunk)
                self.progress.advance(len(chunk))
        return total is None or self._size() == total

    def _opened(self, have: int) -> io.FileIO:
        try:
            return io.FileIO(self.part, "ab" if have else "wb")
        except OSError as error:
            raise self._unwritable(error) from error

    def _append(self, file: io.FileIO, chunk: bytes) -> None:
        """Write a chunk; a full disk is no cut connection and is not tried again."""
        try:
            written = 0
            while written < len(chunk):
                written += file.write(chunk[written:])
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> InputError:
        return InputError(f"cannot write {self.part}: {error.strerror or error}")

    def _request(self, have: int) -> urllib.request.Request:
        headers = {"User-Agent": f"sdd-eval/{__version__}", "Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            validator = self._noted().get("validator")
            if validator:  # another version of the file then comes whole
                headers["If-Range"] = validator
        return urllib.request.Request(self.archive.url, headers=headers)

    def _refuse_page(self, answer: Any) -> None:
        if answer.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
            raise self._page()

    def _refuse_markup(self, chunk: bytes) -> None:
        if chunk.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")):
            raise self._page()

    def _page(self) -> InputError:
        return self._failure("an HTML page instead of the file")

    def _failure(self, cause: str) -> InputError:
        size = self._size()
        kept = f"{size:,} bytes are kept, the same command goes on from there; " if size else ""
        return InputError(
            f"{self.archive.url} gave {cause}; {kept}if the address is dead, "
            f"`sdd-eval data add {self.name} PATH` places a copy that you have"
        )

    def _size(self) -> int:
        """Bytes that are there of this very address."""
        if not self.part.is_file() or self._noted().get("url") != self.archive.url:
            return 0
        return self.part.stat().st_size

    def _note(self, answer: Any) -> None:
        tag = answer.headers.get("ETag", "")
        validator = tag if tag.startswith('"') else answer.headers.get("Last-Modified", "")
        write_record(_notes(self.part), {"url": self.archive.url, "validator": validator})

    def _noted(self) -> dict[str, str]:
        try:
            found = json.loads(_notes(self.part).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def _start(answer: Any) -> int:
    """Where in the file the answer begins: 0 unless it says otherwise."""
    described = answer.headers.get("Content-Range", "") if answer.status == 206 else ""
    first = described.removeprefix("bytes ").split("-")[0]
    return int(first) if first.isdigit() else 0


def _total(content_range: str | None) -> int | None:
    """The length of the whole file from a Content-Range header."""
    last = (content_range or "").rpartition("/")[2]
    return int(last) if last.isdigit() else None
