"""The learning rate over the epochs: a tenth of it after each milestone."""

from __future__ import annotations

from sdd_eval.records import Recipe


def milestones(recipe: Recipe) -> tuple[int, ...]:
    """The recipe's milestones; by default a half and three quarters of its epochs, rounded up."""
    if recipe.milestones is not None:
        return recipe.milestones
    return (-(-recipe.epochs // 2), -(-3 * recipe.epochs // 4))


def learning_rate(recipe: Recipe, epoch: int) -> float:
    """The learning rate during an epoch, counted from 0.

    >>> [learning_rate(Recipe(), epoch) for epoch in (0, 99, 100, 149, 150)]
    [0.1, 0.1, 0.01, 0.01, 0.001]
    """
    passed = sum(epoch >= milestone for milestone in milestones(recipe))
    return float(recipe.lr / 10**passed)
