"""Reading of public weights: formats, tensor names and refusals."""

import gzip
import io
import os
import pickle
import re
import zipfile

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from sdd_eval.errors import InputError
from sdd_eval.models.build import build
from sdd_eval.models.layouts import match_weights
from sdd_eval.models.weights_file import read_weights
from sdd_eval.records import ModelSpec


def network_of(arch="resnet8", classes=10, **options):
    """Return a network all of whose tensors differ from their initial values."""
    torch.manual_seed(1)
    size = 32
    network = build(ModelSpec(arch, classes, (0.4,) * 3, (0.2,) * 3, size, options))
    for number, tensor in enumerate(network.state_dict().values()):
        tensor.copy_(torch.randn(tensor.shape) + number if tensor.is_floating_point() else tensor)
    return network


def plain(network, head="fc"):
    """Return the state without prefixes, with another name for the classifier."""
    names = {name: name.removeprefix("backbone.") for name in network.state_dict()}
    return {
        re.sub("^classifier", head, new): network.state_dict()[old] for old, new in names.items()
    }


def renamed(state, *rules):
    for pattern, replacement in rules:
        state = {re.sub(pattern, replacement, name): value for name, value in state.items()}
    return state


def gpleiss(name):
    """Return the state of a DenseNet under torchvision's names."""
    result = re.match(r"layer(\d)\.(\d+)\.(bn|conv)(\d)\.(.*)", name)
    if result:
        block, layer, kind, number, rest = result.groups()
        kind = "norm" if kind == "bn" else kind
        return f"features.denseblock{block}.denselayer{int(layer) + 1}.{kind}{number}.{rest}"
    result = re.match(r"trans(\d)\.(bn|conv)1\.(.*)", name)
    if result:
        kind = "norm" if result[2] == "bn" else "conv"
        return f"features.transition{result[1]}.{kind}.{result[3]}"
    name = name.replace("conv1.", "features.conv0.").replace("bn1.", "features.norm_final.")
    return name.replace("fc.", "classifier.")


#: Public code → how it names the layers of a network that is built in here.
PUBLIC = {
    "akamaster": ("resnet20", lambda s: renamed(s, (r"^fc\.", "linear."))),
    "chenyaofo": ("resnet20_b", lambda s: renamed(s, (r"\.shortcut\.", ".downsample."))),
    "pytorch-cifar100": (
        "resnet18",
        lambda s: renamed(
            s,
            (r"\.conv1\.", ".residual_function.0."),
            (r"\.bn1\.", ".residual_function.1."),
            (r"\.conv2\.", ".residual_function.3."),
            (r"\.bn2\.", ".residual_function.4."),
            (r"^conv1\.", "conv1.0."),
            (r"^bn1\.", "conv1.1."),
            (r"^layer1\.", "conv2_x."),
            (r"^layer2\.", "conv3_x."),
            (r"^layer3\.", "conv4_x."),
            (r"^layer4\.", "conv5_x."),
        ),
    ),
    "pytorch-cifar100, bottlenecks": (
        "resnet50",
        lambda s: renamed(
            s,
            *((rf"\.conv{n}\.", f".residual_function.{3 * n - 3}.") for n in (1, 2, 3)),
            *((rf"\.bn{n}\.", f".residual_function.{3 * n - 2}.") for n in (1, 2, 3)),
            (r"^conv1\.", "conv1.0."),
            (r"^bn1\.", "conv1.1."),
            *((rf"^layer{n}\.", f"conv{n + 1}_x.") for n in (1, 2, 3, 4)),
        ),
    ),
    "pytorch-cifar": (
        "densenet121",
        lambda s: renamed(
            s,
            (r"^layer(\d)\.", r"dense\1."),
            (r"^trans(\d)\.(bn|conv)1\.", r"trans\1.\2."),
            (r"^bn1\.", "bn."),
            (r"^fc\.", "linear."),
        ),
    ),
    "WideResNet-pytorch": (
        "wrn_28_10",
        lambda s: renamed(
            s, (r"^layer(\d)\.", r"block\1.layer."), (r"\.shortcut\.", ".convShortcut.")
        ),
    ),
    "densenet-pytorch": (
        "densenet_bc_100_12",
        lambda s: renamed(s, (r"^layer(\d)\.", r"block\1.layer.")),
    ),
    "pytorch-classification": (
        "densenet_bc_100_12",
        lambda s: renamed(s, (r"^layer(\d)\.", r"dense\1."), (r"^bn1\.", "bn.")),
    ),
    "efficient_densenet": (
        "densenet_bc_100_12",
        lambda s: {gpleiss(name): value for name, value in s.items()},
    ),
}


