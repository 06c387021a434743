"""The training loop, in reading order. It is independent of the training method."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor

from sdd_eval.checkpoints.state import State
from sdd_eval.progress import Progress
from sdd_eval.randomness import generator, seed_global
from sdd_eval.records import Recipe
from sdd_eval.training.arithmetic import arithmetic
from sdd_eval.training.data.batches import TrainingSet, epoch_batches
from sdd_eval.training.data.mixing import mixed_batches
from sdd_eval.training.distributed.processes import Processes
from sdd_eval.training.epochs import LossAverage, Probe, train_epochs
from sdd_eval.training.exported import ExportedWeights
from sdd_eval.training.methods.method import Batch, Losses
from sdd_eval.training.objective import Objective, WeightedLoss
from sdd_eval.training.optimiser import optimiser_of, plan_epoch, update


def fit(
    objective: Objective,
    data: TrainingSet,
    state: State[Recipe],
    exported: ExportedWeights,
    *,
    save: Callable[[State[Recipe]], None],
    progress: Progress,
    probe: Probe = lambda epoch: {},
    processes: Processes,
) -> State[Recipe]:
    """Train from a state to the recipe's last epoch.

    If several processes train, each runs this function on its rows of every batch. `exported`
    tracks the network. `save`, `progress`, `probe` and the errors are those of `train_epochs`.
    """
    recipe, device = state.recipe, data.device
    optimiser = optimiser_of(recipe, objective, fused=device.type in ("cpu", "cuda") or None)
    step = processes.parallel(WeightedLoss(objective, processes.count))

    def train_epoch(epoch: int) -> dict[str, float]:
        plans = plan_epoch(recipe, epoch, len(data))
        seed_global(recipe.seed, processes.purpose("layers"), epoch)
        draws = generator(recipe.seed, "masks", epoch, device.type)
        averages = LossAverage(epoch, processes)

        step.train()
        batches = epoch_batches(data, recipe, objective.method, epoch, processes.rows)
        batches = mixed_batches(batches, recipe, objective.network.spec.classes)
        for plan, batch in zip(plans, _checked(batches, averages), strict=True):
            with arithmetic(recipe, device):
                loss, losses = step(batch, draws)
            (loss if plan.share == 1 else loss * plan.share).backward()
            if plan.rate is not None:
                update(optimiser, plan.rate, recipe.clip_norm)
                exported.update()
                objective.after_update(batch, draws)
            averages.add(_logged(losses, batch), batch.total, batch.rows)
            del loss, losses  # free this step's activations before the next step
            progress.advance(batch.total)
        objective.after_epoch(epoch + 1, processes.summed)
        return {"lr": next(filter(None, (plan.rate for plan in plans))), **averages.means()}

    return train_epochs(
        state, objective, optimiser, train_epoch,
        label=f"{recipe.method} on {recipe.dataset}", images=len(data),
        save=save, progress=progress, further={"exported": exported},
        probe=lambda epoch: {**probe(epoch), **exported.validate(epoch)},
    )  # fmt: skip


def _logged(losses: Losses, batch: Batch) -> dict[str, Tensor]:
    mixed = batch.probabilities
    labels = batch.labels if mixed is None else mixed.argmax(dim=1)
    right = (losses.logits.argmax(dim=1) == labels).float().mean()
    return {**losses.terms, "loss": losses.total, "train_accuracy": right}


def _checked(batches: Iterator[Batch], averages: LossAverage) -> Iterator[Batch]:
    """Yield the batches and check the losses only now and then: each check waits for the device."""
    for step, batch in enumerate(batches):
        alone_on_cpu = batch.rows is None and batch.labels.device.type == "cpu"
        if step % 50 == 0 or alone_on_cpu:
            averages.check()
        yield batch
    averages.check()
