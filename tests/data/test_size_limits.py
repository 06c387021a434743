"""Content that would fill the disk or the memory is refused before it does."""

import os
import zipfile

import numpy as np
import pytest

from sdd_eval.data import files
from sdd_eval.data.catalogue import load_images
from sdd_eval.data.install.unpack import unpack
from sdd_eval.errors import InputError
from sdd_eval.metrics.corruption import FIFTEEN


def test_archives_larger_than_the_disk_or_implausibly_dense_are_refused(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("set/zeros", bytes(3_000_000))
    monkeypatch.setattr(files, "SMALL_CONTENT", 2**20)
    with pytest.raises(InputError, match=r"bomb\.zip is refused: .* more than 200 times as many"):
        unpack(tmp_path / "bomb.zip", tmp_path / "into")
    monkeypatch.undo()
    unpack(tmp_path / "bomb.zip", tmp_path / "into")
    usage = type("Usage", (), {"free": 1_000_000})
    monkeypatch.setattr("sdd_eval.data.files.shutil.disk_usage", lambda path: usage)
    with pytest.raises(InputError, match="unpacks to at least 3,000,000 bytes; 1,000,000 are free"):
        unpack(tmp_path / "bomb.zip", tmp_path / "again")


def test_a_tar_is_refused_before_the_member_that_is_too_large(tmp_path, monkeypatch, pack):
    folder = tmp_path / "source"
    folder.mkdir()
    for number in range(3):
        (folder / str(number)).write_bytes(bytes(1000))
    archive = pack(tmp_path / "set.tar.gz", folder)
    usage = type("Usage", (), {"free": 2500})
    monkeypatch.setattr("sdd_eval.data.files.shutil.disk_usage", lambda path: usage)
    with pytest.raises(InputError, match="unpacks to at least 3,000 bytes; 2,500 are free"):
        unpack(archive, tmp_path / "into")
    assert sorted(os.listdir(tmp_path / "into")) == ["0", "1"]


def test_a_compressed_array_that_would_fill_the_memory_is_refused(tmp_path, root, monkeypatch):
    np.savez_compressed(tmp_path / "bomb.npz", images=np.zeros((900, 32, 32, 3), np.uint8))
    assert len(load_images(str(tmp_path / "bomb.npz"), root)) == 900
    monkeypatch.setattr(files, "SMALL_CONTENT", 2**20)
    with pytest.raises(InputError, match=r"bomb\.npz is refused"):
        load_images(str(tmp_path / "bomb.npz"), root)


def test_corruptions_larger_than_the_disk_are_refused_before_any_is_rendered(root, monkeypatch):
    from sdd_eval.data.corruption.writer import write_corrupted

    usage = type("Usage", (), {"free": 1_000_000})
    monkeypatch.setattr("sdd_eval.data.files.shutil.disk_usage", lambda path: usage)
    digits = load_images("digits", root)
    with pytest.raises(InputError, match="needs 3,825,600 bytes, and 1,000,000 are free"):
        write_corrupted(digits, root / "set", corruptions=FIFTEEN)
    assert not list((root / "set").glob("*.npy.part"))
    write_corrupted(digits, root / "set", corruptions=("contrast",))
