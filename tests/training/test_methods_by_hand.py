"""Loss and gradient of each method, compared with its formula in NumPy.

The network of these tests is the identity: its pixels are its feature and its logits, so that the
gradient of the pixels is the one at the logits.
"""

import numpy as np
import pytest
import torch

from sdd_eval.training.methods.byot import OwnTeacher
from sdd_eval.training.methods.ce import CrossEntropy
from sdd_eval.training.methods.confidence_penalty import ConfidencePenalty
from sdd_eval.training.methods.cs_kd import ClasswiseDistillation
from sdd_eval.training.methods.ddgsd import DistortionGuided
from sdd_eval.training.methods.dml import MutualLearning
from sdd_eval.training.methods.dropout import Dropout
from sdd_eval.training.methods.ls import LabelSmoothing
from sdd_eval.training.methods.method import Batch, Step
from sdd_eval.training.methods.r_drop import RDrop

B, C = 5, 4
LABELS = np.array([0, 3, 1, 1, 2])
ONE_HOT = np.eye(C)[LABELS]


class Identity:
    """A network whose logits and feature are the scaled pixels; `inner` are further layers."""

    def __init__(self, scale=1.0, **inner):
        self.scale = scale
        self.inner = inner

    def activations(self, pixels):
        return {**self.inner, "features": self.scale * pixels}

    def classify(self, activation, stage="features"):
        return activation


def logits(seed):
    """Return logits (5, 4) in float64 as a leaf tensor."""
    generator = torch.Generator().manual_seed(seed)
    values = 2 * torch.randn(B, C, generator=generator, dtype=torch.float64)
    return values.requires_grad_()


def lost(method, *views, partners=None, network=None, parts=None):
    """Return the losses of a step after the backward pass."""
    batch = Batch(views, torch.from_numpy(LABELS), partners)
    step = Step(network or Identity(), parts or {}, batch, torch.Generator().manual_seed(9))
    losses = method.losses(step)
    losses.total.backward()
    return losses


def masks(rate, count):
    """Return the inverted dropout masks that the generator of `lost` draws."""
    generator = torch.Generator().manual_seed(9)
    keep = [torch.rand(B, C, generator=generator) >= rate for _ in range(count)]
    return [item.numpy() / (1 - rate) for item in keep]


def array(tensor):
    return tensor.detach().numpy()


def softmax(z, temperature=1.0):
    exponents = np.exp(z / temperature)
    return exponents / exponents.sum(1, keepdims=True)


def ce(z, target=ONE_HOT):
    return -(target * np.log(softmax(z))).sum(1).mean()


def kl(p, q):
    return (p * np.log(p / q)).sum(1).mean()


def ce_gradient(z, target=ONE_HOT):
    return (softmax(z) - target) / B


def distillation(teacher, student, temperature):
    """Return T² KL(teacher‖student) and its gradient by the student's logits."""
    p, q = softmax(teacher, temperature), softmax(student, temperature)
    return temperature**2 * kl(p, q), temperature * (q - p) / B


def agree(actual, expected):
    np.testing.assert_allclose(array(actual), expected, rtol=1e-10, atol=1e-14)


def test_cross_entropy():
    z = logits(0)
    losses = lost(CrossEntropy(), z)
    agree(losses.total, ce(array(z)))
    agree(z.grad, ce_gradient(array(z)))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])
def test_label_smoothing_spreads_its_share_over_all_classes(smoothing):
    z = logits(0)
    losses = lost(LabelSmoothing(smoothing), z)
    target = (1 - smoothing) * ONE_HOT + smoothing / C
    agree(losses.total, ce(array(z), target))
    agree(z.grad, ce_gradient(array(z), target))


def test_the_confidence_penalty_subtracts_the_entropy():
    z = logits(0)
    losses = lost(ConfidencePenalty(0.3), z)
    p = softmax(array(z))
    entropy = -(p * np.log(p)).sum(1, keepdims=True)
    agree(losses.terms["negative_entropy"], -entropy.mean())
    agree(losses.total, ce(array(z)) - 0.3 * entropy.mean())
    agree(z.grad, ce_gradient(array(z)) + 0.3 * p * (np.log(p) + entropy) / B)


