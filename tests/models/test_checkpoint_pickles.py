"""What the pickle of a checkpoint may hold: harmless objects, but no calls or endless content."""

import argparse
import collections
import datetime
import os
import pathlib

import numpy as np
import pytest
import torch
from public_weights import Config, read
from torch import nn

from sdd_eval.errors import InputError
from sdd_eval.models.weights_file import read_weights


class Settings(dict):
    """A mapping with attributes."""


OBJECTS = {
    "namespace": argparse.Namespace(lr=0.1, data=pathlib.PurePosixPath("x"), when=None),
    "ordered": collections.OrderedDict(a=1),
    "counter": collections.Counter("abba"),
    "default": collections.defaultdict(list, {"a": [1]}),
    "numpy scalars": [np.float64(0.7), np.int64(3), np.float32(1), np.bool_(1)],
    "numpy arrays": [np.arange(3), np.dtype("f4"), np.random.default_rng(0).normal(size=2)],
    "paths": [pathlib.Path("runs"), pathlib.PurePosixPath("/data"), {pathlib.Path("a"): 1}],
    "times": [datetime.datetime(2026, 1, 2), datetime.date(2026, 1, 2), datetime.timedelta(1)],
    "zone": datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc),
    "builtin": [{1, 2}, frozenset([1]), slice(1, 2), b"bytes", range(3), 1 + 2j, bytearray(b"x")],
    "a class of its own": Config(),
    "a mapping of its own": Settings(lr=0.1),
}


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize("new", [True, False])
def test_harmless_objects_beside_the_tensors_are_ignored(tmp_path, network, state, name, new):
    content = {"epoch": 3, "args": OBJECTS[name], "state_dict": state}
    match, same = read(tmp_path, content, network, _use_new_zipfile_serialization=new)
    assert same
    assert match.key == "state_dict"


class Runs:
    """An object whose unpickling calls a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "call", [(os.mkdir, "made"), (eval, "open('made', 'w')"), (exec, "open('made', 'w')")]
)
@pytest.mark.parametrize("where", ["state", "args", "key"])
def test_a_call_in_a_pickle_is_refused_wherever_it_is(
    tmp_path, monkeypatch, network, state, call, where
):
    monkeypatch.chdir(tmp_path)
    contents = {
        "state": {"state_dict": {**state, "x": Runs(*call)}},
        "args": {"state_dict": state, "args": argparse.Namespace(a=[Runs(*call)])},
        "key": {"state_dict": state, Runs(*call): 1},
    }
    with pytest.raises(InputError, match=r"file\.pt is refused: it would run \w+\.") as caught:
        read(tmp_path, contents[where], network)
    assert not pathlib.Path("made").exists()
    assert "\n" not in str(caught.value)


def test_objects_in_a_pickle_are_never_made(tmp_path, network, state, monkeypatch):
    monkeypatch.setattr(Config, "__new__", lambda cls: pytest.fail("made"), raising=False)
    with monkeypatch.context() as context:
        context.delattr(Config, "__new__")
        torch.save({"state_dict": state, "args": Config()}, tmp_path / "file.pt")
    assert "state_dict.conv1.weight" in read_weights(tmp_path / "file.pt")


def nested(depth):
    content = {"state_dict": {"fc.bias": torch.zeros(3)}}
    for _ in range(depth):
        content = {"a": content}
    return content


def cyclic():
    content = {"fc.bias": torch.zeros(3)}
    content["content"] = [content, [content]]
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (nested(100), "has no network's tensors; it holds a"),
        ({"fc\ud800.bias": torch.zeros(3)}, r"names a tensor 'fc\\ud800\.bias', which is not text"),
        ({"fc\n.bias": torch.zeros(3)}, r"names a tensor 'fc\\n\.bias', which is not text"),
        ({"model": nn.Linear(2, 2)}, r"would run torch\.nn\.modules\.linear\.Linear"),
    ],
)
def test_unusual_content_is_refused_in_one_line(tmp_path, content, message):
    torch.save(content, tmp_path / "file.pt")
    with pytest.raises(InputError, match=message) as caught:
        read_weights(tmp_path / "file.pt")
    assert "\n" not in str(caught.value)


def test_a_container_within_itself_is_read_once(tmp_path):
    torch.save(cyclic(), tmp_path / "file.pt")
    assert list(read_weights(tmp_path / "file.pt")) == ["fc.bias"]


def test_containers_that_multiply_are_refused(tmp_path):
    content = []
    for _ in range(12):
        content = [content] * 10
    torch.save(content, tmp_path / "file.pt")
    with pytest.raises(InputError, match="holds more than 100,000 lists and mappings"):
        read_weights(tmp_path / "file.pt")


def test_the_protocol_of_a_pickle_that_torch_does_not_read_is_named(tmp_path, state):
    torch.save(state, tmp_path / "file.pt", pickle_protocol=4)
    with pytest.raises(InputError, match=r"a pickle of protocol 4; save it by torch\.save"):
        read_weights(tmp_path / "file.pt")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="not a regular file"):
        read_weights(tmp_path / "pipe")
    with pytest.raises(InputError, match="not a regular file"):
        read_weights(tmp_path)


def test_an_archive_that_unpacks_to_more_is_refused(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "file.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10_000_000))
    with pytest.raises(InputError, match=r"is compressed, which no file of torch\.save is"):
        read_weights(tmp_path / "file.pt")
