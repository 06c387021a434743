"""The images of a one-step L∞ attack, in each of the three readings of "FGSM with ε = 0.2".

Images that are moved by several sizes ε at once are (sizes, n, channels, side, side).
torchattacks makes them wherever its definition is the reading's.

Source: Goodfellow, Shlens, Szegedy (2015), "Explaining and harnessing adversarial examples".
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torchattacks

from sdd_eval.evaluators.gradients import StableGradient, full_float32, is_zero

ROUNDING = 1e-6


class Space:
    """The standardised space of some constants, and steps in it or in pixels."""

    def __init__(self, mean: Sequence[float], std: Sequence[float], device: str) -> None:
        """Mean and std per channel."""
        self.device = device
        self._sizes: dict[tuple[float, ...], torch.Tensor] = {}
        self.mean = torch.tensor(mean, dtype=torch.float32, device=device).view(-1, 1, 1)
        self.std = torch.tensor(std, dtype=torch.float32, device=device).view(-1, 1, 1)

    def sizes(self, reading: str, epsilons: Sequence[float]) -> torch.Tensor:
        """ε in pixels of [0, 1], (sizes, 1, channels or 1, 1, 1)."""
        sizes = self._epsilons(epsilons)
        return sizes if reading == "pixel" else sizes * self.std

    def moved(
        self, reading: str, pixels: torch.Tensor, direction: torch.Tensor, epsilons: Sequence[float]
    ) -> torch.Tensor:
        """A step along the signs of any direction, clipped as the reading clips it."""
        if reading == "authors":
            return self._as_authors(pixels, direction.sign(), self._epsilons(epsilons))
        return (pixels + self.sizes(reading, epsilons) * direction.sign()).clamp(0, 1)

    def outside(
        self, reading: str, pixels: torch.Tensor, moved: torch.Tensor, epsilons: Sequence[float]
    ) -> torch.Tensor:
        """How many values of each image (n,) left the ball or, but for the authors', [0, 1]."""
        inside = (moved - pixels).abs() <= self.sizes(reading, epsilons) + ROUNDING
        if reading != "authors":
            inside &= (moved >= 0) & (moved <= 1)
        return (~inside).transpose(0, 1).flatten(1).sum(dim=1)

    def _epsilons(self, epsilons: Sequence[float]) -> torch.Tensor:
        key = tuple(epsilons)
        if key not in self._sizes:  # a copy to the device is waited for: once is enough
            values = torch.tensor(key, dtype=torch.float32, device=self.device)
            self._sizes[key] = values.view(-1, 1, 1, 1, 1)
        return self._sizes[key]

    def _as_authors(
        self, pixels: torch.Tensor, signs: torch.Tensor, epsilons: torch.Tensor
    ) -> torch.Tensor:
        """x' = x + clip(clip(x + ε sign g, 0, 1) − x, −ε, ε) on standardised x.

        The inner clip, meant for pixels, moves the image itself: that is how they ran it.
        """
        standardised = (pixels - self.mean) / self.std
        clipped = (standardised + epsilons * signs).clamp(0, 1)
        # Added in pixels: a value that stays, stays exactly.
        return pixels + (clipped - standardised).clamp(-epsilons, epsilons) * self.std


class Victim(torch.nn.Module):
    """What torchattacks sees: logits / T of a network, with the stable gradient behind them.

    `labels` and `temperature` are set before each attack; `without_gradient` (n,) says after it
    which images had a gradient of zero everywhere.
    """

    labels: torch.Tensor
    without_gradient: torch.Tensor

    def __init__(self, model: torch.nn.Module) -> None:
        """A network in eval mode, which it is left in."""
        super().__init__()
        self.model = model
        self.temperature = 1.0
        self.eval()  # torchattacks would put it back into train mode otherwise

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logits (n, classes) of pixels that the gradient is asked for."""
        pixels.register_hook(self._notice)  # type: ignore[no-untyped-call]
        scaled = self.model(pixels) / self.temperature
        logits: torch.Tensor = StableGradient.apply(scaled, self.labels)
        return logits

    def _notice(self, gradient: torch.Tensor) -> None:
        self.without_gradient = is_zero(gradient)


class StableFgsm:
    """`torchattacks.FGSM` on a `Victim`, with one gradient for all sizes of a step."""

    def __init__(self, model: torch.nn.Module, device: str) -> None:
        """An attack on a network; one is enough for many batches."""
        self.victim = Victim(model)
        on_device = torch.nn.ParameterList([torch.empty(0, device=device)])
        self.attack = torchattacks.FGSM(on_device)
        # torchattacks 3.5 remembers whatever is set on an attack for ever and compares it with
        # what is set later: no network would be freed, and a second tensor for ε raises.
        vars(self.attack)["model"] = self.victim

    def __call__(
        self, pixels: torch.Tensor, labels: torch.Tensor, sizes: torch.Tensor, temperature: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Images (sizes, n, …) against the labels, and whether each had a gradient of zero (n,).

        `sizes` is ε in pixels, (sizes, 1, channels or 1, 1, 1).
        """
        self.victim.labels, self.victim.temperature = labels, temperature
        vars(self.attack)["eps"] = sizes
        with torch.enable_grad(), full_float32():
            moved: torch.Tensor = self.attack(pixels, labels)
        return moved, self.victim.without_gradient
