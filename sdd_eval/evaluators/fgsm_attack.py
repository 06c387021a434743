"""Run every variant of the attack over a subject's images and note what is predicted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from sdd_eval.data.images import on_device
from sdd_eval.evaluators.fgsm_images import Space, StableFgsm
from sdd_eval.evaluators.gradients import (
    Loss,
    is_zero,
    own_prediction_gradients,
    plain_loss,
    stable_loss,
)

if TYPE_CHECKING:
    from sdd_eval.evaluators.fgsm import Variant
    from sdd_eval.evaluators.subject import Subject

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
    truths, done = on_device(labels, subject.device), 0
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
        return on_device(coins.numpy(), str(pixels.device)).to(pixels) * 2 - 1

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