@pytest.mark.parametrize("method", [ClasswiseDistillation(), ClasswiseDistillation(0.5, 2.0)])
def test_cs_kd_distils_from_a_detached_partner(method):
    z, partner = logits(0), logits(1)
    losses = lost(method, z, partners=partner)
    kd, gradient = distillation(array(partner), array(z), method.kd_temperature)
    agree(losses.terms["kd"], kd)
    agree(losses.total, ce(array(z)) + method.kd_weight * kd)
    agree(z.grad, ce_gradient(array(z)) + method.kd_weight * gradient)
    assert partner.grad is None
    assert losses.others is None


def test_cs_kd_runs_its_partners_after_the_images_in_train_mode():
    calls = []

    class Watched(Identity):
        def activations(self, pixels):
            calls.append((len(pixels), torch.is_grad_enabled()))
            return super().activations(pixels)

    lost(ClasswiseDistillation(), logits(0), partners=logits(1), network=Watched())
    assert calls == [(B, True), (B, False)]


def test_defaults_are_those_of_the_paper():
    assert ClasswiseDistillation() == ClasswiseDistillation(1.0, 4.0)
    assert DistortionGuided() == DistortionGuided(1.0, 3.0, 0.005, "authors")
    assert MutualLearning() == MutualLearning(1.0, 3.0, "authors")
    assert OwnTeacher() == OwnTeacher(0.1, 0.1, 3.0, 1e-6)
    assert LabelSmoothing() == LabelSmoothing(0.1)
    assert Dropout() == Dropout("standard", 0.5, 1.0)


@pytest.mark.parametrize("method", [DistortionGuided(), DistortionGuided(0.5, 2.0, 0.3)])
def test_ddgsd_is_cross_entropy_mutual_distillation_and_mmd_of_both_views(method):
    one, two = logits(0), logits(1)
    losses = lost(method, one, two)
    z1, z2 = array(one), array(two)
    to_one, gradient_one = distillation(z2, z1, method.kd_temperature)
    to_two, gradient_two = distillation(z1, z2, method.kd_temperature)
    apart = z1.mean(0) - z2.mean(0)
    agree(losses.terms["ce"], ce(z1) + ce(z2))
    agree(losses.terms["kd"], to_one + to_two)
    agree(losses.terms["mmd"], (apart**2).sum())
    weight, pull = method.kd_weight, method.mmd_weight * 2 * apart / B
    total = ce(z1) + ce(z2) + weight * (to_one + to_two) + method.mmd_weight * (apart**2).sum()
    agree(losses.total, total)
    agree(one.grad, ce_gradient(z1) + weight * gradient_one + pull)
    agree(two.grad, ce_gradient(z2) + weight * gradient_two - pull)
    agree(losses.logits, z1)


def test_ddgsd_runs_both_views_in_one_pass():
    calls = []

    class Watched(Identity):
        def activations(self, pixels):
            calls.append(len(pixels))
            return super().activations(pixels)

    lost(DistortionGuided(), logits(0), logits(1), network=Watched())
    assert calls == [2 * B]


@pytest.mark.parametrize("method", [MutualLearning(), MutualLearning(0.5, 2.0)])
def test_dml_is_the_mean_cross_entropy_and_mutual_distillation(method):
    z, scale = logits(0), torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    losses = lost(method, z, parts={"peer": Identity(scale)})
    z1, z2 = array(z), 0.5 * array(z)
    to_one, gradient_one = distillation(z2, z1, method.kd_temperature)
    to_two, gradient_two = distillation(z1, z2, method.kd_temperature)
    weight = method.kd_weight
    agree(losses.total, (ce(z1) + ce(z2)) / 2 + weight * (to_one + to_two))
    at_one = ce_gradient(z1) / 2 + weight * gradient_one
    at_two = ce_gradient(z2) / 2 + weight * gradient_two
    agree(z.grad, at_one + 0.5 * at_two)
    agree(scale.grad, (at_two * z1).sum())
    agree(losses.logits, z1)