def assert_fits(network, tensors):
    """Check that a new network loads all tensors of `network`."""
    fresh = build(network.spec)
    state, _ = match_weights(fresh, tensors, "file")
    own = network.state_dict()
    assert state.keys() == own.keys()
    for name, tensor in own.items():
        assert torch.equal(state[name], tensor), name


@pytest.mark.parametrize("public", PUBLIC)
def test_tensor_names_of_public_checkpoints_are_translated(public):
    arch, name = PUBLIC[public]
    network = network_of(arch)
    tensors = name(plain(network))
    assert tensors.keys() != network.state_dict().keys()
    assert_fits(network, tensors)


def test_library_networks_accept_the_tensor_names_of_the_library():
    from torchvision.models import mobilenet_v3_small

    whole = mobilenet_v3_small(num_classes=7)
    network = build(ModelSpec("torchvision:mobilenet_v3_small", 7, (0.0,) * 3, (1.0,) * 3, 32))
    network.load_state_dict(match_weights(network, whole.state_dict(), "file")[0])
    pixels = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(network.eval()(pixels), whole.eval()(pixels), atol=1e-5)


@pytest.mark.parametrize(
    "prefix",
    ["", "module.", "_orig_mod.", "module._orig_mod.", "model.net.", "backbone.", "a.b.c.d.e."],
)
def test_a_prefix_of_any_length_is_removed(prefix):
    network = network_of()
    for state in (plain(network), dict(network.state_dict())):
        assert_fits(network, {prefix + name: value for name, value in state.items()})


def test_prefixes_of_compiled_submodules_are_removed():
    network = network_of()
    assert_fits(network, renamed(plain(network), (r"^layer1\.", "layer1._orig_mod.")))


def test_batch_counters_may_be_missing_and_half_precision_is_converted():
    network = network_of()
    old = {k: v for k, v in plain(network).items() if not k.endswith("num_batches_tracked")}
    assert_fits(network, old)
    state, _ = match_weights(network, {k: v.half() for k, v in old.items()}, "file")
    assert state["classifier.weight"].dtype == torch.float32


def test_mismatches_are_listed_the_first_ones_with_both_shapes():
    tensors = plain(network_of(classes=100))
    del tensors["layer2.0.conv1.weight"]
    tensors["mean"] = torch.zeros(3)
    with pytest.raises(InputError) as caught:
        match_weights(build(network_of().spec), tensors, "mine.pt")
    assert str(caught.value) == (
        "mine.pt does not fit arch 'resnet8': 1 missing: layer2.0.conv1.weight (32, 16, 3, 3); "
        "1 left over: mean (3,); 2 of another shape: fc.weight (100, 64) in the file, (10, 64) in "
        "the network, fc.bias (100,) in the file, (10,) in the network"
    )


def test_all_mismatched_names_are_listed():
    with pytest.raises(InputError) as caught:
        match_weights(build(network_of().spec), plain(network_of("resnet20")), "mine.pt")
    output = str(caught.value)
    assert "\n" not in output
    for block in ("layer1.1", "layer3.2"):
        assert f"{block}.conv2.weight" in output
    assert output.count("(") < 10


def test_weights_that_are_not_finite_are_refused():
    tensors = plain(network_of())
    tensors["bn1.running_var"][3] = torch.nan
    with pytest.raises(InputError, match=r"'bn1\.running_var' holds numbers that are not finite"):
        match_weights(network_of(), tensors, "mine.pt")


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
