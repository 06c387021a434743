"""What a training method is: the batch that it wants, the parts that it adds, its loss.

A method is a frozen dataclass behind an entry point of `sdd_eval.methods`; its fields are its own
settings. The loop knows none by name, and the SD-Dropout term goes with any.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from sdd_eval.models.network import Network
    from sdd_eval.training.distributed.shard import Rows


@dataclass(frozen=True)
class Batch:
    """Images of one step on the device: float32 pixels in [0, 1], (b, channels, side, side)."""

    views: tuple[Tensor, ...]
    """As many independent augmentations of the same images as the method wants."""
    labels: Tensor
    """Class indices (b,)."""
    partners: Tensor | None = None
    """For each image another of its class, drawn with replacement, augmented; if wanted."""
    rows: Rows | None = None
    """Which rows of the step's whole batch these are, where several processes train together."""

    @property
    def pixels(self) -> Tensor:
        """The first view."""
        return self.views[0]

    @property
    def total(self) -> int:
        """How many images the step's whole batch has."""
        return len(self.labels) if self.rows is None else self.rows.total


@dataclass(frozen=True)
class Step:
    """What a method's loss is made from; network and parts are in train mode."""

    network: Network
    parts: Mapping[str, nn.Module]
    """What `Method.parts` built: trained with the network, not exported."""
    batch: Batch
    generator: torch.Generator
    """Random numbers on the batch's device; after a resume they are the same.

    Drawn by `rows.uniform` they are also the same however many processes train. What is no mean
    over images must be made of `rows.batch_mean`, as the loss of each process is averaged.
    """


@dataclass(frozen=True)
class Losses:
    """The terms of a loss, each a scalar by its name; the loss is their weighted sum."""

    terms: Mapping[str, Tensor]
    logits: Tensor
    """(b, classes) of the first view; training accuracy is counted on them."""
    activations: Mapping[str, Tensor]
    """`Network.activations` of the first view; SD-Dropout's masks fall on one of them."""
    others: Mapping[str, Tensor] | None = None
    """The activations under the second mask, if they are others (e.g. the second view's)."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """Weights of the terms; 1 where none is given."""

    @property
    def total(self) -> Tensor:
        """What is minimised."""
        weighted = [self.weights.get(name, 1.0) * term for name, term in self.terms.items()]
        return sum(weighted[1:], start=weighted[0])


class Method(Protocol):
    """A training method."""

    @property
    def name(self) -> str:
        """The plugin's name (a class variable)."""

    @property
    def views(self) -> int:
        """How many augmented views of each image it wants (a class variable)."""

    @property
    def partners(self) -> bool:
        """Whether it wants a partner of the same class for each image (a class variable)."""

    def parts(self, network: Network) -> dict[str, nn.Module]:
        """Modules that are trained beside the network and left behind at export, by name."""

    def losses(self, step: Step) -> Losses:
        """The terms of one step's loss; logits in float32 where a softmax is taken."""
