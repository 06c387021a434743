"""The learning rate as a function of the step, so that a resumed run needs no other state.

The schedules are those of `torch.optim.lr_scheduler`, in closed form: `MultiStepLR` changes between
epochs; `CosineAnnealingLR`, `OneCycleLR` and the warm-up of `LinearLR` change with every step.
"""

from __future__ import annotations

import math

from sdd_eval.records import Recipe

#: One cycle: share of the steps in which the rate rises, and divisors of its first and last value.
RISING, FIRST, LAST = 0.3, 25.0, 1e4


def learning_rate(recipe: Recipe, epoch: int, step: int = 0, steps: int = 1) -> float:
    """Return the learning rate of a step in an epoch of `steps`; both are counted from 0.

    The default milestones are 1/2 and 3/4 of the epochs, rounded up.

    >>> [learning_rate(Recipe(), epoch) for epoch in (0, 99, 100, 149, 150)]
    [0.1, 0.1, 0.01, 0.01, 0.001]
    """
    done, warmup = epoch * steps + step, recipe.warmup_epochs * steps
    if recipe.schedule == "one_cycle":
        return _one_cycle(recipe.lr, done, recipe.epochs * steps)
    if recipe.schedule == "cosine":
        share = max(0, done - warmup) / (recipe.epochs * steps - warmup)
        rate = _cosine(recipe.lr, 0.0, share)
    else:
        passed = sum(epoch >= milestone for milestone in _milestones(recipe))
        rate = float(recipe.lr / recipe.lr_divisor**passed)
    return rate * (done + 1) / warmup if done < warmup else rate


def _milestones(recipe: Recipe) -> tuple[int, ...]:
    if recipe.milestones is not None:
        return recipe.milestones
    return -(-recipe.epochs // 2), -(-3 * recipe.epochs // 4)


def _one_cycle(largest: float, done: int, total: int) -> float:
    peak = RISING * total - 1
    if done < peak:
        return _cosine(largest / FIRST, largest, done / peak)
    return _cosine(largest, largest / FIRST / LAST, (done - peak) / (total - 1 - peak))


def _cosine(first: float, last: float, share: float) -> float:
    """Return the value after a share of half a cosine wave from the first to the last value."""
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2
