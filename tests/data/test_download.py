"""`sdd-eval data get` against a local server with configurable faults."""

import hashlib
import http.server
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from sdd_eval.data.install.download import download
from sdd_eval.data.readers.cifar import CIFAR100
from sdd_eval.data.readers.folders import ISUN
from sdd_eval.data.readers.stanford_dogs import STANFORD_DOGS
from sdd_eval.data.readers.svhn import SVHN
from sdd_eval.errors import InputError


class Server:
    """Serves `content`; its attributes configure faults and record the requests."""

    def __init__(self):
        self.content = b""
        self.etag = '"one"'
        self.ranges = True
        self.cut_after = []  # bytes of the body after which the next answers are cut
        self.status = 200
        self.type = "application/x-gzip"
        self.requested = []  # the Range header of each request
        handler = type("Handler", (_Handler,), {"faults": self})
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,))
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/set.tar.gz"

    def stop(self):
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, requested = self.faults, self.headers.get("Range")
        server.requested.append(requested)
        start = (
            int(requested.removeprefix("bytes=").split("-")[0])
            if requested and server.ranges
            else 0
        )
        if self.headers.get("If-Range", server.etag) != server.etag:
            start = 0
        total = len(server.content)
        if start >= total > 0:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{total}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = server.content[start:]
        self.send_response(206 if start else server.status)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", server.type)
        self.send_header("ETag", server.etag)
        self.end_headers()
        self.wfile.write(body[: server.cut_after.pop(0)] if server.cut_after else body)

    def log_message(self, *arguments):
        pass


class Listener:
    """Records the progress."""

    def __init__(self):
        self.total, self.done = 0, 0

    def start(self, label, total):
        self.label, self.total, self.done = label, total, 0

    def advance(self, units=1, note=""):
        self.done += units


@pytest.fixture
def server():
    running = Server()
    yield running
    running.stop()


@pytest.fixture
def cifar(tmp_path, server, write_cifar100, pack):
    """Serve an archive in CIFAR-100's layout; return the data set that downloads it."""
    write_cifar100(tmp_path / "published", count=20)
    server.content = pack(tmp_path / "set.tar.gz", tmp_path / "published").read_bytes()
    assert len(server.content) > 100_000
    return served(CIFAR100, server)


def served(dataset, server, **changes):
    md5 = hashlib.md5(server.content).hexdigest()
    archive = replace(dataset.archives[0], url=server.url, md5=md5, **changes)
    return replace(dataset, archives=(archive,))


def fetch(dataset, root, progress=None):
    return download(dataset, root, progress, pauses=(0.0, 0.0, 0.0))


def part_of(root, dataset):
    return root / ".downloads" / f"{dataset.archives[0].filename}.part"


def test_an_archive_is_downloaded_verified_and_unpacked(root, server, cifar):
    listener = Listener()
    status = fetch(cifar, root, listener)
    assert (status.images, status.provenance) == (20, "partial: 20 of 10,000")
    assert len(cifar.load(root, "train")) == 40
    assert listener.total == listener.done == len(server.content)
    assert sorted(entry.name for entry in root.iterdir()) == ["cifar-100-python"]


def test_an_interrupted_download_resumes(root, server, cifar):
    listener = Listener()
    server.cut_after = [1000, 70_000]
    fetch(cifar, root, listener)
    assert server.requested == [None, "bytes=1000-", "bytes=71000-"]
    assert listener.total == listener.done == len(server.content)
    assert len(cifar.load(root)) == 20


def test_a_later_call_resumes_from_the_partial_file(root, server, cifar):
    server.cut_after = [1000, 0, 0, 0, 0]
    with pytest.raises(InputError, match="an interrupted connection; 1,000 bytes are kept"):
        fetch(cifar, root)
    assert not (root / "cifar-100-python").exists()
    server.requested.clear()
    fetch(cifar, root)
    assert server.requested == ["bytes=1000-"]
    assert len(cifar.load(root)) == 20


def test_a_server_without_range_requests_is_supported(root, server, cifar):
    server.ranges = False
    server.cut_after = [1000]
    fetch(cifar, root)
    assert len(cifar.load(root)) == 20


def test_a_server_that_always_stops_at_the_same_byte_is_an_error(root, server, cifar):
    server.ranges = False
    server.cut_after = [1000] * 50
    with pytest.raises(InputError, match=r"connection; 1,000 bytes are kept.*data add cifar100"):
        fetch(cifar, root)
    assert len(server.requested) == 5


