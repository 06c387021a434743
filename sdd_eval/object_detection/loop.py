"""The loop that fine-tunes a detector, to be read from top to bottom."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from sdd_eval.checkpoints.state import State
from sdd_eval.object_detection.batches import Batch
from sdd_eval.object_detection.recipe import DetectorRecipe, learning_rate
from sdd_eval.progress import Progress
from sdd_eval.randomness import seed_global
from sdd_eval.training.epochs import Tally, through_epochs


def fit(
    detector: nn.Module,
    batches: Callable[[int], Iterator[Batch]],
    images: int,
    state: State[DetectorRecipe],
    *,
    keep: Callable[[State[DetectorRecipe]], None],
    progress: Progress,
) -> State[DetectorRecipe]:
    """Train from a state to the recipe's last epoch; `keep` is called after each epoch.

    Raises:
        InputError: a loss or a weight is no longer finite; what was kept is the epoch before.
    """
    recipe = state.recipe
    assert recipe.seed is not None
    seed, steps = recipe.seed, -(-images // recipe.batch_size)
    optimiser = _optimiser(detector, recipe)

    def train_epoch(epoch: int) -> dict[str, float]:
        seed_global(seed, "regions", epoch)  # both heads draw the regions they learn from
        tally = Tally(epoch)

        detector.train()
        for step, batch in enumerate(batches(epoch)):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(recipe, epoch, step, steps)
            losses = _losses(detector(batch.images, batch.targets))
            tally.add(losses, len(batch.images))
            tally.check()  # before a step along it: no region can be found by broken weights
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward([losses["loss"]])
            optimiser.step()
            progress.advance(len(batch.images))
        return {"lr": learning_rate(recipe, epoch, steps - 1, steps), **tally.means()}

    return through_epochs(
        state, detector, optimiser, train_epoch,
        label=f"detector on {recipe.dataset}", images=images, keep=keep, progress=progress,
    )  # fmt: skip


def _optimiser(detector: nn.Module, recipe: DetectorRecipe) -> torch.optim.SGD:
    """SGD over what is not frozen."""
    assert recipe.lr is not None
    learned = [each for each in detector.parameters() if each.requires_grad]
    return torch.optim.SGD(learned, recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay)


def _losses(told: dict[str, Tensor]) -> dict[str, Tensor]:
    """The detector's losses by name, and their sum."""
    terms = {name.removeprefix("loss_"): loss for name, loss in told.items()}
    return {**terms, "loss": torch.stack(list(terms.values())).sum()}
