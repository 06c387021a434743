"""Pipes, unusual names, folders without permission, and the permissions of what is written."""

import os

import pytest

from sdd_eval.cli import exit_code
from sdd_eval.data import catalogue
from sdd_eval.data.catalogue import list_datasets, load_images
from sdd_eval.data.install.add import add
from sdd_eval.data.install.unpack import unpack
from sdd_eval.errors import InputError


def test_pipes_are_refused_and_not_opened(tmp_path, root, write_images):
    folder = write_images(tmp_path / "set", ["a/0.png", "b/0.png"])
    os.mkfifo(folder / "a" / "1.png")
    with pytest.raises(InputError, match=r"a/1\.png is not a file but a pipe"):
        load_images(str(folder), root)
    os.mkfifo(tmp_path / "images.zip")
    with pytest.raises(InputError, match=r"images\.zip is not a file but a pipe"):
        add("mine", tmp_path / "images.zip", root)
    (tmp_path / "arrays").mkdir()
    os.mkfifo(tmp_path / "arrays" / "test.npz")
    with pytest.raises(InputError, match=r"test\.npz is not a file but a pipe"):
        load_images(str(tmp_path / "arrays"), root)


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_unpacked_files_have_the_permissions_of_the_umask(tmp_path, pack, umask):
    (tmp_path / "source" / "inner").mkdir(parents=True)
    (tmp_path / "source" / "inner" / "file").write_text("content")
    (tmp_path / "source" / "inner" / "file").chmod(0o777)
    archive = pack(tmp_path / "set.tar.gz", tmp_path / "source")
    before = os.umask(umask)
    try:
        unpack(archive, tmp_path / "into")
    finally:
        os.umask(before)
    file = tmp_path / "into" / "inner" / "file"
    assert file.stat().st_mode & 0o777 == 0o666 & ~umask
    assert file.parent.stat().st_mode & 0o777 == 0o777 & ~umask


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_written_files_have_the_permissions_of_the_umask(tmp_path, umask):
    from sdd_eval.store import write_text

    before = os.umask(umask)
    try:
        write_text(tmp_path / "file", "content")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~umask


def test_names_that_are_not_utf8_are_read(tmp_path, root, write_images):
    folder = write_images(tmp_path / "set", ["a\udcff/0.png", "b/0\udcfe.png"])
    images = load_images(str(folder), root)
    assert images.class_names == ("a\ufffd", "b")
    assert len(next(images.batches(2))) == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [("a\0b", "is not text"), ("a\udcffb", "is not text"), ("x" * 5000, "File name too long")],
)
def test_names_that_no_file_may_have_are_refused(root, name, message):
    with pytest.raises(InputError, match=message):
        load_images(name, root)
    with pytest.raises(InputError, match=message):
        catalogue.corrupted_set(name, "digits", root)


def test_a_folder_that_cannot_be_read_is_named(root, write_images, monkeypatch):
    folder = write_images(root / "set", ["a/0.png", "b/0.png"])
    scandir = os.scandir

    def refusing(path="."):
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(InputError, match=f"cannot read {folder}/b: Permission denied"):
        load_images("set", root)
    monkeypatch.undo()
    monkeypatch.setattr(os, "scandir", refusing)
    rows = {row.name: row for row in list_datasets(root)}
    assert rows["set"].provenance.startswith("broken: cannot read")


def test_a_folder_without_permission_is_named_by_every_command(root, write_images, monkeypatch):
    from sdd_eval.data.install.verify import verify
    from sdd_eval.data.readers.folders import FolderSet

    write_images(root / "set", ["a/0.png", "b/0.png"])

    def refusing(self, base):
        raise PermissionError(13, "Permission denied", str(base))

    monkeypatch.setattr(FolderSet, "is_present", refusing)
    for command in (load_images, verify):
        try:
            found = command("set", root)
        except InputError as error:
            found = str(error)
        assert "Permission denied" in str(found)
    assert exit_code(["data", "list", "--data-root", str(root)]) == 0
