"""The images of a one-step L∞ attack, in each of the three readings of "FGSM with ε = 0.2".

Images that are moved by several sizes ε at once are (sizes, n, channels, side, side).
torchattacks makes them wherever its definition is the reading's.

Source: Goodfellow, Shlens, Szegedy (2015), "Explaining and harnessing adversarial examples".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torchattacks
from numpy.typing import NDArray

from sdd_eval.data.images import to_device
from sdd_eval.device import full_float32
from sdd_eval.evaluators.adversarial.gradients import (
    Loss,
    StableGradient,
    is_zero,
    own_prediction_gradients,
    plain_loss,
    stable_loss,
)

if TYPE_CHECKING:
    from sdd_eval.evaluators.adversarial.fgsm import Variant
    from sdd_eval.evaluators.subject import Subject

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


Columns = Iterator[tuple[str, torch.Tensor]]
Plan = Mapping["Variant", Sequence[float]]
LOSSES: Mapping[str, Loss] = {"stable": stable_loss, "float32": plain_loss}


def predictions_under_attack(
    subject: Subject, labels: NDArray[np.int64], plan: Plan, space: Space, fitted: float
) -> dict[str, NDArray[Any]]:
    """Predictions (n, sizes) and images without gradient (n,) of each variant; random controls.

    `plan` gives the sizes ε of each variant, `fitted` the temperature of the variants that have
    one. Random signs come one after the other, whatever the size of a batch.
    """
    attacker = Attacker(subject, plan, space, {"one": 1.0, "fitted": fitted})
    # Filled in place, on the device: nothing waits for a copy before the last batch is through.
    columns: dict[str, torch.Tensor] = {}
    subject.progress.start("attacked images", len(labels))
    truths, done = to_device(labels, subject.device), 0
    for pixels in subject.pixels():
        rows = slice(done, done + len(pixels))
        attack = partial(attacker.columns, pixels, truths[rows], attacker.random_signs(pixels))
        for name, values in subject.kept(f"images from {done}", attack).items():
            found = torch.as_tensor(values, device=pixels.device)
            if name not in columns:
                columns[name] = found.new_empty(len(labels), *found.shape[1:])
            columns[name][rows] = found
        done = rows.stop
        subject.progress.advance(len(pixels))
    arrays = {name: values.cpu().numpy() for name, values in columns.items()}
    for variant in plan:
        refuse_outside(variant.reading, arrays.pop(f"outside_{variant.column}"))
    return arrays


def refuse_outside(reading: str, outside: NDArray[np.int64]) -> None:
    """Say whether an attack left its box or ball, by so many values of each image (n,).

    Raises:
        RuntimeError: a value was outside.
    """
    if outside.any():
        raise RuntimeError(f"{outside.sum()} values of the {reading} attack left its box or ball")


class Attacker:
    """All variants on one batch after the other."""

    def __init__(
        self, subject: Subject, plan: Plan, space: Space, temperatures: Mapping[str, float]
    ) -> None:
        """What to attack, how, and what logits are divided by under each name."""
        self.model, self.plan, self.space = subject.model, plan, space
        self.temperatures = temperatures
        self.stable_fgsm = StableFgsm(subject.model, subject.device)
        self.generator = subject.generator("fgsm random signs")

    def random_signs(self, pixels: torch.Tensor) -> torch.Tensor:
        """The next signs, +1 or −1 for each value of some pixels."""
        coins = torch.randint(0, 2, pixels.shape, generator=self.generator, dtype=torch.int8)
        return to_device(coins.numpy(), str(pixels.device)).to(pixels) * 2 - 1

    def columns(
        self, pixels: torch.Tensor, labels: torch.Tensor, signs: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """The arrays of one batch, by name; `signs` are those of the controls."""
        return dict(self._columns(pixels, labels, signs))

    def _columns(self, pixels: torch.Tensor, labels: torch.Tensor, signs: torch.Tensor) -> Columns:
        for variant, moved, no_gradient in self._attacks(pixels, labels):
            outside = self.space.outside(variant.reading, pixels, moved, self.plan[variant])
            yield f"outside_{variant.column}", outside
            yield f"predicted_{variant.column}", self._predicted(moved)
            yield f"zero_gradient_{variant.column}", no_gradient
        yield from self._random_controls(pixels, signs)

    def _attacks(
        self, pixels: torch.Tensor, labels: torch.Tensor
    ) -> Iterator[tuple[Variant, torch.Tensor, torch.Tensor]]:
        """Each variant with its images (sizes, n, …) and which had no gradient (n,)."""
        yield from self._authors(pixels)
        for variant, epsilons in self.plan.items():
            if variant.reading != "authors":
                sizes = self.space.sizes(variant.reading, epsilons)
                temperature = self.temperatures[variant.temperature]
                yield variant, *self.stable_fgsm(pixels, labels, sizes, temperature)

    def _authors(
        self, pixels: torch.Tensor
    ) -> Iterator[tuple[Variant, torch.Tensor, torch.Tensor]]:
        """The variants whose labels are the network's own predictions."""
        variants = [variant for variant in self.plan if variant.reading == "authors"]
        losses = [(LOSSES[v.gradient], self.temperatures[v.temperature]) for v in variants]
        gradients = own_prediction_gradients(self.model, pixels, losses) if losses else []
        for variant, gradient in zip(variants, gradients, strict=True):
            moved = self.space.moved("authors", pixels, gradient, self.plan[variant])
            yield variant, moved, is_zero(gradient)

    def _random_controls(self, pixels: torch.Tensor, signs: torch.Tensor) -> Columns:
        """The same steps along random signs, at each reading's first size."""
        for reading, epsilon in {v.reading: sizes[0] for v, sizes in self.plan.items()}.items():
            moved = self.space.moved(reading, pixels, signs, [epsilon])
            yield f"predicted_{reading}_random", self._predicted(moved)[:, 0]

    def _predicted(self, moved: torch.Tensor) -> torch.Tensor:
        """Classes (n, sizes) of moved images (sizes, n, …)."""
        with torch.inference_mode():
            return torch.stack([self.model(images).argmax(dim=1) for images in moved], dim=1)
