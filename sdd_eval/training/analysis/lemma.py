"""Lemma 1 of the paper, checked: the closed form of each direction's gradient against autograd."""

from __future__ import annotations

import torch
from torch import Tensor

from sdd_eval.training.analysis.kl_gradients import DIRECTIONS, Direction
from sdd_eval.training.methods.sd_dropout import dropped, sd_dropout_loss

IMAGES, WIDTH, CLASSES = 4, 12, 7


def check_lemma_1(trials: int = 20, seed: int = 0) -> dict[str, float]:
    """By direction, the largest relative difference of autograd's gradient from Lemma 1's.

    Random features, a random linear classifier and two dropout masks, T = 1, float64; the
    difference is in the L2 norm, over that of the closed form.
    """
    worst = dict.fromkeys(DIRECTIONS, 0.0)
    for trial in range(trials):
        random = torch.Generator().manual_seed(seed + trial)
        features = torch.randn(IMAGES, WIDTH, generator=random, dtype=torch.float64).abs()
        weights = torch.randn(CLASSES, WIDTH, generator=random, dtype=torch.float64)
        weights.requires_grad_()
        masks = random.get_state()
        for direction in DIRECTIONS:
            found = _by_autograd(features, weights, direction, random.set_state(masks))
            expected = _by_lemma(features, weights, direction, random.set_state(masks))
            error = float((found - expected).norm() / expected.norm())
            worst[direction] = max(worst[direction], error)
    return {str(direction): error for direction, error in worst.items()}


def _by_autograd(
    features: Tensor, weights: Tensor, direction: Direction, masks: torch.Generator
) -> Tensor:
    """The gradient of the term that training minimises."""
    loss = sd_dropout_loss(
        features,
        lambda taken: taken @ weights.T,
        drop_rate=0.5,
        temperature=1.0,
        direction=direction,
        generator=masks,
    )
    return torch.autograd.grad(loss, weights)[0]


def _by_lemma(
    features: Tensor, weights: Tensor, direction: Direction, masks: torch.Generator
) -> Tensor:
    """Σ_i of Lemma 1's coefficient times ∇p_i or ∇q_i, batch mean."""
    u, v = dropped(features, 0.5, masks), dropped(features, 0.5, masks)
    p, q = (taken @ weights.T for taken in (u, v))
    p, q = p.softmax(dim=1), q.softmax(dim=1)
    ratio = (p / q).detach()
    if direction == "forward":
        total = ((1 - ratio) * q).sum() + ((1 - 1 / ratio) * p).sum()
    else:
        total = (ratio.log() * p).sum() - (ratio.log() * q).sum()
    return torch.autograd.grad(total / len(features), weights)[0]
