"""Networks as evaluations look at them: batch norms folded, if that is asked for and exact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from sdd_eval.data.images import ImageSet
from sdd_eval.evaluation.request import Request
from sdd_eval.records import ModelSpec, encode

if TYPE_CHECKING:
    import torch

    from sdd_eval.evaluators.subject import ComparedNetwork
    from sdd_eval.models.bn_folding import Folding

#: How many images, spread over the test set, folding is tried on.
TRIED = 16


def folded(
    model: torch.nn.Module, images: ImageSet, request: Request
) -> tuple[torch.nn.Module, Folding]:
    """The network with its batch norms folded, if that is asked for and changes nothing."""
    from sdd_eval.models.bn_folding import Folding, fold

    if not request.fold:
        return model, Folding()
    rows = np.unique(np.linspace(0, len(images) - 1, TRIED).astype(np.int64))
    pixels = next(iter(images.batches(TRIED, rows, request.device))).float().div_(255)
    return fold(model, pixels)


def in_provenance(folding: Folding, request: Request) -> dict[str, Any]:
    """What a run says of folding."""
    return {"asked": request.fold, **encode(folding)}


@dataclass(frozen=True)
class FoldedNetwork:
    """A further checkpoint, whose network is folded as the one under examination is."""

    compared: ComparedNetwork
    images: ImageSet
    request: Request
    found: dict[str, Any] = field(default_factory=dict)
    """What provenance says of its folding, once its network was asked for."""

    @property
    def name(self) -> str:
        """The checkpoint's name."""
        return self.compared.name

    @property
    def spec(self) -> ModelSpec:
        """What its network is."""
        return self.compared.spec

    @property
    def weights_sha256(self) -> str:
        """Which weights it has."""
        return self.compared.weights_sha256

    def network(self, device: str) -> torch.nn.Module:
        """Its network on a device, in eval mode, its parameters frozen."""
        model, folding = folded(self.compared.network(device), self.images, self.request)
        self.found.update(in_provenance(folding, self.request))
        return model


def networks_of(
    compared: Mapping[str, ComparedNetwork], images: ImageSet, request: Request
) -> dict[str, FoldedNetwork]:
    """The further checkpoints of an evaluation, by name."""
    return {name: FoldedNetwork(each, images, request) for name, each in compared.items()}
