"""Networks, their tensors under the names of public code, and what is read from a file of them."""

import torch

from sdd_eval.models.build import build
from sdd_eval.models.layouts import match_weights
from sdd_eval.models.weights_file import read_weights
from sdd_eval.records import ModelSpec


def spec(arch="resnet8", classes=10):
    return ModelSpec(arch, classes, (0.4,) * 3, (0.2,) * 3, 32)


def network_of(arch="resnet8", classes=10, **options):
    """Return a network all of whose tensors differ from their initial values."""
    torch.manual_seed(1)
    size = 32
    network = build(ModelSpec(arch, classes, (0.4,) * 3, (0.2,) * 3, size, options))
    for number, tensor in enumerate(network.state_dict().values()):
        tensor.copy_(torch.randn(tensor.shape) + number if tensor.is_floating_point() else tensor)
    return network


def plain(network):
    """Return the state without prefixes, with another name for the classifier."""
    names = {name: name.removeprefix("backbone.") for name in network.state_dict()}
    return {
        new.replace("classifier.", "fc."): network.state_dict()[name] for name, new in names.items()
    }


def assert_fits(network, tensors):
    """Check that a new network loads all tensors of `network`."""
    fresh = build(network.spec)
    state, _ = match_weights(fresh, tensors, "file")
    own = network.state_dict()
    assert state.keys() == own.keys()
    for name, tensor in own.items():
        assert torch.equal(state[name], tensor), name


def read(tmp_path, content, network, key="", **options):
    """Return the match of a file of torch.save, and whether its tensors are the network's."""
    torch.save(content, tmp_path / "file.pt", **options)
    loaded, match = match_weights(network, read_weights(tmp_path / "file.pt"), "file.pt", key)
    same = all(torch.equal(loaded[name], t) for name, t in network.state_dict().items())
    return match, same


class Config:
    """An object as training code stores its settings."""

    def __init__(self):
        self.lr = 0.1
