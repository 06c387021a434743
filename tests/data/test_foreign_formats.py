import os
import pickle

import numpy as np
import pytest

from sdd_eval.data.readers.foreign_formats import read_pickle
from sdd_eval.errors import InputError


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.reduced = (function, arguments)

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_and_lists_are_read(tmp_path, protocol):
    content = {"data": np.arange(6, dtype=np.uint8).reshape(2, 3), "labels": [1, 2], b"name": "x"}
    (tmp_path / "file").write_bytes(pickle.dumps(content, protocol))
    result = read_pickle(tmp_path / "file")
    assert np.array_equal(result["data"], content["data"])
    assert (result["labels"], result["name"]) == ([1, 2], "x")


def test_a_pickle_of_python_2_is_read(tmp_path):
    # {'data': numpy.array([[7]], 'uint8')} as Python 2 and its NumPy wrote it.
    written = (
        b"\x80\x02}q\x01U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\n"
        b"q\x04K\x00\x85U\x01b\x87Rq\x05(K\x01K\x01K\x01\x86cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01"
        b"\x87Rq\x07(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x01\x07tbs."
    )
    (tmp_path / "file").write_bytes(written)
    assert read_pickle(tmp_path / "file")["data"].tolist() == [[7]]


@pytest.mark.parametrize("function", [os.mkdir, eval, print, getattr, np.load, np.save])
def test_a_pickle_that_calls_code_is_refused_before_it_runs(tmp_path, function):
    created = tmp_path / "made by the pickle"
    (tmp_path / "file").write_bytes(pickle.dumps({"data": Calls(function, str(created))}))
    with pytest.raises(InputError, match=r"file is not a pickle of arrays: .* is refused"):
        read_pickle(tmp_path / "file")
    assert not created.exists()


def test_an_array_of_objects_is_refused(tmp_path):
    content = {"data": np.array([1, "a"], dtype=object)}
    (tmp_path / "file").write_bytes(pickle.dumps(content, 2))
    with pytest.raises(InputError, match="type object"):
        read_pickle(tmp_path / "file")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a pickle of arrays"),
        (b"\x80\x02}q\x01U\x04da", "is not a pickle of arrays"),
        (b"<html>", "is not a pickle of arrays"),
        (pickle.dumps([1, 2]), "is a pickled list, not a dictionary"),
    ],
)
def test_other_pickles_and_files_are_refused(tmp_path, content, message):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(InputError, match=f"file {message}"):
        read_pickle(tmp_path / "file")
