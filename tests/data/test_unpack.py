import os
import stat
import tarfile
import zipfile

import pytest

from sdd_eval.data.install.unpack import install_staged, staging, unpack
from sdd_eval.errors import InputError


def test_files_and_folders_are_unpacked_from_tar_and_zip(tmp_path, pack):
    source = tmp_path / "source"
    (source / "set" / "inner").mkdir(parents=True)
    (source / "set" / "inner" / "file.txt").write_text("content")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as packed:
        packed.write(source / "set" / "inner" / "file.txt", "set/inner/file.txt")
    for archive in (pack(tmp_path / "set.tar.gz", source), tmp_path / "set.zip"):
        into = tmp_path / f"from {archive.name}"
        unpack(archive, into)
        assert (into / "set" / "inner" / "file.txt").read_text() == "content"


@pytest.mark.parametrize(
    "described",
    [
        {"name": "../escaped", "size": 3},
        {"name": "set/../../escaped", "size": 3},
        {"name": "/tmp/escaped by sdd_eval's test", "size": 3},
        {"name": "set\\..\\escaped", "size": 3},
        {"name": "C:/escaped", "size": 3},
    ],
    ids=lambda described: described["name"],
)
def test_a_member_outside_the_folder_is_refused_by_name(tmp_path, pack_member, described):
    archive = pack_member(tmp_path / "bad.tar", **described)
    with pytest.raises(InputError, match=r"bad\.tar is refused: its member .*escaped.* outside"):
        unpack(archive, tmp_path / "inner" / "into")
    assert not [path for path in tmp_path.rglob("*") if "escaped" in path.name]
    assert not os.path.exists("/tmp/escaped by sdd_eval's test")


@pytest.mark.parametrize(
    "described",
    [
        {"type": tarfile.SYMTYPE, "linkname": "/etc"},
        {"type": tarfile.SYMTYPE, "linkname": "readme.txt"},
        {"type": tarfile.LNKTYPE, "linkname": "set/readme.txt"},
        {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3},
        {"type": tarfile.BLKTYPE},
        {"type": tarfile.FIFOTYPE},
    ],
)
def test_links_and_devices_are_refused_by_name(tmp_path, pack_member, described):
    archive = pack_member(tmp_path / "bad.tar", name="set/strange", **described)
    with pytest.raises(InputError, match=r"its member 'set/strange' is a link or a device"):
        unpack(archive, tmp_path / "into")
    assert not os.path.lexists(tmp_path / "into" / "set" / "strange")


def test_a_zip_with_a_link_or_an_outside_path_is_refused(tmp_path):
    link = zipfile.ZipInfo("set/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    for name, member in (("link.zip", link), ("out.zip", "../out")):
        with zipfile.ZipFile(tmp_path / name, "w") as packed:
            packed.writestr(member, "/etc/passwd")
        with pytest.raises(InputError, match=rf"{name} is refused"):
            unpack(tmp_path / name, tmp_path / "into")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("size", [40, 2000])
def test_a_truncated_archive_is_named(tmp_path, pack, size):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_bytes(os.urandom(5000))
    archive = pack(tmp_path / "set.tar.gz", tmp_path / "source")
    archive.write_bytes(archive.read_bytes()[:size])
    with pytest.raises(InputError, match=r"set\.tar\.gz is (broken|not a tar)"):
        unpack(archive, tmp_path / "into")


def test_other_files_are_not_archives(tmp_path):
    (tmp_path / "set.tar.gz").write_text("<html>not found</html>")
    with pytest.raises(InputError, match=r"set\.tar\.gz is not a tar or zip archive"):
        unpack(tmp_path / "set.tar.gz", tmp_path / "into")


def test_nothing_is_moved_if_a_target_exists(root):
    (root / "set").mkdir()
    (root / "set" / "b.mat").write_text("the user's")
    with staging(root) as staged:
        for name in ("a.mat", "b.mat"):
            (staged / name).write_text("new")
        with pytest.raises(InputError, match=r"b\.mat already exists"):
            install_staged(staged, root / "set")
    assert (root / "set" / "b.mat").read_text() == "the user's"
    assert [entry.name for entry in (root / "set").iterdir()] == ["b.mat"]


def test_hidden_files_are_not_moved_and_the_staging_folder_is_deleted(root):
    with staging(root) as staged:
        for name in (".DS_Store", "__MACOSX", "set"):
            (staged / name).mkdir()
        install_staged(staged, root)
    assert [entry.name for entry in root.iterdir()] == ["set"]


def test_an_empty_target_folder_is_replaced(root):
    (root / "set").mkdir()
    with staging(root) as staged:
        (staged / "set").mkdir()
        (staged / "set" / "a").write_text("")
        install_staged(staged, root)
    assert (root / "set" / "a").exists()
