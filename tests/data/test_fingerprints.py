import hashlib
import os
import time

import numpy as np
import pytest

from sdd_eval.data import fingerprints
from sdd_eval.data.fingerprints import (
    array_fingerprint,
    cached_file_digests,
    cached_folder_fingerprint,
    file_digests,
    folder_fingerprint,
)
from sdd_eval.data.root import cache_folder, data_root
from sdd_eval.errors import InputError


def test_a_file_has_the_checksums_of_its_content(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"content")
    result = file_digests(path)
    assert result.md5 == hashlib.md5(b"content").hexdigest()
    assert result.sha256 == hashlib.sha256(b"content").hexdigest()


def test_a_file_is_hashed_once(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"content")
    assert cached_file_digests(path) is None
    first = file_digests(path)
    monkeypatch.setattr(fingerprints, "_hash_file", lambda path: pytest.fail("read again"))
    assert file_digests(path) == first == cached_file_digests(path)


def test_a_file_changed_immediately_to_the_same_length_is_hashed_again(tmp_path):
    path = tmp_path / "file"
    for content in (b"one", b"two", b"six"):
        path.write_bytes(content)
        assert file_digests(path).sha256 == hashlib.sha256(content).hexdigest()


def test_a_fresh_checksum_ignores_the_cache(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"one")
    before = path.stat()
    file_digests(path)
    path.write_bytes(b"two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file_digests(path).sha256 == hashlib.sha256(b"one").hexdigest()
    assert file_digests(path, fresh=True).sha256 == hashlib.sha256(b"two").hexdigest()


def test_an_unwritable_cache_does_not_change_the_result(tmp_path, monkeypatch):
    blocked = tmp_path / "a file where the folder should be"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    path = tmp_path / "file"
    path.write_bytes(b"content")
    assert file_digests(path).sha256 == hashlib.sha256(b"content").hexdigest()
    assert cached_file_digests(path) is None


@pytest.mark.parametrize("rubbish", ["", "{", "[]", '{"stamp": 1}', "\x00"])
def test_a_broken_cache_entry_is_ignored(tmp_path, rubbish):
    path = tmp_path / "file"
    path.write_bytes(b"content")
    first = file_digests(path)
    (entry,) = (cache_folder() / "fingerprints").iterdir()
    entry.write_text(rubbish)
    assert file_digests(path) == first


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="absent: No such file"):
        file_digests(tmp_path / "absent")


def test_a_folder_is_fingerprinted_by_names_and_contents(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"2")
    first = folder_fingerprint(tmp_path, ["b", "a"])
    assert folder_fingerprint(tmp_path, ["a", "b"]) == first
    (tmp_path / "b").write_bytes(b"3")
    second = folder_fingerprint(tmp_path, ["a", "b"])
    (tmp_path / "b").rename(tmp_path / "c")
    assert len({first, second, folder_fingerprint(tmp_path, ["a", "c"])}) == 3


def test_ten_thousand_files_are_hashed_once(tmp_path, monkeypatch):
    names = [f"{number}.png" for number in range(10_000)]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    first = folder_fingerprint(tmp_path, names)
    monkeypatch.setattr(fingerprints, "_hash_folder", lambda *_: pytest.fail("read again"))
    assert (
        folder_fingerprint(tmp_path, names) == first == cached_folder_fingerprint(tmp_path, names)
    )


def test_arrays_differ_by_type_shape_and_content():
    array = np.arange(6, dtype=np.uint8)
    others = [array, array.reshape(2, 3), array.astype(np.int8), array + np.uint8(1), None]
    assert len({array_fingerprint(other) for other in others}) == 5
    assert array_fingerprint(array.reshape(2, 3).T) == array_fingerprint(
        array.reshape(2, 3).T.copy()
    )


def test_the_data_root_is_the_flag_then_the_variable_then_the_cache(tmp_path, monkeypatch):
    monkeypatch.delenv("SDD_EVAL_DATA", raising=False)
    assert data_root(None) == cache_folder() / "data"
    monkeypatch.setenv("SDD_EVAL_DATA", str(tmp_path / "variable"))
    assert data_root(None) == tmp_path / "variable"
    assert data_root(tmp_path / "flag") == tmp_path / "flag"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "sdd_eval"


def test_a_recently_changed_file_is_hashed_after_the_clock_step(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"content")
    file_digests(path)
    assert time.time() - path.stat().st_mtime >= fingerprints.CLOCK_STEP
