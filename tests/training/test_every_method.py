"""Properties of all installed methods: SD-Dropout, exported weights and resuming."""

import dataclasses
import importlib

import pytest
import safetensors.torch
import torch

import sdd_eval
from sdd_eval import plugins
from sdd_eval.cli import train_command
from sdd_eval.models.build import build
from sdd_eval.models.network import Network
from sdd_eval.records import ModelSpec, Recipe
from sdd_eval.training.analysis.method_summary import passes_per_step
from sdd_eval.training.methods.method import Batch
from sdd_eval.training.methods.sd_dropout import sd_dropout_loss
from sdd_eval.training.objective import Objective
from sdd_eval.training.recipe import method_of, validated
from sdd_eval.training.train import train

METHODS = plugins.names("methods")
POSITIONS = ("layer1", "layer2", "layer3", "layer4")
#: Whose masks fall on two different activations, by default.
TWO_SIDED = {"ddgsd", "dml"}
SPEC = ModelSpec("small_cnn", 3, (0.4,), (0.25,), 8)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    views = tuple(torch.rand(6, 1, 8, 8, generator=generator) for _ in range(3))
    return Batch(views[:2], torch.arange(6) % 3, views[2])


def objective_of(name, **fields):
    recipe = validated(Recipe(method=name, arch="small_cnn", **fields))
    torch.manual_seed(0)
    spec = dataclasses.replace(SPEC, options={"hidden_layers": recipe.hidden_layers})
    return Objective(build(spec), method_of(recipe), recipe)


def step(objective, batch):
    return objective(batch, torch.Generator().manual_seed(4))


@pytest.mark.parametrize("hidden_layers", [0, 1])
@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("name", METHODS)
def test_sd_dropout_combines_with_the_method_in_every_position(
    name, position, hidden_layers, batch
):
    plain = step(objective_of(name, hidden_layers=hidden_layers).eval(), batch)
    objective = objective_of(
        name, sd_dropout=0.1, position=position, hidden_layers=hidden_layers
    ).eval()
    losses = step(objective, batch)
    term = losses.terms["sd_dropout"]
    assert 0 < term.item() < float("inf")
    for other, value in plain.terms.items():  # the method's own masks are drawn first
        torch.testing.assert_close(losses.terms[other], value)
    torch.testing.assert_close(losses.total, plain.total + 0.1 * term)
    term.backward()
    first = objective.network.backbone.layer1[0].weight
    assert first.grad.abs().sum() > 0


@pytest.mark.parametrize("name", METHODS)
def test_at_drop_rate_0_only_terms_of_two_features_are_positive(name, batch):
    term = step(objective_of(name, sd_dropout=1.0, drop_rate=0.0).eval(), batch).terms["sd_dropout"]
    assert (term.item() > 1e-6) == (name in TWO_SIDED)


@pytest.mark.parametrize("name", sorted(TWO_SIDED))
def test_plain_masks_are_applied_to_the_first_view_or_network(name, batch):
    objective = objective_of(name, sd_dropout=1.0, method_options={"sdd": "plain"}).eval()
    expected = sd_dropout_loss(
        objective.network.features(batch.pixels),
        objective.network.classifier,
        generator=torch.Generator().manual_seed(4),
    )
    torch.testing.assert_close(step(objective, batch).terms["sd_dropout"], expected)


