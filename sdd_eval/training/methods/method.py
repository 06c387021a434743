"""The interface of a training method: the batch it needs, the parts it adds, its loss.

A method is a frozen dataclass behind an entry point of `sdd_eval.methods`; its fields are its
settings. The training loop is independent of the method, and the SD-Dropout term can be added to
any method.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from sdd_eval.models.network import Network
    from sdd_eval.training.distributed.shard import Rows


@dataclass(frozen=True)
class Batch:
    """Images of one step on the device: float32 pixels in [0, 1], (b, channels, side, side)."""

    views: tuple[Tensor, ...]
    """Independent augmentations of the same images, as many as the method's `views`."""
    labels: Tensor
    """Class indices (b,)."""
    partners: Tensor | None = None
    """For each image, another of its class, drawn with replacement and augmented; or None."""
    rows: Rows | None = None
    """This process's rows of the step's whole batch, if several processes train."""
    indices: Tensor | None = None
    """Index (b,) of each image in the training set, the same in every epoch."""
    epoch: int = 0
    """Epoch of the step, counted from 0."""
    probabilities: Tensor | None = None
    """Class probabilities (b, classes) of images that Mixup or CutMix has mixed."""

    @property
    def targets(self) -> Tensor:
        """Return the targets of cross-entropy: class probabilities of mixed images, else labels."""
        return self.labels if self.probabilities is None else self.probabilities

    @property
    def pixels(self) -> Tensor:
        """Return the first view."""
        return self.views[0]

    @property
    def total(self) -> int:
        """Return the number of images of the step's whole batch."""
        return len(self.labels) if self.rows is None else self.rows.total


@dataclass(frozen=True)
class Step:
    """The inputs of a method's loss; network and parts are in train mode."""

    network: Network
    parts: Mapping[str, nn.Module]
    """The modules of `BaseMethod.parts`: trained with the network, not exported."""
    batch: Batch
    generator: torch.Generator
    """Random generator on the batch's device; a resumed training draws the same numbers.

    Numbers drawn by `rows.uniform` are also independent of the number of processes. A term that is
    not a mean over images must use `rows.batch_mean`, because the losses of processes are averaged.
    """
    epochs: int = 1
    """Number of epochs of the training."""
    memory: Mapping[str, Tensor] = field(default_factory=dict)
    """The tensors of `BaseMethod.memory`, to be changed in place."""

    @property
    def epoch(self) -> int:
        """Return the epoch, counted from 0."""
        return self.batch.epoch


@dataclass(frozen=True)
class EpochEnd:
    """The inputs of `BaseMethod.after_epoch`."""

    network: Network
    parts: Mapping[str, nn.Module]
    memory: Mapping[str, Tensor]
    """The tensors of `BaseMethod.memory`; afterwards they must be equal in all processes."""
    epoch: int
    """Number of finished epochs."""
    summed: Callable[[Tensor], Tensor]
    """Sums a tensor over all processes that train, in place."""


@dataclass(frozen=True)
class Losses:
    """The scalar terms of a loss by name; the loss is their weighted sum."""

    terms: Mapping[str, Tensor]
    logits: Tensor
    """(b, classes) of the first view, for the training accuracy."""
    activations: Mapping[str, Tensor]
    """`Network.activations` of the first view; SD-Dropout masks one of them."""
    others: Mapping[str, Tensor] | None = None
    """The activations under SD-Dropout's second mask if they differ, such as the second view's."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """Weights of the terms; 1 by default."""

    @property
    def total(self) -> Tensor:
        """Return the weighted sum of the terms."""
        weighted = [self.weights.get(name, 1.0) * term for name, term in self.terms.items()]
        return sum(weighted[1:], start=weighted[0])


class BaseMethod(Protocol):
    """A training method; a subclass inherits one view, and no partners, parts or memory.

    A method that is not a subclass may leave out `memory`, `after_update` and `after_epoch`.
    """

    views: ClassVar[int] = 1
    """Number of augmented views per image."""
    partners: ClassVar[bool] = False
    """Whether each image needs a partner of its class."""
    mixes: ClassVar[bool] = False
    """Whether the loss uses `Batch.targets`, so that Mixup and CutMix can be combined with it."""

    def parts(self, network: Network) -> dict[str, nn.Module]:
        """Return the modules that are trained with the network and not exported, by name."""
        return {}

    def memory(self, network: Network, images: int) -> dict[str, Tensor]:
        """Return tensors that the method keeps between steps, by name; they are saved and restored.

        `images` is the number of training images, to which `Batch.indices` refer.
        """
        return {}

    def losses(self, step: Step) -> Losses:
        """Return the loss terms of one step; softmaxes must be taken in float32."""

    def after_update(self, step: Step) -> None:
        """Change parts or memory after each update of the weights, without gradients."""

    def after_epoch(self, end: EpochEnd) -> None:
        """Change parts or memory after an epoch, before the training is saved."""
