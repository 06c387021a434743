"""The gradient study during training: a fixed batch under fixed masks, at chosen epochs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sdd_eval.data.images import ImageSet
from sdd_eval.data.splits import subset
from sdd_eval.errors import InputError
from sdd_eval.models.network import Network
from sdd_eval.randomness import derived_seed, generator
from sdd_eval.records import Recipe
from sdd_eval.training.analysis.kl_gradients import kl_gradients


@dataclass(frozen=True)
class Probe:
    """The images that are looked at (n, channels, side, side), pixels in [0, 1]."""

    network: Network
    pixels: Tensor
    recipe: Recipe

    def __call__(self, epoch: int) -> dict[str, float]:
        """What `kl_gradients` measures after so many epochs; nothing at one not asked for.

        Random numbers are its own: a training that is probed ends in the same weights.
        """
        if epoch not in self.recipe.probe_epochs:
            return {}
        masks = generator(self.recipe.seed, "probe", device=self.pixels.device.type)
        gpus = [self.pixels.device] if self.pixels.device.type == "cuda" else []
        with torch.random.fork_rng(devices=gpus):
            torch.manual_seed(derived_seed(self.recipe.seed, "probe layers"))
            return kl_gradients(self.network, self.pixels, self.recipe, masks)


def probe_of(network: Network, images: ImageSet, recipe: Recipe, device: torch.device) -> Probe:
    """The probe of a recipe: `probe_images` training images, balanced by class, not augmented.

    Raises:
        InputError: epochs that training does not reach, or fewer than two images.
    """
    beyond = [epoch for epoch in recipe.probe_epochs if not 0 <= epoch <= recipe.epochs]
    if beyond:
        raise InputError(
            f"probe_epochs has {beyond[0]}; training has epochs 0 (before it) to {recipe.epochs}"
        )
    if recipe.probe_epochs and recipe.probe_images < 2:
        raise InputError(f"probe_images is {recipe.probe_images}; batch norm needs 2 or more")
    if not recipe.probe_epochs:
        return Probe(network, torch.empty(0, device=device), recipe)
    chosen = subset(len(images), recipe.probe_images, labels=images.labels, seed=recipe.seed)
    (pixels,) = images.batches(len(chosen), chosen, str(device))
    return Probe(network, pixels.float().div_(255), recipe)
