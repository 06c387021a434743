"""Run an attack, or the attacks of an audit, on a subject's images, at T = 1 and a fitted T."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sdd_eval.arrays import Array, Arrays, joined
from sdd_eval.checkpoints.checkpoint import Checkpoint
from sdd_eval.data.images import to_device
from sdd_eval.device import full_float32
from sdd_eval.errors import InputError
from sdd_eval.evaluators import pictures
from sdd_eval.evaluators.adversarial.audit import Audit
from sdd_eval.evaluators.adversarial.threat import (
    BY_CROSS_ENTROPY,
    EPSILONS,
    GRADIENTS,
    TEMPERATURES,
    Temperature,
    Threat,
)
from sdd_eval.evaluators.adversarial.torchattacks_wrapper import (
    AttackedNetwork,
    Part,
    check_predictions,
    parts_of,
    runner,
    worst_case,
)
from sdd_eval.evaluators.gradients import (
    LogitGradient,
    LossGradient,
    is_zero,
    logit_gradient,
    margin_gradient,
    plain_loss,
    stable_loss,
)
from sdd_eval.evaluators.subject import Subject
from sdd_eval.evaluators.temperature import temperature_of
from sdd_eval.randomness import derived_seed

#: An attack of an audit, and the temperature of the attacked network.
AttackAt = tuple[str, Temperature]
LOSSES: Mapping[str, LogitGradient] = {"ce": logit_gradient, "margin": margin_gradient}


def clean(subject: Subject, validation_set: str = "") -> tuple[NDArray[np.float32], Arrays]:
    """Return the logits (n, classes) of the clean images, and `right` (images,) bool.

    The facts are the fitted `temperature`, the number of `channels`, and `held_out` if the
    temperature is fitted on a validation set. Raise InputError if labels are missing or a logit is
    NaN.
    """
    labels = subject.labels()
    with full_float32():
        logits = subject.logits(label="clean images")
    facts = {"held_out": True} if validation_set else {}
    fitted = temperature_of(subject, validation_set, logits, labels)
    right = Array("right", logits.argmax(axis=1) == labels)
    return logits, Arrays([right], temperature=fitted, channels=subject.spec.channels, **facts)


def under_attack(
    subject: Subject, threat: Threat, logits: NDArray[np.float32], arrays: Arrays
) -> Arrays:
    """Return the results of an attack, each (images,), at T = 1 and at the fitted temperature.

    The arrays are `survives`, `broken_by` (number of the part, from 1), `change` (on the pixel
    range [0, 1]), and those of `checks_of`; the fact `cross_entropy` states whether cross-entropy
    is the attack's loss. An attack without gradients is run at T = 1 only. `logits` and `arrays`
    are those returned by `clean`.
    """
    results, uses = _at_temperature(subject, threat, logits, arrays, 1.0)
    if uses.gradients:
        results |= _at_temperature(subject, threat, logits, arrays, "fitted")[0]
    network, loss = _network(subject, arrays, 1.0), LossGradient()
    seed_of = partial(attack_seed, subject.seed, 0)
    first, *_ = parts_of(threat, network, subject.spec.classes, seed_of, loss)
    return results | Arrays(cross_entropy=uses.cross_entropy) | _pictures(subject, [first])


def _pictures(subject: Subject, parts: Sequence[Part]) -> Arrays:
    """Return pictures of the first test image, clean and under each attack that can run on it."""
    if not subject.pictures:
        return Arrays()
    pixels, rows, labels = pictures.first_image(subject)
    show = partial(pictures.of_pixels, subject, "attack", rows=rows, labels=labels)
    arrays = show(pictures.CLEAN, pixels)
    for threat, run in ((part.threat, part.run) for part in parts):
        size = "" if threat.epsilon is None else f" ε {255 * threat.epsilon:.3g}/255"
        with contextlib.suppress(InputError):  # a single image is too few for some attacks
            attacked = run(pixels, to_device(labels, subject.device)).detach()
            arrays |= show(f"{threat.attack}{size}", attacked)
    return arrays


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
) -> tuple[Arrays, _Uses]:
    """Return the results at one temperature, and which gradients the attack uses."""
    network, loss = _network(subject, arrays, temperature), LossGradient()
    uses, right, results = _Uses(subject, network, loss), arrays["right"], []
    subject.progress.start(f"{threat.attack} at T = {network.temperature:.3g}", len(right))
    for index, (pixels, labels, rows) in enumerate(subject.labelled_pixels()):
        checks = checks_of(network, pixels, labels, logits[rows])
        seed_of = partial(attack_seed, subject.seed, index)
        parts = parts_of(threat, network, subject.spec.classes, seed_of, loss)
        correct = torch.from_numpy(right[rows]).to(pixels.device)
        cache = partial(uses.cached, f"batch {index} at T {temperature}")
        result = worst_case(subject.model, parts, pixels, labels, correct, cache)
        results.append(checks | Arrays(Array(name, values) for name, values in result.items()))
        subject.progress.advance(len(pixels))
    return joined(results).at(temperature=temperature), uses


def _network(subject: Subject, arrays: Arrays, temperature: Temperature) -> AttackedNetwork:
    divisor = arrays.facts["temperature"] if temperature == "fitted" else temperature
    return AttackedNetwork(subject.model, subject.device, divisor)


def attack_seed(seed: int, batch: int, purpose: str) -> int:
    """Return a 31-bit seed, the largest that NumPy and torchattacks accept."""
    return derived_seed(seed, f"attack {purpose}", batch) % 2**31


def checks_of(
    network: AttackedNetwork, pixels: torch.Tensor, labels: torch.Tensor, plain: NDArray[Any]
) -> Arrays:
    """Check a batch before it is attacked and return the results; raise RuntimeError on failure.

    The arrays are `path_differs` and, with the `gradient` "stable" and "float32", `zero_gradient`,
    (images,) bool, which is true where the gradient of the cross-entropy is zero.
    """
    if not bool(((pixels >= 0) & (pixels <= 1)).all()):
        raise RuntimeError("some pixels to attack are outside [0, 1]")
    losses = zip(GRADIENTS, (stable_loss, plain_loss), strict=True)
    with torch.enable_grad(), full_float32():
        inputs = pixels.detach().clone().requires_grad_(True)
        logits = network(inputs)
        gradients = {
            name: torch.autograd.grad(loss(logits, labels), inputs, retain_graph=True)[0]
            for name, loss in losses
        }
    zeros = [Array("zero_gradient", is_zero(g), at={"gradient": n}) for n, g in gradients.items()]
    differs = check_predictions(logits.detach().cpu().numpy(), plain)
    return Arrays([Array("path_differs", differs), *zeros])


def audited(
    subject: Subject, audit: Audit, other: Checkpoint | None, validation_set: str
) -> Arrays:
    """Return the arrays of `Audit.collect`; attacks are transferred from the network `other`."""
    logits, arrays = clean(subject, validation_set)
    right = arrays["right"]
    networks = {t: _network(subject, arrays, t) for t in TEMPERATURES}
    source = None
    if other is not None:
        source = AttackedNetwork(other.network(subject.device), subject.device)
    subject.progress.start("audited images", len(right) * len(EPSILONS))
    results = []
    for index, (pixels, labels, rows) in enumerate(subject.labelled_pixels()):
        correct = torch.from_numpy(right[rows]).to(pixels.device)
        suite = AttackSuite(subject, audit, networks, source, index)
        result = suite.tables(pixels, labels, correct)
        for temperature, network in networks.items():
            checks = checks_of(network, pixels, labels, logits[rows])
            result |= checks.at(temperature=temperature)
        if source is not None:
            with torch.inference_mode(), full_float32():
                compared = source(pixels).argmax(dim=1) == labels
            result |= Arrays([Array("right_compared", compared)])
        results.append(result)
    attacks = AttackSuite(subject, audit, networks, source, 0).attacks(EPSILONS[-1])
    shown = [attacks[name, 1.0][0] for name in BY_CROSS_ENTROPY]
    return arrays | joined(results) | _pictures(subject, shown)


@dataclass(frozen=True)
class AttackSuite:
    """The attacks of an audit on one batch, from the smallest ball to the largest."""

    subject: Subject
    audit: Audit
    networks: Mapping[Temperature, AttackedNetwork]
    source: AttackedNetwork | None
    batch: int

    def tables(self, pixels: torch.Tensor, labels: torch.Tensor, correct: torch.Tensor) -> Arrays:
        """Return which images survive each attack at each size: `survives` (images, epsilon).

        An image that is broken at one size counts as broken at all larger ones.
        """
        left: dict[AttackAt, list[torch.Tensor]] = defaultdict(list)
        for epsilon in EPSILONS:
            for at, parts in self.attacks(epsilon).items():
                # FGSM takes one step of this size, independently of smaller ones.
                to_attack = correct if at[0] == "fgsm" or at not in left else left[at][-1]
                cache = partial(self._cached, f"{at[0]} at T {at[1]} {epsilon}")
                result = worst_case(self.subject.model, parts, pixels, labels, to_attack, cache)
                left[at].append(result["survives"])
            self.subject.progress.advance(len(pixels), f"ε = {epsilon * 255:g}/255")
        axes, along = ("images", "epsilon"), {"epsilon": EPSILONS}
        return Arrays(
            Array("survives", torch.stack(tables, dim=1), axes, at, along)
            for (attack, temperature), tables in left.items()
            for at in [{"attack": attack, "temperature": temperature}]
        )

    def _cached(self, attack: str, part: str, run: Callable[[], Mapping[str, Any]]) -> Any:
        return self.subject.stored(f"batch {self.batch} {attack} {part}", run)

    def attacks(self, epsilon: float) -> dict[AttackAt, list[Part]]:
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
        square = {"norm": "Linf", "eps": epsilon, "n_queries": self.audit.queries}
        square |= {"loss": "margin", "resc_schedule": False}
        attacks["square", 1.0] = [self._part(Threat("Square", "Linf", square), one, "ce")]
        if self.source is not None:
            both = [part for loss in LOSSES for part in self._pgd(self.source, epsilon, loss, 1)]
            attacks["transfer", 1.0] = both
        return attacks

    def _pgd(
        self, network: AttackedNetwork, epsilon: float, loss: str, restarts: int | None = None
    ) -> list[Part]:
        """Return PGD with a loss, one part per restart; its steps sum to 2.5 ε.

        Source: Madry et al. (2018), "Towards deep learning models resistant to adversarial
        attacks".
        """
        steps = self.audit.steps
        values = {"eps": epsilon, "alpha": 2.5 * epsilon / steps, "steps": steps}
        threat = Threat("PGD", "Linf", {**values, "random_start": True})
        starts = range(restarts or self.audit.restarts)
        return [self._part(threat, network, loss, start) for start in starts]

    def _part(self, threat: Threat, network: AttackedNetwork, loss: str, start: int = 0) -> Part:
        """Return one attack; its seed depends on its name, loss, size and restart."""
        purpose = f"audit {threat.attack} {loss} {threat.epsilon} {start}"
        seed = attack_seed(self.subject.seed, self.batch, purpose)
        return Part(threat, runner(threat, network, seed, LossGradient(LOSSES[loss])))
