"""The training loop runs any method, with and without SD-Dropout."""

import dataclasses
import subprocess
import sys
from typing import ClassVar

import pytest
import safetensors.torch
import torch
from torch import nn
from torch.nn import functional

from sdd_eval import plugins
from sdd_eval.errors import InputError
from sdd_eval.models.build import build
from sdd_eval.records import ModelSpec, Recipe
from sdd_eval.training.methods.ce import CrossEntropy
from sdd_eval.training.methods.method import Batch, Losses
from sdd_eval.training.methods.sd_dropout import sd_dropout_loss
from sdd_eval.training.objective import Objective
from sdd_eval.training.train import train

SPEC = ModelSpec("small_cnn", 3, (0.4,), (0.25,), 8)


@dataclasses.dataclass(frozen=True)
class Everything:
    """A method with two views, partners, a head on an inner stage and a second network."""

    name: ClassVar[str] = "everything"
    views: ClassVar[int] = 2
    partners: ClassVar[bool] = True
    head_weight: float = 0.5

    def parts(self, network):
        return {"head": nn.Linear(24, network.spec.classes), "peer": build(network.spec)}

    def losses(self, step):
        batch, network = step.batch, step.network
        seen = network.activations(batch.pixels)
        second = network.activations(batch.views[1])
        logits = network.classify(seen["features"])
        head = step.parts["head"](seen["layer1"].mean((2, 3)))
        peer = step.parts["peer"](batch.pixels)
        with torch.no_grad():
            partner = network(batch.partners).softmax(1)
        terms = {
            "ce": functional.cross_entropy(logits, batch.labels),
            "head": functional.cross_entropy(head, batch.labels),
            "peer": functional.cross_entropy(peer, batch.labels),
            "partner": functional.cross_entropy(logits, partner),
            "noise": torch.rand((), generator=step.generator) * 0,
        }
        return Losses(terms, logits, seen, others=second, weights={"head": self.head_weight})


@pytest.fixture
def everything(monkeypatch):
    class Point:
        value = "strange:Everything"

        def load(self):
            return Everything

    points = plugins.points

    def with_everything(group):
        result = points(group)
        return {**result, "everything": Point()} if group == "methods" else result

    monkeypatch.setattr(plugins, "points", with_everything)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    views = tuple(torch.rand(6, 1, 8, 8, generator=generator) for _ in range(2))
    return Batch(views, torch.arange(6) % 3, views[1])


def objective_of(method, **options):
    torch.manual_seed(0)
    return Objective(build(SPEC), method, Recipe(arch="small_cnn", **options))


def test_cross_entropy_is_the_batch_mean_of_the_undropped_logits(batch):
    objective = objective_of(CrossEntropy())
    losses = objective(batch, torch.Generator())
    logits = objective.network(batch.pixels)
    expected = -logits.log_softmax(1)[torch.arange(6), batch.labels].mean()
    torch.testing.assert_close(losses.total, expected)
    assert set(losses.terms) == {"ce"}


def test_sd_dropout_adds_its_weighted_term_to_the_same_cross_entropy(batch):
    plain = objective_of(CrossEntropy()).eval()(batch, torch.Generator())
    objective = objective_of(CrossEntropy(), sd_dropout=0.3, drop_rate=0.2, temperature=2.0).eval()
    losses = objective(batch, torch.Generator().manual_seed(4))
    term = sd_dropout_loss(
        objective.network.features(batch.pixels),
        objective.network.classifier,
        drop_rate=0.2,
        temperature=2.0,
        generator=torch.Generator().manual_seed(4),
    )
    torch.testing.assert_close(losses.terms["ce"], plain.total)
    torch.testing.assert_close(losses.terms["sd_dropout"], term)
    torch.testing.assert_close(losses.total, plain.total + 0.3 * term)