def test_branches_of_byot_learn_from_labels_and_the_detached_output():
    z = logits(0)
    guesses = [logits(seed) for seed in (1, 2, 3)]
    features = [logits(seed) for seed in (4, 5, 6)]
    inner = {f"layer{i + 1}": torch.full((1,), i) for i in range(3)}
    parts = {name: lambda i: (features[int(i)], guesses[int(i)]) for name in inner}
    method = OwnTeacher(kd_weight=0.2, kd_share=0.1, kd_temperature=3.0, feature_weight=0.01)
    losses = lost(method, z, network=Identity(**inner), parts=parts)

    end = array(z)
    distilled = [distillation(end, array(guess), 3.0) for guess in guesses]
    branch_ce = sum(ce(array(guess)) for guess in guesses)
    apart = [array(feature) - end for feature in features]
    distance = sum((item**2).mean() for item in apart)
    kd = sum(value for value, _ in distilled)
    agree(losses.total, ce(end) + 0.2 * (0.9 * branch_ce + 0.1 * kd + 0.01 * distance))
    agree(z.grad, ce_gradient(end))
    for guess, (_, gradient) in zip(guesses, distilled, strict=True):
        agree(guess.grad, 0.2 * (0.9 * ce_gradient(array(guess)) + 0.1 * gradient))
    for feature, item in zip(features, apart, strict=True):
        agree(feature.grad, 0.2 * 0.01 * 2 * item / (B * C))


def test_standard_dropout_is_the_cross_entropy_of_the_dropped_feature():
    z = logits(0)
    losses = lost(Dropout(rate=0.25), z)
    (mask,) = masks(0.25, 1)
    dropped = mask * array(z)
    assert set(losses.terms) == {"dropped_ce"}
    agree(losses.total, ce(dropped))
    agree(z.grad, mask * ce_gradient(dropped))


def test_dropout_with_equal_steps_adds_the_cross_entropy_of_the_clean_feature():
    z = logits(0)
    losses = lost(Dropout("equal_steps", dropped_weight=0.3), z)
    (mask,) = masks(0.5, 1)
    dropped = mask * array(z)
    agree(losses.total, ce(array(z)) + 0.3 * ce(dropped))
    agree(z.grad, ce_gradient(array(z)) + 0.3 * mask * ce_gradient(dropped))
    agree(losses.logits, array(z))


def test_r_drop_is_two_cross_entropies_and_the_mean_of_both_divergences():
    z = logits(0)
    losses = lost(RDrop(0.7, rate=0.25), z)
    u, v = masks(0.25, 2)
    z1, z2 = u * array(z), v * array(z)
    p, q = softmax(z1), softmax(z2)
    agree(losses.terms["dropped_ce"], ce(z1) + ce(z2))
    agree(losses.terms["consistency"], (kl(p, q) + kl(q, p)) / 2)
    agree(losses.total, ce(z1) + ce(z2) + 0.7 * (kl(p, q) + kl(q, p)) / 2)

    def at_first(p, q):
        """Return the gradient of KL(p‖q) + KL(q‖p) by the logits of p."""
        surprise = np.log(p / q)
        return (p * (surprise - (p * surprise).sum(1, keepdims=True)) + p - q) / B

    at_one = ce_gradient(z1) + 0.35 * at_first(p, q)
    at_two = ce_gradient(z2) + 0.35 * at_first(q, p)
    agree(z.grad, u * at_one + v * at_two)


def test_the_second_mask_is_applied_as_by_the_authors_unless_plain():
    one, two = logits(0), logits(1)
    agree(lost(DistortionGuided(), one, two).others["features"], array(two))
    assert lost(DistortionGuided(sdd="plain"), one, two).others is None
    peer = {"peer": Identity(0.5)}
    agree(lost(MutualLearning(), one, parts=peer).others["features"], 0.5 * array(one))
    assert lost(MutualLearning(sdd="plain"), one, parts=peer).others is None
