"""Attacks of torchattacks on a network, AutoAttack, and the worst case over several attacks.

Attacks are those defined by torchattacks. While an attack runs, the gradient of its cross-entropy
at the logits is replaced by the stable one of `gradients.py` or by that of the margin.

AutoAttack is the standard version of Croce, Hein (2020), "Reliable evaluation of adversarial
robustness with an ensemble of diverse parameter-free attacks". The ensemble of the same name in
torchattacks runs 10 steps instead of 100 and targets a configurable number of classes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
import torchattacks
from numpy.typing import NDArray

from sdd_eval.device import full_float32
from sdd_eval.errors import InputError, one_line
from sdd_eval.evaluators.adversarial.threat import (
    AUTOATTACK,
    ENSEMBLE,
    FAULTS,
    ROUNDING,
    TARGETED_CLASSES,
    Threat,
)
from sdd_eval.evaluators.gradients import LossGradient

#: If the top two logits are closer than this, predictions may depend on the order of summation.
TIE = 1e-4
#: The computational effort of AutoAttack's standard version.
STEPS, TARGETS, QUERIES = 100, TARGETED_CLASSES - 1, 5000
#: Pixels (n, channels, side, side) in [0, 1] and labels (n,) → attacked pixels.
Run = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
#: A name and a function → the function's result, or the one stored by an interrupted run.
Cache = Callable[[str, Callable[[], Mapping[str, Any]]], Mapping[str, Any]]


class AttackedNetwork(torch.nn.Module):
    """A network in eval mode that returns logits / T and counts how often its gradients are used.

    `gradients` is the number of forward passes on pixels that require a gradient.
    """

    def __init__(self, model: torch.nn.Module, device: str, temperature: float = 1.0) -> None:
        super().__init__()
        # torchattacks reads the device from the first parameter, and prints a message if there is
        # none.
        self.device_of = torch.nn.Parameter(torch.empty(0, device=device), requires_grad=False)
        self.model, self.temperature, self.gradients = model, temperature, 0
        self.training = False

    def train(self, mode: bool = True) -> AttackedNetwork:
        """Stay in eval mode: torchattacks sets the mode, which exported networks do not have."""
        return self

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return logits / T (n, classes)."""
        self.gradients += int(torch.is_grad_enabled() and pixels.requires_grad)
        logits: torch.Tensor = self.model(pixels) / self.temperature
        return logits


