"""Reading of weights files: formats, nesting and refusals."""

import gzip
import io
import os
import pickle
import zipfile

import numpy as np
import pytest
import safetensors.torch
import torch
from public_weights import assert_fits, network_of, plain
from torch import nn

from sdd_eval.errors import InputError
from sdd_eval.models.layouts import match_weights
from sdd_eval.models.weights_file import read_weights

NESTINGS = {
    "alone": lambda s: s,
    "state_dict": lambda s: {"epoch": 3, "state_dict": s, "best": torch.tensor(0.7)},
    "model": lambda s: {"model": s, "model_ema": {}, "lr": 0.1},
    "net": lambda s: {"net": s, "acc": 93.0, "epoch": 12},
    "twice": lambda s: {"model": {"state_dict": s}},
}


@pytest.mark.parametrize("nesting", NESTINGS)
@pytest.mark.parametrize("old", [False, True])
def test_nested_state_dicts_are_read(tmp_path, nesting, old):
    network = network_of()
    path = tmp_path / "mine.pt"
    content = NESTINGS[nesting](plain(network))
    torch.save(content, path, _use_new_zipfile_serialization=not old)
    assert_fits(network, read_weights(path))


def test_the_network_of_a_training_state_with_optimiser_is_read(tmp_path):
    network = network_of("small_cnn")
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    network(torch.rand(2, 3, 8, 8)).sum().backward()
    optimiser.step()
    state = nn.DataParallel(network).state_dict()
    content = {"optimizer": optimiser.state_dict(), "model": state, "epoch": 4}
    torch.save(content, tmp_path / "state.tar")
    tensors = read_weights(tmp_path / "state.tar")
    assert_fits(network, tensors)
    match = match_weights(network, tensors, "file")[1]
    assert (match.key, match.alternatives) == ("model.module", ())
    assert match.left_out == ("optimizer",)


def test_safetensors_are_recognised_by_content(tmp_path):
    network = network_of()
    safetensors.torch.save_file(plain(network), tmp_path / "weights.bin")
    assert_fits(network, read_weights(tmp_path / "weights.bin"))


