"""Images of a one-step L∞ attack, in the three variants of FGSM.

Images attacked with several step sizes ε at once have the shape (sizes, n, channels, side, side).
The variants `standardised` and `pixel` produce the same images as `torchattacks.FGSM`.

Source: Goodfellow, Shlens, Szegedy (2015), "Explaining and harnessing adversarial examples".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from sdd_eval.arrays import Array, Arrays, joined
from sdd_eval.data.images import to_device
from sdd_eval.evaluators import pictures
from sdd_eval.evaluators.adversarial.fgsm import FgsmAttack
from sdd_eval.evaluators.adversarial.threat import ROUNDING, Temperature
from sdd_eval.evaluators.gradients import Loss, input_gradients, is_zero, plain_loss, stable_loss
from sdd_eval.evaluators.subject import Subject


class Space:
    """The standardised space defined by some constants, and steps in it or in pixels."""

    def __init__(self, mean: Sequence[float], std: Sequence[float], device: str) -> None:
        self.device = device
        self._sizes: dict[tuple[float, ...], torch.Tensor] = {}
        self.mean = torch.tensor(mean, dtype=torch.float32, device=device).view(-1, 1, 1)
        self.std = torch.tensor(std, dtype=torch.float32, device=device).view(-1, 1, 1)

    def sizes(self, variant: str, epsilons: Sequence[float]) -> torch.Tensor:
        """Return ε in the pixel range [0, 1], (sizes, 1, channels or 1, 1, 1)."""
        sizes = self._epsilons(epsilons)
        return sizes if variant == "pixel" else sizes * self.std

    def step(
        self, variant: str, pixels: torch.Tensor, direction: torch.Tensor, epsilons: Sequence[float]
    ) -> torch.Tensor:
        """Return pixels after a step along the signs of a direction, clipped as in the variant.

        For `authors`, x' = x + clip(clip(x + ε sign g, 0, 1) − x, −ε, ε) on standardised x: the
        inner clip, intended for pixels, alters the image itself, as in the authors' code.
        """
        if variant != "authors":
            return (pixels + self.sizes(variant, epsilons) * direction.sign()).clamp(0, 1)
        sizes, standardised = self._epsilons(epsilons), (pixels - self.mean) / self.std
        clipped = (standardised + sizes * direction.sign()).clamp(0, 1)
        # Add in pixel space, so that an unchanged value stays exactly the same.
        return pixels + (clipped - standardised).clamp(-sizes, sizes) * self.std

    def outside(
        self, variant: str, pixels: torch.Tensor, attacked: torch.Tensor, epsilons: Sequence[float]
    ) -> torch.Tensor:
        """Return the number of values of each image (n,) outside the ball or [0, 1].

        The variant `authors` is not confined to [0, 1].
        """
        inside = (attacked - pixels).abs() <= self.sizes(variant, epsilons) + ROUNDING
        if variant != "authors":
            inside &= (attacked >= 0) & (attacked <= 1)
        return (~inside).transpose(0, 1).flatten(1).sum(dim=1)

    def _epsilons(self, epsilons: Sequence[float]) -> torch.Tensor:
        key = tuple(epsilons)
        if key not in self._sizes:  # copying to the device synchronises, so do it once
            values = torch.tensor(key, dtype=torch.float32, device=self.device)
            self._sizes[key] = values.view(-1, 1, 1, 1, 1)
        return self._sizes[key]


#: The step sizes of each attack.
Sizes = Mapping[FgsmAttack, Sequence[float]]
LOSSES: Mapping[str, Loss] = {"stable": stable_loss, "float32": plain_loss}


def predictions_under_attack(
    subject: Subject,
    sizes: Sizes,
    constants: tuple[Sequence[float], Sequence[float]],
    fitted: float,
) -> Arrays:
    """Return `predicted` (images, epsilon) and `zero_gradient` (images,) for each attack.

    Also return `predicted` (images,) for random controls, whose `gradient` is "random".

    The random signs do not depend on the batch size. `constants` are the mean and std of the
    standardised space, and `fitted` is the temperature of attacks whose `temperature` is "fitted".
    Raise RuntimeError if an attacked image is outside its ball or the box [0, 1].
    """
    space = Space(*constants, subject.device)
    attacker = Attacker(subject.model, sizes, space, {1.0: 1.0, "fitted": fitted})
    generator = subject.generator("fgsm random signs")
    parts: list[Arrays] = []  # on the device, to avoid synchronising before the last batch
    subject.progress.start("attacked images", len(subject.indices()))
    for pixels, labels, rows in subject.labelled_pixels():
        attack = partial(attacker.arrays, pixels, labels, random_signs(pixels, generator))
        parts.append(subject.stored(f"images from {rows.start}", attack))
        subject.progress.advance(len(pixels))
    arrays = joined(parts)
    for attack_of in sizes:
        check_inside(attack_of.variant, arrays.where(**attack_of.at)["outside"])
    kind = np.min_scalar_type(subject.spec.classes)  # the smallest type that holds all classes
    predictions = Arrays(
        replace(entry, values=entry.read().astype(kind)) if entry.name == "predicted" else entry
        for entry in arrays.entries
        if entry.name != "outside"
    )
    return predictions | _pictures(subject, attacker)


def _pictures(subject: Subject, attacker: Attacker) -> Arrays:
    """Return pictures of the first test image, clean and under each variant at the first ε."""
    if not subject.pictures:
        return Arrays()
    pixels, rows, labels = pictures.first_image(subject)
    show = partial(pictures.of_pixels, subject, "attack", rows=rows, labels=labels)
    arrays = show(pictures.CLEAN, pixels)
    plain = {a: sizes[:1] for a, sizes in attacker.sizes.items() if is_plain(a)}
    for attack, attacked, _ in replace(attacker, sizes=plain).attacked(
        pixels, to_device(labels, subject.device)
    ):
        arrays |= show(f"FGSM ε {plain[attack][0]:g}, {attack.variant}", attacked[0])
    return arrays


def is_plain(attack: FgsmAttack) -> bool:
    """Return whether an attack uses exact gradients of the unmodified network."""
    return attack.gradient == "stable" and attack.temperature == 1.0


def random_signs(pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return random signs, +1 or −1, in the shape of the pixels."""
    coins = torch.randint(0, 2, pixels.shape, generator=generator, dtype=torch.int8)
    return to_device(coins.numpy(), str(pixels.device)).to(pixels) * 2 - 1