def check_predictions(attacked: NDArray[Any], plain: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where the predictions of an `AttackedNetwork` differ from the network's (n,).

    `attacked` and `plain` are logits (n, classes). Raise RuntimeError if a prediction differs
    although the top two plain logits are not tied.
    """
    differ: NDArray[np.bool_] = attacked.argmax(axis=1) != plain.argmax(axis=1)
    top = np.sort(plain, axis=1)[:, -2:]
    wrong = int((differ & (top[:, 1] - top[:, 0] >= TIE)).sum())
    if wrong:
        raise RuntimeError(
            f"{wrong} of {len(plain)} predictions of the attacked network differ from the plain "
            "ones; the attack's numbers would not be the network's"
        )
    return differ


@contextlib.contextmanager
def seeded(seed: int, device: str) -> Iterator[None]:
    """Seed the global generators of torch and NumPy, which torchattacks uses; restore them."""
    devices = [torch.device(device)] if device.startswith("cuda") else []
    before = np.random.get_state()
    try:
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)
            yield
    finally:
        np.random.set_state(before)


@dataclass(frozen=True)
class Part:
    """One of several attacks."""

    threat: Threat
    run: Run


def parts_of(
    threat: Threat,
    network: AttackedNetwork,
    classes: int,
    seed_of: Callable[[str], int],
    loss: LossGradient,
) -> list[Part]:
    """Return the attacks that make up a threat model, in order, each restart with its own seed.

    `classes` is the network's number of classes, `seed_of` returns the seed for a purpose, of at
    most 31 bits, and `loss` replaces the gradient of cross-entropies.
    """
    threats = _autoattack(threat, classes) if threat.attack == AUTOATTACK else [threat]
    return [
        Part(one, runner(one, network, seed_of(f"{one.attack} restart {restart}"), loss))
        for restart in range(threat.restarts)
        for one in threats
    ]


def _autoattack(threat: Threat, classes: int) -> list[Threat]:
    """Return APGD-CE, APGD-T, FAB-T and Square, in this order."""
    shared = {"norm": threat.parameters["norm"], "eps": threat.parameters["eps"], "n_restarts": 1}
    steps = {**shared, "steps": STEPS}
    targeted = {**steps, "n_classes": min(TARGETS + 1, classes)}
    square = {**shared, "n_queries": QUERIES, "p_init": 0.8, "loss": "margin"}
    parts = {
        "APGD": {**steps, "loss": "ce", "eot_iter": 1, "rho": 0.75},
        "APGDT": {**targeted, "eot_iter": 1, "rho": 0.75},
        "FAB": {**targeted, "multi_targeted": True},
        # The standard version uses the schedule for 10,000 queries and stops halfway.
        "Square": {**square, "resc_schedule": False},
    }
    return [replace(threat, attack=name, parameters=values) for name, values in parts.items()]


def runner(threat: Threat, network: AttackedNetwork, seed: int, loss: LossGradient) -> Run:
    """Return a deterministic function from pixels and labels to attacked pixels."""

    def run(pixels: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        name = "AutoAttack" if threat.attack == ENSEMBLE else threat.attack
        takes_seed = name in ("APGD", "APGDT", "FAB", "Square", "AutoAttack")
        parameters = {**threat.parameters, **({"seed": seed} if takes_seed else {})}
        with seeded(seed, str(pixels.device)), torch.enable_grad(), full_float32(), loss:
            try:
                attacked: torch.Tensor = getattr(torchattacks, name)(network, **parameters)(
                    pixels, labels
                )
            except (InputError, torch.OutOfMemoryError):
                raise
            except Exception as error:  # torchattacks may raise any error
                raise InputError(
                    f"{name} of torchattacks fails on this network: {one_line(error)}; use another "
                    "attack or other parameters"
                ) from error
        return attacked

    return run


def worst_case(
    model: torch.nn.Module,
    parts: Sequence[Part],
    pixels: torch.Tensor,
    labels: torch.Tensor,
    correct: torch.Tensor,
    cache: Cache = lambda name, compute: compute(),
) -> dict[str, torch.Tensor]:
    """Run attacks in order, each on the images that are still classified correctly.

    Return, for each image, whether it `survives` (n,), the number of the attack that it is
    `broken_by`, from 1 (0 if none), and the largest `change` of a pixel by that attack, or else by
    the last one (0 if not attacked).

    `model` makes the predictions; the attacks may use the gradients of another network. Images (n,
    channels, side, side) in [0, 1] that are not `correct` (n,) do not survive. `cache` stores the
    result of each attack. Raise RuntimeError if an attacked image is outside its ball or the box
    [0, 1].
    """
    survives = correct.clone()
    broken_by = torch.zeros_like(labels, dtype=torch.uint8)
    change = torch.zeros(len(pixels), device=pixels.device)
    for number, part in enumerate(parts, start=1):
        left = survives.nonzero().flatten()
        if not len(left):
            break
        attack = partial(_attack, model, part, pixels[left], labels[left])
        result = cache(f"part {number} {part.threat.attack}", attack)
        broken = torch.as_tensor(result["broken"], device=pixels.device)
        change[left] = torch.as_tensor(result["change"], device=pixels.device)
        survives[left[broken]] = False
        broken_by[left[broken]] = number
    return {"survives": survives, "broken_by": broken_by, "change": change}


def _attack(
    model: torch.nn.Module, part: Part, pixels: torch.Tensor, labels: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Return which images an attack breaks (n,), and the largest change of a pixel in each (n,)."""
    attacked = _checked(part, pixels, part.run(pixels, labels).detach())
    with torch.inference_mode(), full_float32():
        broken = model(attacked).argmax(dim=1) != labels
    return {"broken": broken, "change": (attacked - pixels).abs().flatten(1).amax(dim=1)}


def _checked(part: Part, pixels: torch.Tensor, attacked: torch.Tensor) -> torch.Tensor:
    """Return attacked pixels after checking that they lie in the ball and the box.

    torchattacks returns NaN where it divides a gradient of zero by its norm. Such values are set
    back to those of the clean image; the count of zero gradients reports them.
    """
    attacked = torch.where(attacked.isnan(), pixels, attacked).to(pixels.dtype)
    outside = ~((attacked >= 0) & (attacked <= 1)).flatten(1).all(dim=1)
    size, distance = part.threat.epsilon, _distance(part.threat.norm, attacked - pixels)
    if size is not None and distance is not None:
        outside |= distance > size * (1 + ROUNDING) + ROUNDING
    if outside.any():
        count, attack = int(outside.sum()), part.threat.attack
        problem = f"{count} images attacked by {attack} are outside their ball or [0, 1]"
        if attack in FAULTS:
            raise InputError(f"{problem}: {FAULTS[attack]} (torchattacks 3.5); use another attack")
        raise RuntimeError(problem)
    return attacked


def _distance(norm: str, change: torch.Tensor) -> torch.Tensor | None:
    """Return the norm of each change (n,); None for norms other than L∞, L2 and L1."""
    orders = {"Linf": torch.inf, "L2": 2, "L1": 1}
    if norm not in orders:
        return None
    size: torch.Tensor = torch.linalg.vector_norm(change.flatten(1), ord=orders[norm], dim=1)
    return size