def test_a_file_that_changed_on_the_server_is_downloaded_again(root, server, cifar):
    whole, server.content = server.content, b"x" * 5000
    server.cut_after = [1000, 0, 0, 0, 0]
    with pytest.raises(InputError, match="1,000 bytes are kept"):
        fetch(cifar, root)
    server.content, server.etag = whole, '"two"'
    fetch(cifar, root)
    assert len(cifar.load(root)) == 20


def test_a_complete_partial_file_is_used(root, server, cifar):
    server.cut_after = [1000, 0, 0, 0, 0]
    with pytest.raises(InputError):
        fetch(cifar, root)
    part_of(root, cifar).write_bytes(server.content)
    fetch(cifar, root)
    assert len(cifar.load(root)) == 20


def test_a_partial_file_that_is_too_long_is_discarded(root, server, cifar):
    server.cut_after = [1000, 0, 0, 0, 0]
    with pytest.raises(InputError):
        fetch(cifar, root)
    part_of(root, cifar).write_bytes(server.content + b"more")
    fetch(cifar, root)
    assert len(cifar.load(root)) == 20


def test_a_wrong_checksum_is_refused_and_nothing_unpacked(root, server, cifar):
    wrong = replace(cifar, archives=(replace(cifar.archives[0], md5="0" * 32),))
    with pytest.raises(InputError, match=r"md5 [0-9a-f]{32}, not the published 0{32}; it was del"):
        fetch(wrong, root)
    assert not (root / "cifar-100-python").exists()
    assert not part_of(root, cifar).exists()


@pytest.mark.parametrize("declared", ["text/html; charset=utf-8", "application/x-gzip"])
def test_an_html_page_instead_of_the_archive_is_an_error(root, server, cifar, declared):
    server.content, server.type = b"\n<!DOCTYPE html><html>moved</html>", declared
    with pytest.raises(InputError, match=r"an HTML page instead of the file.*data add cifar100"):
        fetch(cifar, root)
    assert len(server.requested) == 1
    assert not part_of(root, cifar).exists() or part_of(root, cifar).stat().st_size == 0


@pytest.mark.parametrize(("status", "tries"), [(404, 1), (410, 1), (403, 1), (503, 4)])
def test_only_temporary_http_errors_are_retried(root, server, cifar, status, tries):
    server.status = status
    with pytest.raises(InputError, match=f"returned HTTP {status}.*data add cifar100 PATH"):
        fetch(cifar, root)
    assert len(server.requested) == tries


def test_an_error_404_keeps_the_partial_file(root, server, cifar):
    server.cut_after = [1000, 0, 0, 0, 0]
    with pytest.raises(InputError):
        fetch(cifar, root)
    server.status, server.ranges = 404, False
    with pytest.raises(InputError, match=r"HTTP 404.*1,000 bytes are kept"):
        fetch(cifar, root)
    assert part_of(root, cifar).stat().st_size == 1000


def test_a_refused_connection_is_a_one_line_error(root, server, cifar):
    with Unused() as url:
        dead = replace(cifar, archives=(replace(cifar.archives[0], url=url),))
        with pytest.raises(InputError, match=r"refused.*data add cifar100 PATH"):
            fetch(dead, root)


class Unused:
    """Return an address without a listener."""

    def __enter__(self):
        import socket

        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can take it
        return f"http://127.0.0.1:{self.socket.getsockname()[1]}/set.tar.gz"

    def __exit__(self, *_):
        self.socket.close()


def test_an_official_set_is_not_downloaded_again(root, server, tmp_path, write_images, pack):
    write_images(tmp_path / "published" / "iSUN" / "iSUN_patches", ["0.png", "1.png"])
    server.content = pack(tmp_path / "set.tar.gz", tmp_path / "published").read_bytes()
    isun = replace(served(ISUN, server), published={"test": 2})
    assert fetch(isun, root).provenance == "official"
    assert fetch(isun, root).provenance == "official"
    assert len(server.requested) == 1


def test_an_unofficial_set_is_not_overwritten(root, server, cifar, write_cifar100):
    folder = write_cifar100(root, count=5)
    with pytest.raises(InputError, match=r"exists and is partial: 5 of 10,000; move it away"):
        fetch(cifar, root)
    (folder / "test").unlink()
    with pytest.raises(InputError, match=r"cifar-100-python already exists; move it away"):
        fetch(cifar, root)
    assert server.requested == []


