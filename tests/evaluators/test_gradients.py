"""The stable gradient: equal to the plain one unless that is zero by saturation."""

import numpy as np
import pytest
import torch

from sdd_eval.evaluators.gradients import (
    input_gradients,
    is_zero,
    logit_gradient,
    plain_loss,
    stable_loss,
)


def pixels_of(images):
    return next(images.batches(len(images))).float() / 255


def test_the_logit_gradient_is_that_of_cross_entropy_up_to_a_factor_per_image():
    torch.manual_seed(0)
    logits = torch.randn(20, 5, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(0, 5, (20,))
    loss = torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
    (plain,) = torch.autograd.grad(loss, logits)
    expected = plain / plain.abs().amax(dim=1, keepdim=True)
    torch.testing.assert_close(logit_gradient(logits, labels), expected)


def test_the_gradient_of_a_saturated_network_is_not_zero():
    result = logit_gradient(torch.tensor([[1e6, 0.0, -5.0]]), torch.tensor([0]))
    assert result[0, 0] == -1
    assert float(result[0, 1:].sum()) == pytest.approx(1)


def test_for_an_unsaturated_network_the_signs_are_those_of_the_plain_gradient(network, images_of):
    model, pixels = network(scale=0.3), pixels_of(images_of(30))
    losses = [(stable_loss, 1.0), (plain_loss, 1.0), (stable_loss, 2.5), (plain_loss, 2.5)]
    result = input_gradients(model, pixels, losses)
    for stable, plain in ((result[0], result[1]), (result[2], result[3])):
        clear = plain.abs() > 1e-6 * plain.abs().flatten(1).amax(dim=1).view(-1, 1, 1, 1)
        assert clear.float().mean() > 0.99
        assert (stable.sign() == plain.sign())[clear].all()


def test_scaling_the_last_layer_by_100_loses_no_gradient(network, images_of):
    pixels = pixels_of(images_of(40))
    lost = {}
    for scale in (1.0, 100.0):
        stable, plain = input_gradients(
            network(scale=scale), pixels, [(stable_loss, 1.0), (plain_loss, 1.0)]
        )
        lost[scale] = (is_zero(stable), is_zero(plain))
    assert not (lost[100.0][0] & ~lost[1.0][0]).any()
    assert lost[100.0][1].float().mean() > 0.3  # the plain gradient does lose them


def test_only_a_gradient_of_all_zeros_counts_as_zero():
    gradient = torch.zeros(2, 3, 4, 4)
    gradient[1, 2, 3, 3] = -1e-38
    assert is_zero(gradient).tolist() == [True, False]


def test_computing_the_gradient_changes_neither_pixels_nor_network(network, images_of):
    model, pixels = network(), pixels_of(images_of(3))
    before = pixels.clone()
    input_gradients(model, pixels, [(stable_loss, 1.0)])
    assert torch.equal(pixels, before)
    assert not pixels.requires_grad
    assert all(parameter.grad is None for parameter in model.parameters())
    assert np.isfinite(model(pixels).numpy()).all()
