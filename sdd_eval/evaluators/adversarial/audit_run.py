"""Run the attacks of an audit over a subject's images, from the smallest ball to the largest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from sdd_eval.device import full_float32
from sdd_eval.evaluators.adversarial.attack_run import batches, clean, path_columns
from sdd_eval.evaluators.adversarial.attacked_network import (
    AttackedNetwork,
    LogitGradient,
    LossGradient,
    margin_gradient,
)
from sdd_eval.evaluators.adversarial.audit import BY_CROSS_ENTROPY, EPSILONS, Audit
from sdd_eval.evaluators.adversarial.gradients import logit_gradient
from sdd_eval.evaluators.adversarial.threat import Threat
from sdd_eval.evaluators.adversarial.torchattacks_wrapper import Draw, runner
from sdd_eval.evaluators.adversarial.worst_case import Kept, Part, worst_case

if TYPE_CHECKING:
    from sdd_eval.evaluators.subject import Arrays, ComparedNetwork, Subject

LOSSES: Mapping[str, LogitGradient] = {"ce": logit_gradient, "margin": margin_gradient}


def audited(
    subject: Subject, audit: Audit, other: ComparedNetwork | None, validation_set: str
) -> Arrays:
    """The arrays of `Audit.collect`."""
    found = clean(subject, validation_set)
    temperatures = {"one": 1.0, "fitted": float(found["temperature"][0])}
    paths = {
        name: AttackedNetwork(subject.model, subject.device, temperature)
        for name, temperature in temperatures.items()
    }
    source = None
    if other is not None:
        source = AttackedNetwork(other.network(subject.device), subject.device)
    columns: dict[str, list[NDArray[Any]]] = defaultdict(list)
    subject.progress.start("audited images", len(found["right"]) * len(EPSILONS))
    for index, (pixels, labels, rows) in enumerate(batches(subject)):
        for name, path in paths.items():
            checked = path_columns(path, pixels, labels, found["logits"][rows])
            for key, values in checked.items():
                columns[f"{key}_{name}"].append(values)
        if source is not None:
            columns["right_compared"].append(_is_right(source, pixels, labels))
        right = torch.from_numpy(found["right"][rows]).to(pixels.device)
        battery = _Battery(subject, audit, paths, source, Draw(subject.seed, index, subject.device))
        for name, table in battery.tables(pixels, labels, right).items():
            columns[f"survives_{name}"].append(table)
    del found["logits"], found["channels"]
    return found | {name: np.concatenate(parts) for name, parts in columns.items()}


def _is_right(network: torch.nn.Module, pixels: torch.Tensor, labels: torch.Tensor) -> Any:
    """Whether another network classifies clean images rightly (n,)."""
    with torch.inference_mode(), full_float32():
        return (network(pixels).argmax(dim=1) == labels).cpu().numpy()


class _Battery:
    """All attacks on one batch."""

    def __init__(
        self,
        subject: Subject,
        audit: Audit,
        paths: Mapping[str, AttackedNetwork],
        source: AttackedNetwork | None,
        draw: Draw,
    ) -> None:
        self.subject, self.audit, self.paths = subject, audit, paths
        self.source, self.draw = source, draw

    def tables(
        self, pixels: torch.Tensor, labels: torch.Tensor, right: torch.Tensor
    ) -> dict[str, NDArray[np.bool_]]:
        """What each attack leaves right (n, sizes); a ball holds all smaller ones."""
        left: dict[str, torch.Tensor] = {}
        columns: dict[str, list[torch.Tensor]] = defaultdict(list)
        for epsilon in EPSILONS:
            for name, parts in self._attacks(epsilon).items():
                # FGSM is one step of this size, whatever a smaller one has done.
                to_attack = right if name.startswith("fgsm") else left.get(name, right)
                kept = self._kept(f"{name} {epsilon}")
                outcome = worst_case(self.subject.model, parts, pixels, labels, to_attack, kept)
                left[name] = outcome.survives
                columns[name].append(outcome.survives)
            self.subject.progress.advance(len(pixels), f"ε = {epsilon * 255:g}/255")
        return {name: torch.stack(each, dim=1).cpu().numpy() for name, each in columns.items()}

    def _kept(self, of: str) -> Kept:
        """Where the parts of one attack at one size are kept."""
        return lambda part, run: self.subject.kept(f"batch {self.draw.batch} {of} {part}", run)

    def _attacks(self, epsilon: float) -> dict[str, list[Part]]:
        """The parts of each attack and temperature at one size."""
        found: dict[str, list[Part]] = {}
        for name, path in self.paths.items():
            fgsm = Threat("FGSM", "Linf", {"eps": epsilon})
            each = {
                "fgsm": [self._part(fgsm, path, "ce")],
                "pgd_ce": self._pgd(path, epsilon, "ce"),
            }
            found |= {f"{attack}_{name}": each[attack] for attack in BY_CROSS_ENTROPY}
        one = self.paths["one"]
        found["pgd_margin_one"] = self._pgd(one, epsilon, "margin")
        found["square_one"] = [self._part(self._square(epsilon), one, "ce")]
        if self.source is not None:
            both = [part for loss in LOSSES for part in self._pgd(self.source, epsilon, loss, 1)]
            found["transfer_one"] = both
        return found

    def _pgd(
        self, path: AttackedNetwork, epsilon: float, loss: str, restarts: int | None = None
    ) -> list[Part]:
        """PGD by a loss, one part a start; 2.5 ε over all steps reaches every corner of the ball.

        Source: Madry et al. (2018), "Towards deep learning models resistant to adversarial
        attacks".
        """
        steps = self.audit.steps
        values = {"eps": epsilon, "alpha": 2.5 * epsilon / steps, "steps": steps}
        threat = Threat("PGD", "Linf", {**values, "random_start": True})
        starts = range(restarts or self.audit.restarts)
        return [self._part(threat, path, loss, start) for start in starts]

    def _square(self, epsilon: float) -> Threat:
        values = {"norm": "Linf", "eps": epsilon, "n_queries": self.audit.queries}
        return Threat("Square", "Linf", {**values, "loss": "margin", "resc_schedule": False})

    def _part(self, threat: Threat, path: AttackedNetwork, loss: str, start: int = 0) -> Part:
        """One attack; its random numbers are of its name, loss, size and start."""
        purpose = f"audit {threat.attack} {loss} {threat.epsilon} {start}"
        gradient = LossGradient(LOSSES[loss])
        run = runner(threat, path, self.draw.of(purpose), self.draw.device, gradient)
        return Part(threat.attack, threat, run)
