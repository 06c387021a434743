"""Mixup (Zhang et al., ICLR 2018) and CutMix (Yun et al., ICCV 2019) of the images of a batch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from sdd_eval.randomness import derived_seed
from sdd_eval.records import Recipe
from sdd_eval.training.methods.method import Batch


def mixed_batches(batches: Iterator[Batch], recipe: Recipe, classes: int) -> Iterator[Batch]:
    """Yield the batches, mixed if the recipe mixes; their labels stay those of the first images.

    Random numbers are derived from epoch and batch, so they do not depend on interruptions.
    """
    if not (recipe.mixup or recipe.cutmix):
        yield from batches
        return
    mix = _mix(recipe.mixup, recipe.cutmix, classes)
    for number, batch in enumerate(batches):
        seed = derived_seed(recipe.seed, f"mixing of epoch {batch.epoch}", number)
        with torch.random.fork_rng(devices=[]):  # torchvision draws from the global random state
            torch.default_generator.manual_seed(seed)
            pixels, probabilities = mix(batch.pixels, batch.labels)
        yield replace(batch, views=(pixels,), probabilities=probabilities)


@functools.cache
def _mix(
    mixup: float, cutmix: float, classes: int
) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    from torchvision.transforms import v2

    transforms = {v2.MixUp: mixup, v2.CutMix: cutmix}
    used = [kind(alpha=alpha, num_classes=classes) for kind, alpha in transforms.items() if alpha]
    mix: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = v2.RandomChoice(used)
    return mix
