import pytest
import torch

from sdd_eval.errors import InputError
from sdd_eval.models.build import build
from sdd_eval.models.network import Network, Stages
from sdd_eval.records import ModelSpec
from sdd_eval.training.methods.branch import branches


def network(arch, side=32, channels=3):
    return build(ModelSpec(arch, 7, (0.5,) * channels, (0.2,) * channels, side))


@pytest.mark.parametrize(
    ("arch", "side", "channels", "strides"),
    [
        ("resnet18w16", 32, 3, [8, 4, 2]),
        ("resnet18w16", 28, 3, [7, 3, 1]),  # maps of 28, 14, 7 and 4 pixels
        ("resnet8", 32, 3, [4, 2, 1]),
        ("small_cnn", 8, 1, [2, 1, 1]),
    ],
)
def test_a_branch_maps_to_the_last_side_and_the_width_of_the_feature(arch, side, channels, strides):
    trained = network(arch, side, channels)
    result = branches(trained)
    assert list(result) == ["layer1", "layer2", "layer3"]
    assert [branch.bottleneck[3].stride for branch in result.values()] == [(k, k) for k in strides]
    seen = trained.activations(torch.rand(2, channels, side, side))
    last = [maps for name, maps in seen.items() if name.startswith("layer")][-1]
    for layer, branch in result.items():
        maps = branch.bottleneck(seen[layer])
        assert maps.shape[1] == last.shape[1]
        assert last.shape[-1] <= maps.shape[-1] < 2 * last.shape[-1]
        feature, logits = branch(seen[layer])
        assert feature.shape == seen["features"].shape
        assert logits.shape == (2, 7)


def test_building_branches_does_not_change_the_network():
    trained = network("resnet8")
    before = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    branches(trained)
    assert trained.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in trained.state_dict().items())


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (None, "arch 'mine' has no layer1: its stages are backbone"),
        (("layer1", "layer2", "pool"), "has no layer3: its stages are layer1, layer2, pool"),
    ],
)
def test_the_error_about_missing_layers_lists_the_stages(stages, message):
    spec = ModelSpec("mine", 7, (0.5,), (0.2,), 8)
    modules = {name: torch.nn.Identity() for name in stages or ()}
    backbone = Stages(modules, 64) if stages else torch.nn.Flatten()
    with pytest.raises(
        InputError, match="method byot puts branches after layer1, layer2"
    ) as caught:
        branches(Network(spec, backbone, torch.nn.Linear(64, 7)))
    assert message in str(caught.value)


def test_layers_whose_output_is_not_a_map_are_refused():
    spec = ModelSpec("mine", 7, (0.5,), (0.2,), 8)
    modules = {"layer1": torch.nn.Flatten()} | {
        name: torch.nn.Identity() for name in ("layer2", "layer3")
    }
    with pytest.raises(InputError, match=r"on the maps after layer1, but arch 'mine' gives \(64,"):
        branches(Network(spec, Stages(modules, 64), torch.nn.Linear(64, 7)))
