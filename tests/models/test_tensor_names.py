"""Tensor names of public checkpoints: translated, without prefixes, listed where they differ."""

import re

import pytest
import torch
from public_weights import assert_fits, network_of, plain

from sdd_eval.errors import InputError
from sdd_eval.models.build import build
from sdd_eval.models.layouts import match_weights
from sdd_eval.records import ModelSpec


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
