"""Gradients of forward and reverse KL during training, compared with explicit autograd."""

import csv
import math

import numpy as np
import pytest
import torch

from sdd_eval.checkpoints.checkpoint import Checkpoint
from sdd_eval.checkpoints.history import gradient_study
from sdd_eval.errors import InputError
from sdd_eval.evaluation.on_disk import store_history
from sdd_eval.models.build import build
from sdd_eval.paper.proposition import r_1
from sdd_eval.records import ModelSpec, Recipe
from sdd_eval.store import read_run
from sdd_eval.training.analysis.kl_gradients import assumptions, check_lemma_1, kl_gradients
from sdd_eval.training.methods.sd_dropout import dropped, sd_dropout_loss
from sdd_eval.training.train import train


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build(ModelSpec("resnet8", 5, (0.4,), (0.3,), 8))


@pytest.fixture
def pixels():
    return torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def masks():
    return torch.Generator().manual_seed(2)


def gradient(network, pixels, direction, recipe):
    """Return the gradient of one direction by all parameters as one vector."""
    features = network.activations(pixels)["features"]
    loss = sd_dropout_loss(
        features,
        network.classify,
        drop_rate=recipe.drop_rate,
        temperature=recipe.temperature,
        direction=direction,
        generator=masks(),
    )
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(network.parameters()))])


def test_norms_and_cosine_equal_those_of_autograd(network, pixels):
    recipe = Recipe(drop_rate=0.5, temperature=3.0)
    result = kl_gradients(network, pixels, recipe, masks())
    network.train()
    forward, reverse, both = (
        gradient(network, pixels, direction, recipe).double()
        for direction in ("forward", "reverse", "both")
    )
    torch.testing.assert_close(forward + reverse, both, rtol=1e-4, atol=1e-7)
    assert result["kl_forward_l1@all"] == pytest.approx(float(forward.abs().sum()), rel=1e-4)
    assert result["kl_reverse_l2@all"] == pytest.approx(float(reverse.norm()), rel=1e-4)
    cosine = float(forward @ reverse / forward.norm() / reverse.norm())
    assert result["kl_cosine@all"] == pytest.approx(cosine, abs=1e-5)


def test_squared_norms_of_layers_sum_to_that_of_all_parameters(network, pixels):
    result = kl_gradients(network, pixels, Recipe(), masks())
    layers = {name.split("@")[1] for name in result if name.startswith("kl_cosine@")}
    assert layers == {"all", "conv1", "bn1", "layer1", "layer2", "layer3", "classifier"}
    parts = [result[f"kl_forward_l2@{layer}"] ** 2 for layer in layers - {"all"}]
    assert math.sqrt(sum(parts)) == pytest.approx(result["kl_forward_l2@all"], rel=1e-6)


@pytest.mark.parametrize("hidden", [0, 1])
def test_quantities_per_class_equal_those_of_autograd(hidden):
    torch.manual_seed(3)
    spec = ModelSpec("small_cnn", 4, (0.4,), (0.3,), 8, {"hidden_layers": hidden})
    network, recipe = build(spec).train(), Recipe(drop_rate=0.3, temperature=2.0)
    pixels = torch.rand(3, 1, 8, 8)
    result = kl_gradients(network, pixels, recipe, masks())

    features, generator = network.features(pixels), masks()
    u, v = dropped(features, 0.3, generator), dropped(features, 0.3, generator)
    last = network.classifier[-1] if hidden else network.classifier
    agree, r, bound, excess = [], [], [], []
    for image in range(3):
        values, norms = [], []
        for mask in (u, v):
            p = (network.classifier(mask[image]) / 2.0).softmax(dim=0)
            values.append(p.detach().double())
            norms.append(
                torch.stack(
                    [
                        torch.autograd.grad(p[i], last.weight, retain_graph=True)[0].norm()
                        for i in range(4)
                    ]
                ).double()
            )
        (p, q), (norm_p, norm_q) = values, norms
        agree += ((p - q) * (norm_p - norm_q) > 0).tolist()
        r += (p / q).log().abs().tolist()
        ratio = torch.maximum(norm_p, norm_q) / torch.minimum(norm_p, norm_q)
        bound += r_1(ratio.numpy()).tolist()
        d = (p / q).log().abs() * (norm_p + norm_q) - (1 - p / q).abs() * norm_q
        excess += (d - (1 - q / p).abs() * norm_p > 0).tolist()
    assert result["p_assumption_1"] == pytest.approx(np.mean(agree))
    assert result["assumption_2_r"] == pytest.approx(np.mean(r), rel=1e-4)
    assert result["assumption_2_r1"] == pytest.approx(np.mean(bound), rel=1e-3)
    assert result["assumption_2"] == pytest.approx(np.mean(np.array(r) <= np.array(bound)))
    assert result["proposition_1"] == pytest.approx(np.mean(excess))