def test_a_single_file_is_placed_in_its_folder(root, server, tmp_path, write_svhn):
    server.content = (write_svhn(tmp_path) / "test_32x32.mat").read_bytes()
    svhn = served(SVHN, server)
    assert fetch(svhn, root).provenance == "partial: 50 of 26,032"
    assert len(svhn.load(root)) == 50


@pytest.fixture
def dogs(tmp_path, write_dogs, pack):
    """Serve Stanford Dogs in three archives; return the data set and the servers."""
    published = write_dogs(tmp_path)
    archives, servers = [], []
    for archive, names in zip(
        STANFORD_DOGS.archives,
        (["Images"], ["Annotation"], ["train_list.mat", "test_list.mat"]),
        strict=True,
    ):
        folder = tmp_path / f"only {archive.filename}"
        folder.mkdir()
        for name in names:
            (published / name).rename(folder / name)
        servers.append(Server())
        servers[-1].content = pack(tmp_path / archive.filename, folder).read_bytes()
        md5 = hashlib.md5(servers[-1].content).hexdigest()
        archives.append(replace(archive, url=servers[-1].url, md5=md5))
    yield (
        replace(STANFORD_DOGS, archives=tuple(archives), published={"train": 8, "test": 4}),
        servers,
    )
    for server in servers:
        server.stop()


def test_a_set_of_several_archives_is_official_and_downloaded_once(root, dogs):
    data, servers = dogs
    assert fetch(data, root).provenance == "official"
    assert len(data.load(root, "train")) == 8
    assert fetch(data, root).provenance == "official"
    assert [len(server.requested) for server in servers] == [1, 1, 1]
    visible = [entry.name for entry in root.iterdir() if entry.name != ".verified"]
    assert visible == ["stanford_dogs"]


def test_a_set_of_several_archives_resumes_after_installed_ones(root, dogs):
    data, servers = dogs
    servers[1].status = 404
    with pytest.raises(InputError, match="404"):
        fetch(data, root)
    assert (root / "stanford_dogs" / "Images").is_dir()
    servers[1].status = 200
    assert fetch(data, root).provenance == "official"
    assert [len(server.requested) for server in servers] == [1, 2, 1]


def test_deleted_archives_are_downloaded_again(root, dogs):
    data, servers = dogs
    servers[1].status = 404
    with pytest.raises(InputError, match="404"):
        fetch(data, root)
    shutil.rmtree(root / "stanford_dogs")
    servers[1].status = 200
    assert fetch(data, root).provenance == "official"
    assert len(servers[0].requested) == 2


def test_a_malicious_archive_leaves_no_file(root, server, cifar, tmp_path, pack_member):
    archive = pack_member(tmp_path / "bad.tar", name="../escaped", size=3)
    server.content = archive.read_bytes()
    with pytest.raises(InputError, match=r"refused: its member '\.\./escaped'"):
        fetch(served(CIFAR100, server), root)
    assert [entry.name for entry in root.iterdir()] == [".downloads"]


def test_a_set_without_a_download_is_an_error(root):
    from sdd_eval.data.readers.digits import DIGITS

    with pytest.raises(InputError, match="digits needs no download"):
        download(DIGITS, root)


def test_a_full_disk_is_a_one_line_error_and_keeps_the_partial_file(root, server, cifar):
    """A limit on the size of files binds for root too."""
    archive = cifar.archives[0]
    code = f"""
import resource, sys
from dataclasses import replace
from pathlib import Path
from sdd_eval.data.dataset import Archive
from sdd_eval.data.install.download import download
from sdd_eval.data.readers.cifar import CIFAR100
from sdd_eval.errors import InputError
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
archive = Archive({archive.url!r}, {archive.md5!r}, {archive.filename!r})
try:
    download(replace(CIFAR100, archives=(archive,)), Path({str(root)!r}))
except InputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "cannot write" in done.stdout
    assert "File too large" in done.stdout
    assert part_of(root, cifar).stat().st_size == 50_000
    assert len(server.requested) == 1
    fetch(cifar, root)
    assert server.requested[-1] == "bytes=50000-"
    assert len(cifar.load(root)) == 20


def test_a_failed_move_leaves_no_incomplete_set(root, cifar, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("sdd_eval.data.install.unpack.os.replace", full)
        with pytest.raises(InputError, match=r"cannot write .*No space left"):
            fetch(cifar, root)
    assert not os.path.exists(root / "cifar-100-python")
    fetch(cifar, root)
    assert len(cifar.load(root)) == 20


def test_a_data_root_that_is_a_file_is_an_error(tmp_path, cifar):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*file"):
        fetch(cifar, tmp_path / "file")