def check_inside(variant: str, outside: NDArray[np.int64]) -> None:
    """Raise RuntimeError if any image has values outside its ball or box, given their counts."""
    if outside.any():
        raise RuntimeError(f"{outside.sum()} values of the {variant} attack left its box or ball")


@dataclass(frozen=True)
class Attacker:
    """All FGSM attacks, batch by batch."""

    model: torch.nn.Module
    sizes: Sizes
    space: Space
    temperatures: Mapping[Temperature, float]

    def arrays(self, pixels: torch.Tensor, labels: torch.Tensor, signs: torch.Tensor) -> Arrays:
        """Return the arrays of one batch; `signs` are those of the controls."""
        arrays: list[Array] = []
        for attack, attacked, no_gradient in self.attacked(pixels, labels):
            sizes = self.sizes[attack]
            predicted, axes = self._predicted(attacked), ("images", "epsilon")
            outside = self.space.outside(attack.variant, pixels, attacked, sizes)
            arrays += [
                Array("predicted", predicted, axes, attack.at, {"epsilon": sizes}),
                Array("zero_gradient", no_gradient, at=attack.at),
                Array("outside", outside, at=attack.at),
            ]
        for variant, epsilon in {a.variant: sizes[0] for a, sizes in self.sizes.items()}.items():
            attacked = self.space.step(variant, pixels, signs, [epsilon])
            at = {"variant": variant, "gradient": "random"}
            arrays.append(Array("predicted", self._predicted(attacked)[:, 0], at=at))
        return Arrays(arrays)

    def attacked(
        self, pixels: torch.Tensor, labels: torch.Tensor
    ) -> Iterator[tuple[FgsmAttack, torch.Tensor, torch.Tensor]]:
        """Yield each attack with its images (sizes, n, …) and their zero gradients (n,).

        The labels of the variant `authors` are the network's own predictions.
        """
        for of_authors, targets in ((True, None), (False, labels)):
            attacks = [a for a in self.sizes if (a.variant == "authors") is of_authors]
            kinds = list(dict.fromkeys((a.gradient, a.temperature) for a in attacks))
            losses = [(LOSSES[gradient], self.temperatures[t]) for gradient, t in kinds]
            gradients = input_gradients(self.model, pixels, losses, targets)
            gradient_of = dict(zip(kinds, gradients, strict=True))
            for attack in attacks:
                gradient = gradient_of[attack.gradient, attack.temperature]
                moved = self.space.step(attack.variant, pixels, gradient, self.sizes[attack])
                yield attack, moved, is_zero(gradient)

    def _predicted(self, attacked: torch.Tensor) -> torch.Tensor:
        """Return predictions (n, sizes) of attacked images (sizes, n, …)."""
        with torch.inference_mode():
            return torch.stack([self.model(images).argmax(dim=1) for images in attacked], dim=1)
