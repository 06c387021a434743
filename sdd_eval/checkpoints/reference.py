"""A checkpoint that another one is compared with: its card is read at once, its network on call."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from sdd_eval.checkpoints import checkpoint
from sdd_eval.errors import InputError
from sdd_eval.records import Card, ModelSpec


@dataclass(frozen=True)
class ComparedCheckpoint:
    """A checkpoint's folder and card, its weights checked against the card."""

    folder: Path
    card: Card
    trust_code: bool = False

    @property
    def name(self) -> str:
        """What its folder is called."""
        return self.folder.resolve().name

    @property
    def spec(self) -> ModelSpec:
        """What its network is."""
        return self.card.model

    @property
    def weights_sha256(self) -> str:
        """Which weights it has."""
        return self.card.weights_sha256

    def network(self, device: str) -> torch.nn.Module:
        """Its network on a device, in eval mode, its parameters frozen."""
        return checkpoint.load(self.folder, device, trust_code=self.trust_code)


def compared_checkpoint(
    name: str, beside: Path | None = None, *, trust_code: bool = False
) -> ComparedCheckpoint:
    """A checkpoint by its folder, or by its name in the folder that another one lies in.

    Raises:
        InputError: there is none, its weights are missing or changed, or it names code that is not
            trusted.
    """
    places = [Path(name), *([beside / name] if beside else [])]
    for folder in places:
        if (folder / checkpoint.CARD).is_file():
            card = checkpoint.read_card(folder)
            checkpoint.require_trust(card, trust_code)
            checkpoint.verify(folder, card)
            return ComparedCheckpoint(folder, card, trust_code)
    raise InputError(f"no checkpoint {name!r} to compare with at {' or '.join(map(str, places))}")
