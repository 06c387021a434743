"""The loop that fine-tunes a detector, to be read from top to bottom."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from sdd_eval.detection.batches import Batch
from sdd_eval.detection.recipe import DetectorRecipe, learning_rate
from sdd_eval.detection.state import DetectorState
from sdd_eval.errors import InputError
from sdd_eval.progress import Progress
from sdd_eval.training.surroundings import seed_layers


def fit(
    detector: nn.Module,
    batches: Callable[[int], Iterator[Batch]],
    images: int,
    state: DetectorState,
    *,
    keep: Callable[[DetectorState], None],
    progress: Progress,
) -> DetectorState:
    """Train from a state to the recipe's last epoch; `keep` is called after each epoch.

    Raises:
        InputError: a loss is no longer finite; what was kept is the epoch before.
    """
    recipe = state.recipe
    assert recipe.seed is not None
    optimiser = _optimiser(detector, recipe)
    if state.detector is not None and state.optimiser is not None:
        detector.load_state_dict(dict(state.detector))
        optimiser.load_state_dict(dict(state.optimiser))
    progress.start(f"detector on {recipe.dataset}", recipe.epochs * images)
    progress.advance(state.epoch * images)
    steps = -(-images // recipe.batch_size)

    for epoch in range(state.epoch, recipe.epochs):
        started = time.perf_counter()
        seed_layers(recipe.seed, "regions", epoch)  # both heads draw the regions they learn from
        sums: dict[str, float] = {}

        detector.train()
        for step, batch in enumerate(batches(epoch)):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(recipe, epoch, step, steps)
            losses = detector(batch.images, batch.targets)
            optimiser.zero_grad(set_to_none=True)
            total: Tensor = torch.stack(list(losses.values())).sum()
            torch.autograd.backward([total])
            terms = {name.removeprefix("loss_"): loss.item() for name, loss in losses.items()}
            _refuse_broken(terms, step, epoch)
            optimiser.step()
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + value * len(batch.images)
            progress.advance(len(batch.images), f"epoch {epoch + 1}/{recipe.epochs}")

        seconds = time.perf_counter() - started
        state = replace(
            state,
            epoch=epoch + 1,
            seconds=state.seconds + seconds,
            history=(*state.history, _row(recipe, epoch, steps, sums, images, seconds)),
            detector=detector.state_dict(),
            optimiser=optimiser.state_dict(),
        )
        keep(state)
    return state


def _optimiser(detector: nn.Module, recipe: DetectorRecipe) -> torch.optim.SGD:
    """SGD over what is not frozen."""
    assert recipe.lr is not None
    learned = [each for each in detector.parameters() if each.requires_grad]
    return torch.optim.SGD(learned, recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay)


def _row(
    recipe: DetectorRecipe,
    epoch: int,
    steps: int,
    sums: Mapping[str, float],
    images: int,
    seconds: float,
) -> dict[str, float]:
    """What the history says of an epoch: mean losses, by images."""
    return {
        "epoch": epoch + 1,
        "lr": learning_rate(recipe, epoch, steps - 1, steps),
        "loss": sum(sums.values()) / images,
        **{name: value / images for name, value in sums.items()},
        "images_per_second": images / seconds,
        "seconds": seconds,
    }


def _refuse_broken(terms: Mapping[str, float], step: int, epoch: int) -> None:
    """Refuse a loss that is not finite, before a step is taken along it."""
    for name, value in terms.items():
        if not math.isfinite(value):
            raise InputError(
                f"{name} is not finite at step {step + 1} of epoch {epoch + 1}; the epoch before "
                "is kept: try a lower lr"
            )
