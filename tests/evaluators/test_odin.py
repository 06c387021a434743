"""ODIN's score against closed forms, and its metrics over OOD sets."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from sdd_eval.errors import InputError
from sdd_eval.evaluators.evaluator import score
from sdd_eval.evaluators.ood.ood import Odin
from sdd_eval.evaluators.ood.ranking import CONVENTIONS
from sdd_eval.metrics.ranking import ood_metrics


@pytest.fixture
def subject(network, subject_of, images_of):
    def make(model=None, **more):
        sets = {
            "far": images_of(30, classes=0, seed=5, name="far"),
            "near": images_of(40, seed=6, name="near"),
        }
        return subject_of(model or network(), images_of(50, classes=0), sets=sets, **more)

    return make


def logits_of(model, images):
    return model(next(images.batches(len(images))).float() / 255)


def test_odin_with_temperature_one_and_no_step_is_the_softmax_baseline(subject, network):
    model = network()
    plain = subject(model)
    arrays = (
        Odin(temperature=1.0, epsilon=0.0, outliers=("far",)).collect(plain).where(detector="odin")
    )
    expected = logits_of(model, plain.data).double().softmax(dim=1).amax(dim=1).numpy()
    np.testing.assert_allclose(arrays["scores"], expected, rtol=1e-6)
    assert arrays["scores"].dtype == np.float64


def test_the_score_is_the_formula_of_the_protocol(subject, network):
    model = network(scale=0.3)
    plain = subject(model)
    for temperature, epsilon in ((1000.0, 0.0028), (1.0, 0.01)):
        arrays = Odin(("far",), temperature, epsilon).collect(plain).where(detector="odin")
        pixels = (next(plain.data.batches(50)).float() / 255).requires_grad_()
        scaled = model(pixels) / temperature
        loss = torch.nn.functional.cross_entropy(scaled, scaled.argmax(dim=1), reduction="sum")
        (gradient,) = torch.autograd.grad(loss, pixels)
        stepped = pixels.detach() - epsilon * gradient.sign()
        expected = (model(stepped).double() / temperature).softmax(dim=1).amax(dim=1).numpy()
        np.testing.assert_allclose(arrays["scores"], expected, rtol=1e-5)


def test_the_step_raises_the_score_and_is_not_clipped(subject, network, linear_network):
    model = linear_network(torch.tensor([[1.0] * 108, [-1.0] * 108, [0.0] * 108, [0.0] * 108]))
    plain = subject(model)
    still, moved = (
        Odin(("far",), 1000.0, epsilon).collect(plain).where(detector="odin")["scores"]
        for epsilon in (0.0, 0.01)
    )
    # Every pixel moves by ε towards class 0, white ones beyond 1: its logit gains 108 · ε.
    pixels = next(plain.data.batches(50)).double().div(255)
    total = pixels.flatten(1).sum(dim=1) + 1.08
    logits = torch.stack([total, -total, torch.zeros(50), torch.zeros(50)], dim=1) / 1000
    np.testing.assert_allclose(moved, logits.softmax(dim=1).amax(dim=1).numpy(), rtol=1e-6)
    assert (moved > still).all()


def test_the_sign_of_a_zero_gradient_is_plus_one(subject_of, images_of):
    class Shifted(torch.nn.Module):
        """A network whose logits depend on the pixels without a gradient."""

        def forward(self, pixels):
            mean = pixels.flatten(1).mean(dim=1, keepdim=True)
            own = torch.cat([1 + mean, torch.zeros_like(mean)], dim=1)
            return own.detach() + 0 * own

    data = images_of(6)
    subject = subject_of(Shifted(), data, classes=2, sets={"other": images_of(3, seed=1)})
    measurements = Odin(("other",), 1.0, 0.1).collect(subject).where(detector="odin")["scores"]
    mean = next(data.batches(6)).double().div(255).flatten(1).mean(dim=1) - 0.1
    np.testing.assert_allclose(measurements, torch.sigmoid(1 + mean).numpy(), rtol=1e-6)


def test_at_a_high_temperature_odin_ranks_by_the_largest_minus_the_mean_logit(subject, network):
    model = network(classes=4)
    plain = subject(model)
    scores = Odin(("far",), 1000.0, 0.0).collect(plain).where(detector="odin")["scores"]
    logits = logits_of(model, plain.data)
    margin = (logits.amax(dim=1) - logits.mean(dim=1)).numpy()
    assert spearmanr(scores, margin).statistic > 0.999


def test_scores_of_a_sharp_temperature_do_not_collapse(subject, network):
    scores = Odin(("far",), 1e6, 0.0).collect(subject(network())).where(detector="odin")["scores"]
    assert len(np.unique(scores)) == len(scores)


def test_at_temperature_one_the_images_of_a_saturated_network_change(subject, network):
    sure = subject(network(scale=100.0))
    still, moved = (
        Odin(("far",), 1.0, epsilon).collect(sure).where(detector="odin")["scores"]
        for epsilon in (0.0, 0.05)
    )
    unsure = still < 1
    assert unsure.any()
    assert (moved[unsure] >= still[unsure]).mean() > 0.9


def test_each_set_and_their_average_have_all_metrics(subject, value_of):
    evaluator = Odin(outliers=("far", "near"))
    arrays = evaluator.collect(subject())
    own = arrays.where(detector="odin")
    outside = own.along("scores", "outliers")
    assert len(own["scores"]) == 50
    assert {name: len(scores) for name, scores in outside.items()} == {"far": 30, "near": 40}
    measurements = score(evaluator, arrays)
    for metric in CONVENTIONS:
        far = value_of(measurements, metric, outliers="far", detector="odin", temperature=1000.0)
        near = value_of(measurements, metric, outliers="near", epsilon=0.0028)
        assert far == ood_metrics(own["scores"], outside["far"])[metric]
        assert value_of(measurements, metric, outliers="average") == pytest.approx((far + near) / 2)
    assert set(CONVENTIONS) == set(ood_metrics([1.0], [0.0]))
    assert all("ε = 0.0028" in measurement.protocol.text for measurement in measurements)


def test_each_set_is_read_once(subject, listener):
    Odin(outliers=("far", "near")).collect(subject(progress=listener, batch_size=16))
    assert listener.pieces == [["noise", 50, 50], ["far", 30, 30], ["near", 40, 40]]


def test_a_limit_applies_to_every_set(subject):
    arrays = Odin(outliers=("far", "near")).collect(subject(limit=10))
    assert [len(entry.read()) for entry in arrays.entries] == [10] * 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epsilon": -0.001}, "--epsilon is -0.001"),
        ({"temperature": 0.0}, "--temperature is 0"),
        ({"temperature": float("nan")}, "--temperature is nan"),
        ({"outliers": ()}, "--outliers is empty"),
    ],
)
def test_invalid_settings_are_refused(settings, message, subject):
    with pytest.raises(InputError, match=message):
        Odin(**{"outliers": ("far",), **settings}).collect(subject())


def test_an_empty_ood_set_and_nan_logits_are_refused(subject, network, subject_of, images_of):
    empty = {"nothing": images_of(0, classes=0, name="nothing")}
    with pytest.raises(InputError, match="nothing has no images"):
        Odin(outliers=("nothing",)).collect(subject_of(network(), images_of(5), sets=empty))
    broken = network()
    broken.body[-1].bias.data[0] = float("nan")
    with pytest.raises(InputError, match="NaN for 50 of 50 images"):
        Odin(outliers=("far",)).collect(subject(broken))