def test_dml_of_the_authors_classifies_both_features_by_the_first_network(batch):
    objective = objective_of("dml", sd_dropout=1.0, drop_rate=0.0).eval()
    network, peer = objective.network, objective.parts["peer"]
    one, two = (
        network.classifier(item.features(batch.pixels)).div(3).log_softmax(1)
        for item in (network, peer)
    )
    expected = 9 * ((one.exp() - two.exp()) * (one - two)).sum(1).mean()
    term = step(objective, batch).terms["sd_dropout"]
    torch.testing.assert_close(term, expected)
    term.backward()
    assert peer.classifier.weight.grad is None
    assert peer.backbone.layer1[0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("sd_dropout", [0.0, 0.1])
@pytest.mark.parametrize("name", METHODS)
def test_forward_passes_follow_from_the_declared_inputs(name, sd_dropout, batch):
    objective = objective_of(name, sd_dropout=sd_dropout)
    images = {True: 0, False: 0}

    def count(module, inputs):
        images[torch.is_grad_enabled()] += len(inputs[0])

    for part in (objective.network, *objective.parts.values()):
        if isinstance(part, Network):
            part.standardise.register_forward_pre_hook(count)
    step(objective, dataclasses.replace(batch, views=batch.views[: objective.method.views]))
    needed = passes_per_step(name)
    assert images == {True: 6 * needed.learned, False: 6 * needed.watched}


def test_the_summary_lists_views_partners_and_networks():
    result = {
        name: (passes_per_step(name).learned, passes_per_step(name).watched) for name in METHODS
    }
    assert {k: v for k, v in result.items() if v != (1, 0)} == {
        "cs_kd": (1, 1),
        "ddgsd": (2, 0),
        "dml": (2, 0),
    }
    assert passes_per_step("cs_kd").relative == pytest.approx(4 / 3)


@pytest.mark.parametrize("name", METHODS)
def test_all_methods_start_from_the_same_initial_network(name):
    plain, objective = objective_of("ce"), objective_of(name)
    for one, other in zip(plain.network.parameters(), objective.network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_second_network_of_dml_has_other_initial_weights():
    objective = objective_of("dml")
    for one, other in zip(
        objective.network.parameters(), objective.parts["peer"].parameters(), strict=True
    ):
        assert one.shape == other.shape
        assert one.std() == 0 or not torch.equal(one, other)  # batch norms start alike


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("sd_dropout", [0.0, 0.1])
def test_only_the_trained_network_is_exported(
    name, sd_dropout, data, recipe, tmp_path, monkeypatch
):
    exported = []
    module = importlib.import_module("sdd_eval.training.train")
    export = module.export

    def noting(folder, weights, *rest):
        exported.append(weights.current)
        return export(folder, weights, *rest)

    monkeypatch.setattr(module, "export", noting)
    recipe = dataclasses.replace(recipe, method=name, sd_dropout=sd_dropout, epochs=1)
    folder = tmp_path / "tiny"
    card = train(
        recipe, folder.parent, name=folder.name, data=lambda: data, device="cpu", threads=1
    )
    names = set(safetensors.torch.load_file(folder / "weights.safetensors"))
    assert names == set(build(card.model).state_dict())
    assert ("sd_dropout" in card.metrics) == bool(sd_dropout)
    (pixels,) = data.test.batches(60)
    pixels = pixels.float() / 255
    assert torch.equal(sdd_eval.load(folder)(pixels), exported[0].eval()(pixels))


class Interrupter:
    """Progress that raises KeyboardInterrupt in the second epoch."""

    left = 110

    def start(self, label, total):
        pass

    def advance(self, units=1, note=""):
        self.left -= units
        if self.left < 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("name", METHODS)
def test_an_interrupted_training_ends_in_the_same_weights(name, data, recipe, tmp_path):
    recipe = dataclasses.replace(recipe, method=name, epochs=2)
    whole = train(recipe, tmp_path, name="whole", data=lambda: data, device="cpu", threads=1)
    folder = tmp_path / "tiny"
    with pytest.raises(KeyboardInterrupt):
        train(
            recipe,
            folder.parent,
            name=folder.name,
            data=lambda: data,
            device="cpu",
            threads=1,
            progress=Interrupter(),
        )
    state = torch.load(folder / "state.pt", weights_only=True)
    parts = objective_of(name).parts.state_dict()
    assert {f"parts.{part}" for part in parts} <= set(state["objective"])
    card = train(
        recipe, folder.parent, name=folder.name, data=lambda: data, device="cpu", threads=1
    )
    assert card.weights_sha256 == whole.weights_sha256


@pytest.mark.parametrize("name", METHODS)
def test_settings_do_not_share_names_with_flags_of_train(name):
    groups = (Recipe, train_command.Storage, train_command.TrainingCompute)
    taken = {field.name for group in groups for field in dataclasses.fields(group)}
    assert not taken & {f.name for f in dataclasses.fields(plugins.load("methods", name))}


@pytest.mark.parametrize("name", METHODS)
def test_losses_in_bf16_are_float32_and_close_to_those_in_float32(name, batch):
    objective = objective_of(name, sd_dropout=0.1).eval()
    exact = step(objective, batch)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = step(objective, batch)
    rounded.total.backward()
    for term, value in rounded.terms.items():
        assert value.dtype == torch.float32, term
        torch.testing.assert_close(value, exact.terms[term], rtol=0.1, atol=5e-3)
