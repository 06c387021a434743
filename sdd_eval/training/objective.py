"""The training objective: a method's loss plus λ times the SD-Dropout term; initial weights."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from sdd_eval.models.network import Network
from sdd_eval.models.resnet import Block, Bottleneck
from sdd_eval.records import Recipe
from sdd_eval.training.methods.branch import Branch
from sdd_eval.training.methods.method import BaseMethod, Batch, EpochEnd, Losses, Step
from sdd_eval.training.methods.sd_dropout import sd_dropout_loss


class Objective(nn.Module):
    """The network with a method's training-only parts; `forward` returns the losses of one step.

    A single module whose `forward` is the whole step, so that module wrappers can be applied.
    """

    def __init__(
        self, network: Network, method: BaseMethod, recipe: Recipe, images: int = 0
    ) -> None:
        """Build the method's parts and its memory of images, initialised after the network."""
        super().__init__()
        self.network = network
        self.method = method
        self.recipe = recipe
        self.stage = network.stage_of(recipe.position)
        self.parts = nn.ModuleDict(method.parts(network))
        self.memory = nn.Module()
        for name, tensor in self._hook("memory")(network, images).items():
            self.memory.register_buffer(name, tensor)

    def forward(self, batch: Batch, generator: torch.Generator) -> Losses:
        """Return the terms of the method, and the unweighted term `sd_dropout` if λ > 0."""
        losses = self.method.losses(self._step(batch, generator))
        if self.recipe.sd_dropout == 0:
            return losses
        term = sd_dropout_loss(
            losses.activations[self.stage],
            functools.partial(self.network.classify, stage=self.stage),
            drop_rate=self.recipe.drop_rate,
            temperature=self.recipe.temperature,
            direction=self.recipe.direction,
            generator=generator,
            others=None if losses.others is None else losses.others[self.stage],
            rows=batch.rows,
        )
        return dataclasses.replace(
            losses,
            terms={**losses.terms, "sd_dropout": term},
            weights={**losses.weights, "sd_dropout": self.recipe.sd_dropout},
        )

    def after_update(self, batch: Batch, generator: torch.Generator) -> None:
        """Call the method's hook after an update of the weights."""
        with torch.no_grad():
            self._hook("after_update")(self._step(batch, generator))

    def after_epoch(self, epoch: int, summed: Callable[[Tensor], Tensor]) -> None:
        """Call the method's hook after `epoch` epochs; `summed` sums over all processes."""
        parts, memory = dict(self.parts.items()), dict(self.memory.named_buffers())
        with torch.no_grad():
            self._hook("after_epoch")(EpochEnd(self.network, parts, memory, epoch, summed))

    def _step(self, batch: Batch, generator: torch.Generator) -> Step:
        parts, memory = dict(self.parts.items()), dict(self.memory.named_buffers())
        return Step(self.network, parts, batch, generator, self.recipe.epochs, memory)

    def _hook(self, name: str) -> Callable[..., Any]:
        """Return an optional hook of the method, or the base class's default."""
        default = functools.partial(getattr(BaseMethod, name), self.method)
        return getattr(self.method, name, default)


class WeightedLoss(nn.Module):
    """Returns the loss to minimise and the terms of the objective for a batch.

    The mean loss of one of `count` processes is weighted by its share of rows, so that the mean
    over processes is that of the whole batch. The scalar is returned separately, because
    DistributedDataParallel finds tensors only in tuples, lists and dictionaries.
    """

    def __init__(self, objective: Objective, count: int) -> None:
        super().__init__()
        self.objective = objective
        self.count = count

    def forward(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Losses]:
        """Return the loss to differentiate, and the terms over this process's rows."""
        losses: Losses = self.objective(batch, generator)
        if batch.rows is None:
            return losses.total, losses
        return losses.total * (batch.rows.share * self.count), losses


def initialise_as_authors(*modules: nn.Module) -> None:
    """Initialise convolutions as the paper's authors do, with torch's global random state.

    Every convolution of a built-in ResNet and of a BYOT branch is drawn from a Kaiming normal
    distribution (fan-out, gain of ReLU). Batch norms start at weight 1 and bias 0 and linear layers
    keep PyTorch's default, as they do without this function. Other networks are left as they are:
    the authors use PyTorch's default for DenseNet, and torchvision and timm initialise their own.

    Source: the authors' public code, `self_kd`, branch SD_Dropout.
    """
    for module in modules:
        if any(isinstance(part, Block | Bottleneck | Branch) for part in module.modules()):
            for part in module.modules():
                if isinstance(part, nn.Conv2d):
                    nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