def test_features_that_are_dropped_completely_are_not_counted():
    taken = torch.tensor([[1.0, 1.0], [0.0, 0.0], [1.0, 2.0], [1.0, 1.0]])
    logits = torch.tensor([[1.0, 0.0], [0.0, 0.0], [2.0, 0.0], [1.0, 0.0]])
    alone = assumptions(taken[[0, 2]], logits[[0, 2]])
    assert assumptions(taken, logits) == pytest.approx(alone)


def test_a_saturated_network_gives_finite_numbers():
    logits = torch.tensor([[2000.0, 0.0], [1990.0, 0.0]])
    result = assumptions(torch.ones(2, 3), logits)
    assert all(map(math.isfinite, result.values()))
    assert result["assumption_2_r"] == pytest.approx(5.0)  # 0 of the first class, 10 of the second


def test_measuring_gradients_does_not_change_the_network(network, pixels):
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    kl_gradients(network, pixels, Recipe(position="layer1"), masks())
    assert network.training
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_probe_logs_the_requested_epochs_without_changing_the_weights(data, recipe, tmp_path):
    import dataclasses

    probed = dataclasses.replace(recipe, probe_epochs=(0, 2), probe_images=12)
    for name, item in (("plain", recipe), ("probed", probed)):
        train(item, tmp_path, name=name, data=lambda: data, device="cpu", threads=1)
    weights = [(tmp_path / n / "weights.safetensors").read_bytes() for n in ("plain", "probed")]
    assert weights[0] == weights[1]
    with (tmp_path / "probed" / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3"]
    assert [bool(row["kl_cosine@all"]) for row in rows] == [True, False, True, False]
    assert [bool(row["loss"]) for row in rows] == [False, True, True, True]
    epochs = {m.at["epoch"] for m in gradient_study(tmp_path / "probed" / "history.csv")}
    assert epochs == {0, 2}


def test_a_study_includes_the_gradients_of_a_checkpoint_once(data, recipe, tmp_path):
    import dataclasses

    probed = dataclasses.replace(recipe, probe_epochs=(0,), probe_images=12)
    card = train(probed, tmp_path, name="net", data=lambda: data, device="cpu", threads=1)
    path = store_history(Checkpoint.open(tmp_path / "net"), tmp_path / "study")
    run = read_run(path)
    assert (run.evaluator, run.n, run.weights_sha256) == ("history", 12, card.weights_sha256)
    assert {m.metric for m in run.measurements} >= {"p_assumption_1", "kl_cosine"}
    stamp = path.stat().st_mtime_ns
    assert store_history(Checkpoint.open(tmp_path / "net"), tmp_path / "study") == path
    assert path.stat().st_mtime_ns == stamp
    (tmp_path / "net" / "history.csv").write_text("epoch,loss\n1,0.5\n")
    assert store_history(Checkpoint.open(tmp_path / "net"), tmp_path / "study") is None


@pytest.mark.parametrize(("epochs", "images"), [((4,), 12), ((-1,), 12), ((1,), 1)])
def test_an_invalid_probe_is_refused(data, recipe, tmp_path, epochs, images):
    import dataclasses

    wrong = dataclasses.replace(recipe, probe_epochs=epochs, probe_images=images)
    with pytest.raises(InputError, match="probe_"):
        train(wrong, tmp_path, name="net", data=lambda: data, device="cpu", threads=1)


def test_lemma_1_agrees_with_autograd():
    assert max(check_lemma_1().values()) < 1e-12
