"""The training loop, in reading order. It is independent of the training method."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from sdd_eval.checkpoints.state import State
from sdd_eval.progress import Progress
from sdd_eval.randomness import generator, seed_global
from sdd_eval.records import Recipe
from sdd_eval.training.data.batches import TrainingSet, epoch_batches
from sdd_eval.training.distributed.processes import Processes
from sdd_eval.training.epochs import LossAverage, Probe, train_epochs
from sdd_eval.training.methods.method import Batch, Losses
from sdd_eval.training.objective import Objective, WeightedLoss


def fit(
    objective: Objective,
    data: TrainingSet,
    state: State[Recipe],
    *,
    save: Callable[[State[Recipe]], None],
    progress: Progress,
    probe: Probe = lambda epoch: {},
    processes: Processes,
) -> State[Recipe]:
    """Train from a state to the recipe's last epoch.

    Several processes all run this function, each on its rows of every batch. `save`, `progress`,
    `probe` and the errors are those of `train_epochs`.
    """
    recipe, device = state.recipe, data.device
    fused = device.type == "cuda" or None
    optimiser = torch.optim.SGD(
        objective.parameters(), recipe.lr, recipe.momentum,
        weight_decay=recipe.weight_decay, fused=fused,
    )  # fmt: skip
    step = processes.parallel(WeightedLoss(objective, processes.count))

    def train_epoch(epoch: int) -> dict[str, float]:
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(recipe, epoch)
        seed_global(recipe.seed, processes.purpose("layers"), epoch)
        draws = generator(recipe.seed, "masks", epoch, device.type)
        averages = LossAverage(epoch, processes)

        step.train()
        batches = epoch_batches(data, recipe, objective.method, epoch, processes.rows)
        for batch in _checked(batches, averages):
            optimiser.zero_grad(set_to_none=True)
            with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
                loss, losses = step(batch, draws)
            loss.backward()
            optimiser.step()
            averages.add(_logged(losses, batch), batch.total, batch.rows)
            del loss, losses  # free this step's activations before the next step
            progress.advance(batch.total)
        return {"lr": learning_rate(recipe, epoch), **averages.means()}

    return train_epochs(
        state, objective, optimiser, train_epoch,
        label=f"{recipe.method} on {recipe.dataset}", images=len(data),
        save=save, progress=progress, probe=probe,
    )  # fmt: skip


def _logged(losses: Losses, batch: Batch) -> dict[str, Tensor]:
    right = (losses.logits.argmax(dim=1) == batch.labels).float().mean()
    return {**losses.terms, "loss": losses.total, "train_accuracy": right}


def _checked(batches: Iterator[Batch], averages: LossAverage) -> Iterator[Batch]:
    """Yield the batches and check the losses now and then, as each check waits for the device."""
    for step, batch in enumerate(batches):
        alone_on_cpu = batch.rows is None and batch.labels.device.type == "cpu"
        if step % 50 == 0 or alone_on_cpu:
            averages.check()
        yield batch
    averages.check()


def learning_rate(recipe: Recipe, epoch: int) -> float:
    """Return the learning rate during an epoch, counted from 0.

    The default milestones are 1/2 and 3/4 of the epochs, rounded up.

    >>> [learning_rate(Recipe(), epoch) for epoch in (0, 99, 100, 149, 150)]
    [0.1, 0.1, 0.01, 0.01, 0.001]
    """
    milestones = recipe.milestones
    if milestones is None:
        milestones = (-(-recipe.epochs // 2), -(-3 * recipe.epochs // 4))
    passed = sum(epoch >= milestone for milestone in milestones)
    return float(recipe.lr / 10**passed)
