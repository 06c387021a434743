"""Run an attack, or the attacks of an audit, on a subject's images, at T = 1 and a fitted T."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sdd_eval.arrays import Array, Arrays, joined
from sdd_eval.checkpoints.checkpoint import Checkpoint
from sdd_eval.device import full_float32
from sdd_eval.evaluators.adversarial.threat import (
    BY_CROSS_ENTROPY,
    EPSILONS,
    GRADIENTS,
    TEMPERATURES,
    Effort,
    Temperature,
    Threat,
)
from sdd_eval.evaluators.adversarial.torchattacks_wrapper import (
    STANDARD,
    AttackedNetwork,
    BatchSeed,
    Budget,
    Part,
    check_predictions,
    logits_and_zero_gradients,
    parts_of,
    runner,
    worst_case,
)
from sdd_eval.evaluators.gradients import (
    LogitGradient,
    LossGradient,
    logit_gradient,
    margin_gradient,
)
from sdd_eval.evaluators.subject import Subject
from sdd_eval.evaluators.temperature import temperature_of

#: An attack of an audit, and the temperature of the network that it attacks.
AttackAt = tuple[str, Temperature]
LOSSES: Mapping[str, LogitGradient] = {"ce": logit_gradient, "margin": margin_gradient}


def clean(subject: Subject, validation_set: str = "") -> tuple[NDArray[np.float32], Arrays]:
    """Return the logits (n, classes) of the clean images, and `right` (images,) bool.

    Facts are the fitted `temperature`, the number of `channels`, and `held_out` if the temperature
    is fitted on a validation set. Raise InputError for images without labels, or a NaN logit.
    """
    labels = subject.labels()
    with full_float32():
        logits = subject.logits(label="clean images")
    facts = {"held_out": True} if validation_set else {}
    fitted = temperature_of(subject, validation_set, logits, labels)
    right = Array("right", logits.argmax(axis=1) == labels)
    return logits, Arrays([right], temperature=fitted, channels=subject.spec.channels, **facts)


def under_attack(
    subject: Subject,
    threat: Threat,
    logits: NDArray[np.float32],
    arrays: Arrays,
    budget: Budget = STANDARD,
) -> Arrays:
    """Return the results of an attack, each (images,), at T = 1 and at the fitted temperature.

    `survives`, `broken_by` (number of the part, from 1), `change` (of the range [0, 1]), and those
    of `checks_of`; and the fact `cross_entropy`, whether it is the attack's loss. An attack without
    gradients is run at T = 1 only. `logits` and `arrays` are those of `clean`.
    """
    results, uses = _at_temperature(subject, threat, logits, arrays, 1.0, budget)
    if uses.gradients:
        results |= _at_temperature(subject, threat, logits, arrays, "fitted", budget)[0]
    return results | Arrays(cross_entropy=uses.cross_entropy)


class _Uses:
    """Whether an attack uses gradients, and those of the cross-entropy; stored with its results."""

    def __init__(self, subject: Subject, network: AttackedNetwork, loss: LossGradient) -> None:
        self.subject, self.network, self.loss = subject, network, loss
        self.gradients = self.cross_entropy = False

    def cached(self, batch: str, part: str, compute: Callable[[], Mapping[str, Any]]) -> Arrays:
        """Return the result of a part of an attack on a batch, computed or stored."""

        def computed() -> Arrays:
            self.network.gradients, self.loss.used = 0, False
            result = compute()
            used = {"gradients": self.network.gradients > 0, "cross_entropy": self.loss.used}
            return Arrays.of(result, **used)

        result = self.subject.stored(f"{batch} {part}", computed)
        self.gradients |= result.facts["gradients"]
        self.cross_entropy |= result.facts["cross_entropy"]
        return result


def _at_temperature(
    subject: Subject,
    threat: Threat,
    logits: NDArray[np.float32],
    arrays: Arrays,
    temperature: Temperature,
    budget: Budget,
) -> tuple[Arrays, _Uses]:
    """Return the results at one temperature, and what the attack uses."""
    divisor = arrays.facts["temperature"] if temperature == "fitted" else temperature
    network, right = AttackedNetwork(subject.model, subject.device, divisor), arrays["right"]
    subject.progress.start(f"{threat.attack} at T = {divisor:.3g}", len(right))
    loss = LossGradient()
    uses = _Uses(subject, network, loss)
    results = []
    for index, (pixels, labels, rows) in enumerate(batches(subject)):
        checks = checks_of(network, pixels, labels, logits[rows])
        seed = BatchSeed(subject.seed, index, subject.device)
        parts = parts_of(threat, network, subject.spec.classes, seed, loss, budget)
        correct = torch.from_numpy(right[rows]).to(pixels.device)
        cache = partial(uses.cached, f"batch {index} at T {temperature}")
        result = worst_case(subject.model, parts, pixels, labels, correct, cache)
        broken_by = Array("broken_by", result.broken_by.to(torch.uint8))
        values = [Array("survives", result.survives), broken_by, Array("change", result.change)]
        results.append(checks | Arrays(values))
        subject.progress.advance(len(pixels))
    return joined(results).at(temperature=temperature), uses


def batches(subject: Subject) -> Iterator[tuple[torch.Tensor, torch.Tensor, slice]]:
    """Yield pixels (n, channels, side, side), labels (n,) and the rows of each batch."""
    labels, done = torch.from_numpy(subject.labels()), 0
    for pixels in subject.pixels():
        rows = slice(done, done + len(pixels))
        yield pixels, labels[rows].to(pixels.device), rows
        done = rows.stop


def checks_of(
    network: AttackedNetwork, pixels: torch.Tensor, labels: torch.Tensor, plain: NDArray[Any]
) -> Arrays:
    """Return the checks of a batch before it is attacked; raise RuntimeError if one fails.

    `path_differs` and, with the `gradient` "stable" and "float32", `zero_gradient`, (images,) bool.
    """
    logits, *zeros = logits_and_zero_gradients(network, pixels, labels)
    differs = Array("path_differs", check_predictions(logits.cpu().numpy(), plain))
    gradients = zip(GRADIENTS, zeros, strict=True)
    return Arrays([differs, *(Array("zero_gradient", z, at={"gradient": g}) for g, z in gradients)])


def audited(
    subject: Subject, effort: Effort, other: Checkpoint | None, validation_set: str
) -> Arrays:
    """Return the arrays of `Audit.collect`; `other` is the network that attacks transfer from."""
    logits, arrays = clean(subject, validation_set)
    right, fitted = arrays["right"], arrays.facts["temperature"]
    networks: dict[Temperature, AttackedNetwork] = {
        temperature: AttackedNetwork(
            subject.model, subject.device, fitted if temperature == "fitted" else temperature
        )
        for temperature in TEMPERATURES
    }
    source = None
    if other is not None:
        source = AttackedNetwork(other.network(subject.device), subject.device)
    subject.progress.start("audited images", len(right) * len(EPSILONS))
    results = []
    for index, (pixels, labels, rows) in enumerate(batches(subject)):
        correct = torch.from_numpy(right[rows]).to(pixels.device)
        seed = BatchSeed(subject.seed, index, subject.device)
        result = AttackSuite(subject, effort, networks, source, seed).tables(
            pixels, labels, correct
        )
        for temperature, network in networks.items():
            checks = checks_of(network, pixels, labels, logits[rows])
            result |= checks.at(temperature=temperature)
        if source is not None:
            result |= Arrays([Array("right_compared", _is_correct(source, pixels, labels))])
        results.append(result)
    return arrays | joined(results)


def _is_correct(network: torch.nn.Module, pixels: torch.Tensor, labels: torch.Tensor) -> Any:
    with torch.inference_mode(), full_float32():
        return (network(pixels).argmax(dim=1) == labels).cpu().numpy()


@dataclass(frozen=True)
class AttackSuite:
    """The attacks of an audit on one batch, from the smallest ball to the largest."""

    subject: Subject
    effort: Effort
    networks: Mapping[Temperature, AttackedNetwork]
    source: AttackedNetwork | None
    seed: BatchSeed

    def tables(self, pixels: torch.Tensor, labels: torch.Tensor, correct: torch.Tensor) -> Arrays:
        """Return which images survive each attack at each size: `survives` (images, epsilon).

        An image that is broken at one size counts as broken at all larger ones.
        """
        left: dict[AttackAt, list[torch.Tensor]] = defaultdict(list)
        for epsilon in EPSILONS:
            for at, parts in self._attacks(epsilon).items():
                # FGSM is one step of this size, independent of smaller ones.
                to_attack = correct if at[0] == "fgsm" or at not in left else left[at][-1]
                cache = partial(self._cached, f"{at[0]} at T {at[1]} {epsilon}")
                result = worst_case(self.subject.model, parts, pixels, labels, to_attack, cache)
                left[at].append(result.survives)
            self.subject.progress.advance(len(pixels), f"ε = {epsilon * 255:g}/255")
        axes, along = ("images", "epsilon"), {"epsilon": EPSILONS}
        return Arrays(
            Array(
                "survives",
                torch.stack(tables, dim=1),
                axes,
                {"attack": attack, "temperature": temperature},
                along,
            )
            for (attack, temperature), tables in left.items()
        )

    def _cached(self, attack: str, part: str, run: Callable[[], Mapping[str, Any]]) -> Any:
        return self.subject.stored(f"batch {self.seed.batch} {attack} {part}", run)

    def _attacks(self, epsilon: float) -> dict[AttackAt, list[Part]]:
        """Return the parts of each attack at one size, by attack and temperature."""
        attacks: dict[AttackAt, list[Part]] = {}
        for temperature, network in self.networks.items():
            fgsm = Threat("FGSM", "Linf", {"eps": epsilon})
            parts = {
                "fgsm": [self._part(fgsm, network, "ce")],
                "pgd_ce": self._pgd(network, epsilon, "ce"),
            }
            attacks |= {(attack, temperature): parts[attack] for attack in BY_CROSS_ENTROPY}
        one = self.networks[1.0]
        attacks["pgd_margin", 1.0] = self._pgd(one, epsilon, "margin")
        square = {"norm": "Linf", "eps": epsilon, "n_queries": self.effort.queries}
        square |= {"loss": "margin", "resc_schedule": False}
        attacks["square", 1.0] = [self._part(Threat("Square", "Linf", square), one, "ce")]
        if self.source is not None:
            both = [part for loss in LOSSES for part in self._pgd(self.source, epsilon, loss, 1)]
            attacks["transfer", 1.0] = both
        return attacks

    def _pgd(
        self, network: AttackedNetwork, epsilon: float, loss: str, restarts: int | None = None
    ) -> list[Part]:
        """Return PGD with a loss, one part a restart; its steps sum to 2.5 ε.

        Source: Madry et al. (2018), "Towards deep learning models resistant to adversarial
        attacks".
        """
        steps = self.effort.steps
        values = {"eps": epsilon, "alpha": 2.5 * epsilon / steps, "steps": steps}
        threat = Threat("PGD", "Linf", {**values, "random_start": True})
        starts = range(restarts or self.effort.restarts)
        return [self._part(threat, network, loss, start) for start in starts]

    def _part(self, threat: Threat, network: AttackedNetwork, loss: str, start: int = 0) -> Part:
        """Return one attack; its seed depends on its name, loss, size and restart."""
        purpose = f"audit {threat.attack} {loss} {threat.epsilon} {start}"
        gradient = LossGradient(LOSSES[loss])
        run = runner(threat, network, self.seed.of(purpose), self.seed.device, gradient)
        return Part(threat, run)
