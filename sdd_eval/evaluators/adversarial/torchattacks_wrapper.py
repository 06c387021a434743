"""Attacks as torchattacks makes them, and AutoAttack composed of its parts.

AutoAttack is that of Croce, Hein (2020), "Reliable evaluation of adversarial robustness with an
ensemble of diverse parameter-free attacks", in its standard version. torchattacks' ensemble of
that name makes 10 steps instead of 100 and, told the number of classes, aims at all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
import torchattacks

from sdd_eval.device import full_float32
from sdd_eval.evaluators.adversarial.attacked_network import AttackedNetwork, LossGradient, seeded
from sdd_eval.evaluators.adversarial.threat import (
    AUTOATTACK,
    ENSEMBLE,
    TARGETED_CLASSES,
    Threat,
)
from sdd_eval.evaluators.adversarial.worst_case import Part
from sdd_eval.randomness import derived_seed


@dataclass(frozen=True)
class Budget:
    """How hard AutoAttack tries; the defaults are what its name stands for."""

    steps: int = 100
    targets: int = TARGETED_CLASSES - 1
    queries: int = 5000


STANDARD = Budget()


@dataclass(frozen=True)
class Draw:
    """Where random numbers come from: one seed for each part of each batch."""

    seed: int
    batch: int
    device: str

    def of(self, purpose: str) -> int:
        """A seed for a purpose; of 31 bits, since NumPy and torchattacks take no more."""
        return derived_seed(self.seed, f"attack {purpose}", self.batch) % 2**31


def parts_of(
    threat: Threat,
    network: AttackedNetwork,
    classes: int,
    draw: Draw,
    loss: LossGradient,
    budget: Budget = STANDARD,
) -> list[Part]:
    """The attacks that a threat stands for, in order; restarts are attacks with another seed.

    `classes` is the network's number of classes, `loss` what cross-entropies are replaced by.
    """
    once = _autoattack(threat, classes, budget) if threat.attack == AUTOATTACK else [threat]
    found = []
    for restart in range(threat.restarts):
        for each in once:
            seed = draw.of(f"{each.attack} restart {restart}")
            found.append(Part(each.attack, each, runner(each, network, seed, draw.device, loss)))
    return found


def _autoattack(threat: Threat, classes: int, budget: Budget) -> list[Threat]:
    """APGD-CE, APGD-T, FAB-T and Square, in this order."""
    shared = {"norm": threat.parameters["norm"], "eps": threat.parameters["eps"], "n_restarts": 1}
    steps = {**shared, "steps": budget.steps}
    targeted = {**steps, "n_classes": min(budget.targets + 1, classes)}
    square = {**shared, "n_queries": budget.queries, "p_init": 0.8, "loss": "margin"}
    each = {
        "APGD": {**steps, "loss": "ce", "eot_iter": 1, "rho": 0.75},
        "APGDT": {**targeted, "eot_iter": 1, "rho": 0.75},
        "FAB": {**targeted, "multi_targeted": True},
        # The standard version keeps the schedule of 10,000 queries, and stops it half way.
        "Square": {**square, "resc_schedule": False},
    }
    return [replace(threat, attack=name, parameters=values) for name, values in each.items()]


def runner(
    threat: Threat, network: AttackedNetwork, seed: int, device: str, loss: LossGradient
) -> Any:
    """A function from pixels and labels to attacked pixels, the same at every call."""

    def run(pixels: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        name = "AutoAttack" if threat.attack == ENSEMBLE else threat.attack
        kind = getattr(torchattacks, name)
        takes_seed = name in ("APGD", "APGDT", "FAB", "Square", "AutoAttack")
        given = {**threat.parameters, **({"seed": seed} if takes_seed else {})}
        with seeded(seed, device), torch.enable_grad(), full_float32(), loss:
            moved: torch.Tensor = kind(network, **given)(pixels, labels)
        return moved

    return run
