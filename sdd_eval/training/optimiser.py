"""The optimiser of a recipe, and its step: learning rate, clipped gradient, update."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from sdd_eval.records import Recipe
from sdd_eval.training.schedule import learning_rate


def optimiser_of(
    recipe: Recipe, trained: nn.Module, *, fused: bool | None
) -> torch.optim.Optimizer:
    """Return the optimiser of all parameters, in one group if all have weight decay."""
    groups = _groups(recipe, trained)
    if recipe.optimiser == "adamw":
        betas = (recipe.momentum, 0.999)
        return torch.optim.AdamW(
            groups, recipe.lr, betas, weight_decay=recipe.weight_decay, fused=fused
        )
    return torch.optim.SGD(
        groups, recipe.lr, recipe.momentum,
        weight_decay=recipe.weight_decay, nesterov=recipe.nesterov, fused=fused,
    )  # fmt: skip


class BatchPlan(NamedTuple):
    """What happens after the gradient of a batch."""

    share: float
    """The batch's share of the images of its update."""
    rate: float | None
    """Learning rate of the update that the batch completes; None if it completes none."""


def plan_epoch(recipe: Recipe, epoch: int, images: int) -> list[BatchPlan]:
    """Return the plan of each batch of an epoch over this many images."""
    sizes = [min(recipe.batch_size, images - n) for n in range(0, images, recipe.batch_size)]
    groups = [sizes[n : n + recipe.accumulate] for n in range(0, len(sizes), recipe.accumulate)]
    plans: list[BatchPlan] = []
    for number, group in enumerate(groups):
        rate = learning_rate(recipe, epoch, number, len(groups))
        shares = [size / sum(group) for size in group]
        plans += [BatchPlan(share, None) for share in shares[:-1]] + [BatchPlan(shares[-1], rate)]
    return plans


def update(optimiser: torch.optim.Optimizer, rate: float, clip_norm: float | None) -> None:
    """Update the parameters once at a learning rate, with the gradient norm clipped if requested.

    The gradients are removed afterwards.
    """
    for group in optimiser.param_groups:
        group["lr"] = rate
    if clip_norm is not None:
        parameters = [p for group in optimiser.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(parameters, clip_norm)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)


def _groups(recipe: Recipe, trained: nn.Module) -> list[dict[str, object]]:
    parameters = list(trained.parameters())
    if recipe.weight_decay_on == "all":
        return [{"params": parameters}]
    weights = [parameter for parameter in parameters if parameter.ndim > 1]
    others = [parameter for parameter in parameters if parameter.ndim <= 1]
    return [{"params": weights}, {"params": others, "weight_decay": 0.0}]