@pytest.mark.parametrize("sd_dropout", [0.0, 1.0])
def test_the_backbone_runs_once_with_and_without_sd_dropout(batch, sd_dropout):
    objective = objective_of(CrossEntropy(), sd_dropout=sd_dropout)
    calls = []
    objective.network.backbone.layer1.register_forward_hook(lambda *_: calls.append("layer1"))
    objective.network.classifier.register_forward_hook(lambda *_: calls.append("classifier"))
    objective(batch, torch.Generator())
    assert calls == ["layer1", "classifier"] + ["classifier"] * bool(sd_dropout)


def test_masked_maps_run_through_the_following_layers(batch):
    objective = objective_of(CrossEntropy(), sd_dropout=1.0, position="layer2")
    calls = []
    for name in ("layer1", "layer2", "layer3"):
        stage = getattr(objective.network.backbone, name)
        stage.register_forward_hook(lambda *_, name=name: calls.append(name))
    losses = objective(batch, torch.Generator())
    assert calls == ["layer1", "layer2", "layer3", "layer3", "layer3"]
    assert losses.terms["sd_dropout"] > 0


def test_the_method_determines_the_features_of_the_second_mask(batch):
    objective = objective_of(Everything(), sd_dropout=1.0, drop_rate=0.0).eval()
    losses = objective(batch, torch.Generator())
    one, two = (objective.network(view).div(3).log_softmax(1) for view in batch.views)
    expected = 9 * ((one.exp() - two.exp()) * (one - two)).sum(1).mean()
    torch.testing.assert_close(losses.terms["sd_dropout"], expected)


def test_the_loop_trains_a_method_with_views_partners_heads_and_a_second_network(
    everything, data, recipe, tmp_path
):
    recipe = dataclasses.replace(recipe, method="everything", method_options={"head_weight": "2"})
    folder = tmp_path / "tiny"
    card = train(
        recipe, folder.parent, name=folder.name, data=lambda: data, device="cpu", threads=1
    )
    assert {"ce", "head", "peer", "partner", "sd_dropout", "loss"} <= set(card.metrics)
    metrics = card.metrics
    total = metrics["ce"] + 2 * metrics["head"] + metrics["peer"] + metrics["partner"]
    assert metrics["loss"] == pytest.approx(total + 0.5 * metrics["sd_dropout"], rel=1e-4)
    names = set(safetensors.torch.load_file(folder / "weights.safetensors"))
    assert names == set(build(card.model).state_dict())  # neither head nor peer


def test_parts_of_a_method_are_trained_and_resumed(everything, data, recipe, tmp_path):
    recipe = dataclasses.replace(recipe, method="everything", epochs=2)
    whole = train(recipe, tmp_path, name="whole", data=lambda: data, device="cpu", threads=1)

    class Interrupter:
        left = 110

        def start(self, label, total):
            pass

        def advance(self, units=1, note=""):
            self.left -= units
            if self.left < 0:
                raise KeyboardInterrupt

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
    state = torch.load(folder / "state.pt", weights_only=True)["objective"]
    torch.manual_seed(0)
    assert {"parts.head.weight", "parts.peer.classifier.weight"} <= set(state)
    card = train(
        recipe, folder.parent, name=folder.name, data=lambda: data, device="cpu", threads=1
    )
    assert card.weights_sha256 == whole.weights_sha256


def test_a_method_option_of_another_type_is_refused(everything, data, recipe, tmp_path):
    recipe = dataclasses.replace(recipe, method="everything", method_options={"head_weight": "x"})
    with pytest.raises(InputError, match="head_weight is 'x', not float"):
        train(recipe, tmp_path, name="tiny", data=lambda: data, device="cpu")


def test_importing_methods_builders_and_recipes_does_not_import_torch():
    modules = "sdd_eval.training.methods.ce, sdd_eval.training.methods.sd_dropout"
    modules += ", sdd_eval.models.builders, sdd_eval.training.recipe"
    code = f"import sys, {modules}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
