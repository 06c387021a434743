"""Batch norms are folded into the preceding layers only if predictions do not change."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from sdd_eval.models.bn_folding import fold
from sdd_eval.models.build import build
from sdd_eval.records import ModelSpec


def lively(model, seed=0):
    """Return the network in eval mode with random statistics in its batch norms."""
    random = torch.Generator().manual_seed(seed)
    for item in model.modules():
        if isinstance(item, nn.modules.batchnorm._BatchNorm) and item.running_mean is not None:
            item.running_mean.normal_(0, 0.3, generator=random)
            item.running_var.uniform_(0.5, 2, generator=random)
            if item.affine:
                nn.init.uniform_(item.weight, 0.5, 1.5, generator=random)
                nn.init.normal_(item.bias, 0, 0.2, generator=random)
    return model.eval().requires_grad_(False)


def images(side=16, n=6, channels=3, seed=1):
    return torch.rand(n, channels, side, side, generator=torch.Generator().manual_seed(seed))


def norms(model):
    return sum(isinstance(item, nn.modules.batchnorm._BatchNorm) for item in model.modules())


@pytest.mark.parametrize(
    ("arch", "side", "folded", "of"),
    [
        ("small_cnn", 16, 3, 3),
        ("resnet8", 16, 7, 7),
        ("resnet20_b", 16, 21, 21),
        ("resnet18w16", 16, 20, 20),
        # Pre-activation: only norms whose input comes out of one convolution and goes nowhere else.
        ("densenet_bc_100_12", 16, 48, 99),
        ("torchvision:resnet18", 32, 20, 20),
        ("torchvision:mobilenet_v3_small", 32, 34, 34),
        ("torchvision:googlenet", 32, 57, 59),  # two stand in branches that are not run
    ],
)
@pytest.mark.filterwarnings("ignore:The default weight initialization")
def test_foldable_norms_are_folded_without_changing_predictions(arch, side, folded, of):
    torch.manual_seed(0)
    model = lively(build(ModelSpec(arch, 10, (0.5,) * 3, (0.25,) * 3, side)))
    result, how = fold(model, images(side))
    assert (how.folded, how.batch_norms, how.note) == (folded, of, "")
    assert norms(result) == of - folded
    assert norms(model) == of, "the network itself stays as it is"
    new = images(side, seed=7)
    expected = model.features(new).double()
    scale = max(1.0, float(expected.abs().max()))
    assert (result.features(new) - expected).abs().max() < 1e-5 * scale
    assert how.difference < 1e-5
    torch.testing.assert_close(result(new).softmax(1), model(new).softmax(1), atol=1e-5, rtol=0)


def test_folding_does_not_change_gradients_with_respect_to_pixels():
    torch.manual_seed(0)
    model = lively(build(ModelSpec("resnet8", 10, (0.5,) * 3, (0.25,) * 3, 16)))
    result, _ = fold(model, images())

    def gradient(network):
        pixels = images(seed=3).requires_grad_(True)
        return torch.autograd.grad(network(pixels).logsumexp(1).sum(), pixels)[0]

    torch.testing.assert_close(gradient(result), gradient(model), atol=1e-5, rtol=1e-3)


class Odd(nn.Module):
    """A convolution and a norm that cannot be folded."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.conv = nn.Conv2d(3, 4, 3, bias=False)
        self.norm = nn.BatchNorm2d(4, track_running_stats=kind != "batch statistics")
        self.again = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 5)
        if kind == "weights made anew":
            self.conv = nn.utils.parametrizations.weight_norm(self.conv)

    def forward(self, x):
        y = self.conv(x)
        if self.kind == "another takes it":
            y = self.norm(y) + y
        elif self.kind == "the convolution runs twice":
            y = self.norm(y) + self.conv(x.flip(2))
        elif self.kind == "the norm runs twice":
            y = self.norm(self.norm(y))
        elif self.kind == "two norms take it":
            y = self.norm(y) + self.again(y)
        elif self.kind == "something between":
            y = self.norm(functional.relu(y))
        elif self.kind == "a view between":
            y = self.norm(y[:]) + y
        else:
            y = self.norm(y)
        return self.head(y.mean((2, 3)))


@pytest.mark.parametrize(
    "kind",
    [
        "another takes it",
        "the convolution runs twice",
        "the norm runs twice",
        "two norms take it",
        "something between",
        "a view between",
        "batch statistics",
        "weights made anew",
    ],
)
def test_norms_that_cannot_be_folded_remain(kind):
    torch.manual_seed(0)
    model = lively(Odd(kind))
    result, how = fold(model, images())
    assert (how.folded, how.note) == (0, "")
    assert result is model


def test_a_norm_after_a_linear_layer_is_folded_without_changing_shared_weights():
    torch.manual_seed(0)
    first, second = nn.Linear(48, 48), nn.Linear(48, 48)
    second.weight = first.weight
    norm = nn.BatchNorm1d(48)
    model = lively(nn.Sequential(nn.Flatten(), first, norm, nn.ReLU(), second, nn.Linear(48, 3)))
    weight = first.weight.clone()
    result, how = fold(model, images(4))
    assert (how.folded, how.batch_norms) == (1, 1)
    assert torch.equal(result[4].weight, weight)
    torch.testing.assert_close(result(images(4, seed=5)), model(images(4, seed=5)))


def test_a_norm_in_train_mode_is_not_folded():
    model = lively(Odd("plain"))
    assert fold(model, images())[1].folded == 1
    model.norm.train()
    assert fold(model, images())[1].folded == 0


def test_a_layer_with_a_hook_is_not_folded():
    model = lively(Odd("plain"))
    model.conv.register_forward_hook(lambda *_: None)
    assert fold(model, images())[1].folded == 0


class Knows(nn.Module):
    """A network that checks whether its norm exists."""

    def __init__(self, copies=True):
        super().__init__()
        self.body = Odd("plain")
        self.copies = copies

    def __deepcopy__(self, memo):
        if not self.copies:
            raise TypeError("this is mine alone")
        created = Knows()
        created.body = copy.deepcopy(self.body, memo)
        return created.eval()

    def forward(self, x):
        return self.body(x) + float(isinstance(self.body.norm, nn.Identity))


def test_nothing_is_folded_if_outputs_would_change():
    model = lively(Knows())
    result, how = fold(model, images())
    assert result is model
    assert (how.folded, how.batch_norms) == (0, 2)
    assert how.note.startswith("not folded: outputs would change by ")


def test_a_network_that_cannot_be_copied_or_run_is_not_folded():
    model = lively(Knows(copies=False))
    assert fold(model, images())[0] is model
    assert fold(model, images())[1].note == "not folded: TypeError: this is mine alone"
    result, how = fold(lively(Odd("plain")), images(channels=1))
    assert (how.folded, how.note[:25]) == (0, "not folded: RuntimeError:")
    assert norms(result) == 2


def test_a_network_with_nan_weights_is_not_folded():
    model = lively(Odd("plain"))
    model.conv.weight[0] = torch.nan
    assert fold(model, images())[1].note == "not folded: outputs would change by nan"


def test_norms_of_timm_with_activations_are_folded():
    pytest.importorskip("timm")
    torch.manual_seed(0)
    model = lively(build(ModelSpec("timm:efficientnet_b0", 10, (0.5,) * 3, (0.25,) * 3, 32)))
    result, how = fold(model, images(32))
    assert (how.folded, how.batch_norms) == (49, 49)
    torch.testing.assert_close(
        result(images(32, seed=2)), model(images(32, seed=2)), atol=1e-5, rtol=0
    )
