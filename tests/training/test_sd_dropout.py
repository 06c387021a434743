import math

import pytest
import torch
from torch import nn

from sdd_eval.training.methods.sd_dropout import dropped, sd_dropout_loss

T = 3.0


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


class Recorder(nn.Module):
    """A linear classifier that stores its last logits and their gradient."""

    def __init__(self, width=6, classes=4):
        super().__init__()
        self.weight = torch.randn(classes, width, generator=seeded(5), dtype=torch.float64)
        self.weight = nn.Parameter(3 * self.weight)
        self.calls = 0

    def forward(self, features):
        self.calls += 1
        self.logits = features @ self.weight.T
        self.logits.retain_grad()
        return self.logits


def lemma(direction, batch=5):
    """Return the loss, the logits of both masks with gradients, and the classifier's gradient."""
    features = torch.randn(batch, 6, generator=seeded(1), dtype=torch.float64, requires_grad=True)
    classifier = Recorder()
    loss = sd_dropout_loss(
        features, classifier, drop_rate=0.5, temperature=T, direction=direction, generator=seeded(2)
    )
    loss.backward()
    logits, grad = classifier.logits.detach(), classifier.logits.grad
    return loss.item(), logits.chunk(2), grad.chunk(2), (features.grad, classifier.weight.grad)


def test_the_loss_equals_a_value_computed_by_hand():
    # One feature of 2; one mask keeps it (doubled to 4), the other drops it: logits T·log 3·(1, 0)
    # and (0, 0), so p = (3/4, 1/4) and q = (1/2, 1/2) at temperature T.
    weight = T * math.log(3) / 4

    def classifier(features):
        return torch.cat([features * weight, features * 0], dim=1)

    forth = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    back = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    result = {
        round(
            sd_dropout_loss(
                torch.tensor([[2.0]]),
                classifier,
                drop_rate=0.5,
                temperature=T,
                generator=seeded(seed),
            ).item(),
            5,
        )
        for seed in range(20)
    }
    assert result == {0.0, round(T**2 * (forth + back), 5)}  # both masks alike, or not


def test_the_loss_is_a_batch_mean_of_both_divergences_times_the_temperature_squared():
    loss, (u, v), _, _ = lemma("both")
    p, q = (u / T).softmax(1), (v / T).softmax(1)
    expected = sum(
        p[n, i] * torch.log(p[n, i] / q[n, i]) + q[n, i] * torch.log(q[n, i] / p[n, i])
        for n in range(5)
        for i in range(4)
    )
    assert loss == pytest.approx(T**2 * expected.item() / 5, rel=1e-12)


def test_the_forward_gradient_is_that_of_lemma_1():
    # d/dw T²·KL(p‖softmax(w/T)) = T·(q − p) with the reference p held fixed.
    _, (u, v), (grad_u, grad_v), _ = lemma("forward")
    p, q = (u / T).softmax(1), (v / T).softmax(1)
    torch.testing.assert_close(grad_u, T * (p - q) / 5)
    torch.testing.assert_close(grad_v, T * (q - p) / 5)


def test_the_reverse_gradient_is_that_of_lemma_1():
    # d/dz_i T²·KL(softmax(z/T)‖q) = T·p_i·(log p_i/q_i − KL(p‖q)) with the other q held fixed.
    def expected(p, q):
        ratio = torch.log(p / q)
        return T * p * (ratio - (p * ratio).sum(1, keepdim=True)) / 5

    _, (u, v), (grad_u, grad_v), _ = lemma("reverse")
    p, q = (u / T).softmax(1), (v / T).softmax(1)
    torch.testing.assert_close(grad_u, expected(p, q))
    torch.testing.assert_close(grad_v, expected(q, p))


def test_the_gradient_of_both_directions_is_the_sum_of_forward_and_reverse():
    losses, gradients = {}, {}
    for direction in ("both", "forward", "reverse"):
        losses[direction], _, _, gradients[direction] = lemma(direction)
    assert losses["both"] == losses["forward"] == losses["reverse"]
    pairs = zip(gradients["both"], gradients["forward"], gradients["reverse"], strict=True)
    for both, forward, reverse in pairs:
        torch.testing.assert_close(both, forward + reverse)
        assert not torch.allclose(forward, reverse, rtol=0.05)


@pytest.mark.parametrize("drop", [0.0, 0.2, 0.5, 0.9])
def test_a_mask_drops_at_its_rate_and_scales_the_rest(drop):
    output = dropped(torch.ones(400, 500), drop, seeded())
    assert output.unique().tolist() == pytest.approx([0.0, 1 / (1 - drop)] if drop else [1.0])
    share = (output == 0).float().mean().item()
    assert abs(share - drop) <= 4 * math.sqrt(drop * (1 - drop) / output.numel())


def test_the_two_masks_are_independent_and_differ_between_images():
    seen = []

    def classifier(features):
        seen.append(features)
        return features

    sd_dropout_loss(torch.ones(2, 20_000), classifier, drop_rate=0.5, generator=seeded())
    rows = seen[0].view(4, -1) / 2  # u and v of two images, in one call
    for one in range(4):
        for other in range(one):
            assert (rows[one] * rows[other]).mean().item() == pytest.approx(0.25, abs=0.02)


def test_the_loss_is_0_at_drop_rate_0():
    classifier = Recorder()
    features = torch.randn(3, 6, generator=seeded(), dtype=torch.float64)
    assert sd_dropout_loss(features, classifier, drop_rate=0.0).item() == 0
    assert classifier.calls == 1


def test_whole_channels_of_maps_are_dropped_and_maps_are_classified_separately():
    seen = []

    def rest(maps):
        seen.append(maps)
        return maps.mean((2, 3))

    maps = torch.rand(8, 16, 3, 3, generator=seeded()) + 0.1
    sd_dropout_loss(maps, rest, drop_rate=0.5, generator=seeded(1))
    assert [len(item) for item in seen] == [8, 8]
    for item in seen:
        whole = item == 2 * maps
        assert torch.equal(whole.all((2, 3)), whole.any((2, 3)))
        assert torch.equal(~whole.all((2, 3)), (item == 0).all((2, 3)))


def test_the_second_mask_can_be_applied_to_other_features():
    seen = []

    def classifier(features):
        seen.append(features)
        return features

    ones, twos = torch.ones(2, 3), torch.full((2, 3), 2.0)
    sd_dropout_loss(ones, classifier, drop_rate=0.0, others=twos)
    assert torch.equal(seen[0], torch.cat([ones, twos]))


def test_huge_logits_give_a_finite_loss_and_gradient():
    features = torch.full((2, 3), 1e4, requires_grad=True)
    loss = sd_dropout_loss(features, lambda f: f, drop_rate=0.5, generator=seeded())
    loss.backward()
    assert loss.isfinite()
    assert features.grad.isfinite().all()
