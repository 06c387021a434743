"""Training checkpoints: several networks in a file, averages, weight norms, masks, tied weights."""

import pytest
import safetensors.torch
import torch
from public_weights import Config, plain, read, spec
from torch import nn

from sdd_eval import plugins
from sdd_eval.errors import InputError
from sdd_eval.models import layouts
from sdd_eval.models.build import build
from sdd_eval.models.layouts import match_weights
from sdd_eval.models.weights_file import read_weights
from sdd_eval.records import ModelSpec


def below(prefix, state, factor=1.0):
    scaled = {k: v * factor if v.is_floating_point() else v.clone() for k, v in state.items()}
    return {prefix + name: tensor for name, tensor in scaled.items()}


LAYOUTS = {
    # content → key, alternatives, parts left out
    "a loss": (
        lambda s: {"state_dict": {**below("model.", s), "criterion.weight": torch.ones(4)}},
        ("state_dict.model", (), ("state_dict.criterion",)),
    ),
    "a loss beside the layers": (
        lambda s: {**s, "loss_fn.weight": torch.ones(4)},
        ("", (), ("loss_fn",)),
    ),
    "an average": (
        lambda s: {"state_dict": s, "state_dict_ema": below("", s, 0.5)},
        ("state_dict", ("state_dict_ema",), ()),
    ),
    "an average that comes first": (
        lambda s: {"model_ema": below("module.", s, 0.5), "model": s},
        ("model", ("model_ema.module",), ()),
    ),
    "an average beside the layers": (
        lambda s: {**s, **below("swa_model.", s, 0.5)},
        ("", ("swa_model",), ()),
    ),
    "nothing but an average": (
        lambda s: {"n_averaged": torch.tensor(3), **below("module.", s)},
        ("module", (), ("n_averaged",)),
    ),
    "a teacher": (
        lambda s: {"teacher": below("", s, 0.5), "student": s},
        ("student", ("teacher",), ()),
    ),
    "two networks that teach each other": (
        lambda s: {"state_dict": {**below("backbone.", s), **below("backbone2.", s, 0.5)}},
        ("state_dict.backbone", ("state_dict.backbone2",), ()),
    ),
    "a backbone and its classifier": (
        lambda s: {("" if name[:2] == "fc" else "encoder.") + name: t for name, t in s.items()},
        ("encoder", (), ()),
    ),
    "SD-Dropout with BYOT": (
        lambda s: {
            "args": Config(),
            "epoch": 200,
            "state_dict": {
                **below("backbone.", s),
                "backbone.bottleneck1_1.0.weight": torch.ones(8, 16, 1, 1),
                "backbone.middle_fc3.weight": torch.ones(10, 64),
            },
            "optimizer": [{"state": {0: {"momentum_buffer": torch.ones(3)}}}],
        },
        (
            "state_dict.backbone",
            (),
            ("state_dict.backbone.bottleneck1_1", "state_dict.backbone.middle_fc3", "optimizer"),
        ),
    ),
    "a list": (lambda s: [s, {"optimizer": 1}], ("0", (), ())),
    "one mapping under two keys": (
        lambda s: {"best": s, "last": s, "loss": [0.5] * 200_000},
        ("best", ("last",), ()),
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_network_is_found_among_what_else_a_file_holds(tmp_path, network, state, layout):
    content, expected = LAYOUTS[layout]
    match, same = read(tmp_path, content(state), network)
    assert (match.key, match.alternatives, match.left_out) == expected
    assert same


@pytest.mark.parametrize("key", ["state_dict_ema", "state_dict_ema.module", "state_dict_ema."])
def test_the_weights_key_chooses_the_average(tmp_path, network, state, key):
    content = {"state_dict": below("", state, 0.5), "state_dict_ema": below("module.", state)}
    match, same = read(tmp_path, content, network, key)
    assert same
    assert match.key == "state_dict_ema.module"


def test_an_unknown_weights_key_lists_the_keys(tmp_path, network, state):
    content = {"state_dict": state, "ema": below("", state)}
    with pytest.raises(
        InputError, match=r"--weights-key 'x': file\.pt has no such key; it has state_dict, ema$"
    ):
        read(tmp_path, content, network, "x")


def test_an_unknown_module_beside_the_layers_is_refused(tmp_path, network, state):
    with pytest.raises(InputError, match=r"1 left over: neck\.weight \(64, 64\)$"):
        read(tmp_path, {**state, "neck.weight": torch.ones(64, 64)}, network)


def test_the_built_in_network_that_fits_is_named_for_every_pair(monkeypatch):
    with torch.device("meta"):
        networks = {name: build(spec(name)) for name in plugins.names("models")}
    monkeypatch.setattr(layouts, "build", lambda spec: networks[spec.arch])
    pooled = {"resnet18", "resnet18_maxpool"}  # their tensors are equal: a pooling layer has none
    for held, network in networks.items():  # the search excludes what was asked for, and no more
        fitting = pooled if held in pooled else {held}
        assert layouts.fitting_variants(spec(held), plain(network)) == sorted(fitting - {held})
        assert layouts.fitting_variants(spec("another"), plain(network)) == sorted(fitting)


@pytest.mark.parametrize(
    ("asked", "held"), [("resnet56", "resnet56_b"), ("resnet56_b", "resnet56")]
)
def test_the_error_names_the_network_that_fits(asked, held):
    with torch.device("meta"):
        wrong, right = build(spec(asked)), build(spec(held))
    with pytest.raises(InputError) as caught:
        match_weights(wrong, plain(right), "file.pt")
    message = f"file.pt does not fit arch {asked!r} but fits --arch {held}: "
    assert str(caught.value).startswith(message)


class Mask(nn.Module):
    """A network with a mask of −∞ in a buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mask", torch.full((3, 3), -torch.inf).triu(1))
        self.norm = nn.BatchNorm1d(192)
        self.fc = nn.Linear(192, 10)

    def forward(self, x):
        return self.fc(self.norm(x.flatten(1)))


class Tied(nn.Module):
    """A network with a layer under two names."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(192, 192)
        self.second = self.first
        self.fc = nn.Linear(192, 10)

    def forward(self, x):
        return self.fc(self.second(self.first(x.flatten(1)).relu()))


def normed(weight_norm):
    return nn.Sequential(
        weight_norm(nn.Conv2d(3, 6, 3)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        weight_norm(nn.Linear(6, 12), dim=None),
        nn.Linear(12, 10),
    )


def old_weight_norm(module, dim=0):
    with pytest.warns(FutureWarning, match="weight_norm"):
        return nn.utils.weight_norm(module, dim=dim)


def unnormed():
    return normed(lambda module, dim=0: module)


def normed_old():
    return normed(old_weight_norm)


def normed_new():
    return normed(nn.utils.parametrizations.weight_norm)


def foreign(factory, size=8):
    here = f"{__name__}:{factory}"
    return build(ModelSpec(here, 10, (0.4,) * 3, (0.2,) * 3, size), trust_code=True)


@pytest.mark.parametrize("held", [normed_old, normed_new])
@pytest.mark.parametrize("wanted", ["unnormed", "normed_old", "normed_new"])
def test_weight_norms_fit_under_old_and_new_names_and_as_the_weights_that_they_make(held, wanted):
    whole = held()
    network = foreign(wanted)
    network.load_state_dict(match_weights(network, whole.state_dict(), "file")[0])
    pixels = torch.rand(2, 3, 8, 8)
    with torch.no_grad():
        expected = whole.eval()(network.standardise(pixels))
        assert torch.allclose(network.eval()(pixels), expected, atol=1e-6)


def test_minus_infinity_is_accepted_in_a_mask_only():
    network = foreign("Mask", 8)
    tensors = Mask().state_dict()
    state, _ = match_weights(network, tensors, "file")
    assert torch.equal(state["backbone.mask"], tensors["mask"])
    for name, value in (("mask", torch.nan), ("fc.weight", -torch.inf), ("norm.running_var", -1)):
        damaged = {key: tensor.clone() for key, tensor in tensors.items()}
        damaged[name].view(-1)[1] = value if value != -1 else -torch.inf
        with pytest.raises(InputError, match=f"'{name}' holds numbers that are not finite"):
            match_weights(network, damaged, "file")


def test_tied_weights_are_read_as_safetensors_saves_them(tmp_path):
    whole = Tied()
    safetensors.torch.save_model(whole, str(tmp_path / "tied.safetensors"))
    saved = safetensors.torch.load_file(tmp_path / "tied.safetensors")
    assert len(saved) == 4
    network = foreign("Tied", 8)
    for tensors in (saved, read_weights(tmp_path / "tied.safetensors")):
        state, match = match_weights(network, tensors, "file")
        assert not match.problems
        assert torch.equal(state["backbone.first.weight"], whole.first.weight)
        assert torch.equal(state["backbone.second.weight"], whole.first.weight)


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (torch.zeros(10, dtype=torch.int64), "holds int64 numbers, not float32"),
        (torch.zeros(10, dtype=torch.complex64), "holds complex64 numbers, not float32"),
        (torch.zeros(10).to_sparse(), "is sparse, quantised or without values"),
        (torch.zeros(10, device="meta"), "is sparse, quantised or without values"),
        (torch.full((10,), 1e300, dtype=torch.float64), "holds numbers that are not finite"),
    ],
)
def test_tensors_that_are_not_the_network_s_numbers_are_refused(network, state, tensor, message):
    with pytest.raises(InputError, match=f"^file: 'fc.bias' {message}"):
        match_weights(network, {**state, "fc.bias": tensor}, "file")