class Evil:
    """An object whose unpickling creates a folder."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("how", ["zip", "old", "pickle 2", "pickle 5"])
def test_a_pickle_that_would_run_code_is_refused(tmp_path, how):
    path = tmp_path / "evil.pt"
    content = {"state_dict": {"fc.weight": torch.zeros(3)}, "extra": Evil(tmp_path / "made")}
    if how.startswith("pickle"):
        path.write_bytes(
            pickle.dumps({"a": 1, "b": Evil(tmp_path / "made")}, protocol=int(how[-1]))
        )
    else:
        torch.save(content, path, _use_new_zipfile_serialization=how == "zip")
    with pytest.raises(InputError, match=r"evil\.pt .* would run posix\.mkdir\.") as caught:
        read_weights(path)
    assert not (tmp_path / "made").exists()
    assert "\n" not in str(caught.value)


def test_tensors_in_a_plain_pickle_are_refused(tmp_path):
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps({"fc.weight": torch.zeros(3)}))
    with pytest.raises(InputError, match=r"would run torch\.storage\._load_from_bytes\."):
        read_weights(tmp_path / "plain.pkl")


def test_a_pickled_module_is_refused_and_its_class_named(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "whole.pt")
    with pytest.raises(InputError, match=r"would run torch\.nn\.modules\.linear\.Linear"):
        read_weights(tmp_path / "whole.pt")


def garbage(seed: int) -> bytes:
    return np.random.default_rng(seed).bytes(3000)


def saved(**options) -> bytes:
    file = io.BytesIO()
    torch.save({"fc.weight": torch.arange(600.0)}, file, **options)
    return file.getvalue()


BROKEN = {
    "nothing": (b"", "it is empty"),
    "a blank": (b"\n", "it is empty"),
    "text": (b"no weights", "not a pickle of tensors"),
    "the text that torch takes for a pickle's line": (
        b"epoch: 3\nloss: 1.0\n",
        "not a pickle of tensors",
    ),
    "a page": (b"<!DOCTYPE html><html>404</html>", "a page of HTML"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
    "json": (b'{"fc.weight": [1, 2]}', "JSON"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(90), "HDF5"),
    "a tar archive": (bytes(257) + b"ustar" + bytes(250), "tar archive"),
    "an array": (b"\x93NUMPY\x01\x00" + bytes(90), "array of NumPy"),
    "packed": (gzip.compress(b"weights"), "gzip"),
    "an open pickle": (b"\x80\x02}", "it ends too soon"),
    "the start of a zip": (b"PK\x03\x04 cut", "damaged or cut short"),
    "half a zip": (saved()[: len(saved()) // 2], "damaged or cut short"),
    "an old file, cut": (
        saved(_use_new_zipfile_serialization=False)[:-700],
        "damaged or cut short",
    ),
    "zeros": (bytes(4096), "not a pickle of tensors"),
    "noise": (garbage(0), "not a pickle of tensors"),
    "other noise": (garbage(1), "not a pickle of tensors"),
    "letters": (b"e" * 500, "not a pickle of tensors"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_files_of_other_formats_are_recognised_in_the_error(tmp_path, what):
    content, expected = BROKEN[what]
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(
        InputError, match=r"neither safetensors nor a file of torch\.save"
    ) as caught:
        read_weights(tmp_path / "file")
    assert "\n" not in str(caught.value)
    cause = str(caught.value).split("torch.save: ")[1]
    assert expected in cause
    assert "weights_only" not in cause


def test_a_zip_of_other_content_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "file.pt", "w") as archive:
        archive.writestr("photo.txt", "no weights")
    with pytest.raises(InputError, match=r"neither safetensors nor a file of torch\.save"):
        read_weights(tmp_path / "file.pt")


def test_the_error_about_a_truncated_or_missing_file_names_it(tmp_path):
    safetensors.torch.save_file(plain(network_of()), tmp_path / "cut")
    (tmp_path / "cut").write_bytes((tmp_path / "cut").read_bytes()[:-9])
    with pytest.raises(InputError, match="not a complete safetensors file"):
        read_weights(tmp_path / "cut")
    with pytest.raises(InputError, match=r"cannot read .*absent"):
        read_weights(tmp_path / "absent")


def test_the_error_about_a_file_without_tensors_lists_its_keys(tmp_path):
    torch.save({"epoch": 3, "history": [1, 2]}, tmp_path / "log.pt")
    with pytest.raises(InputError, match="it holds epoch, history"):
        read_weights(tmp_path / "log.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(InputError, match="holds a list, not tensors by name"):
        read_weights(tmp_path / "list.pt")


def mutated(content, random):
    """Return bytes with a few of the first ones changed, some inserted, or the end cut off."""
    content = bytearray(content)
    where = int(random.integers(min(len(content), 6000)))
    kind = random.integers(3)
    if kind == 0:
        content[where : where + 4] = random.bytes(4)
    elif kind == 1:
        content[where:where] = random.bytes(9)
    return bytes(content if kind < 2 else content[:where])


def with_pickle(content, random):
    """Return an archive of torch.save with a mutated pickle."""
    target = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as source,
        zipfile.ZipFile(target, "w") as archive,
    ):
        for name in source.namelist():
            inner = source.read(name)
            archive.writestr(name, mutated(inner, random) if "data.pkl" in name else inner)
    return target.getvalue()


@pytest.mark.parametrize("seed", range(120))
def test_a_randomly_damaged_file_is_read_or_refused_in_one_line(tmp_path, seed):
    random = np.random.default_rng(seed)
    tensors = {"fc.weight": torch.arange(6.0), "fc.bias": torch.zeros(2)}
    content = saved(_use_new_zipfile_serialization=seed % 4 != 1)
    if seed % 4 == 2:
        content = safetensors.torch.save(tensors)
    content = with_pickle(content, random) if seed % 4 == 3 else mutated(content, random)
    (tmp_path / "file").write_bytes(content)
    message = ""
    try:
        assert read_weights(tmp_path / "file")
    except InputError as error:
        message = str(error)
    assert "\n" not in message
