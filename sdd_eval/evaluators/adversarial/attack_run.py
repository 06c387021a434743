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

from sdd_eval.checkpoints.checkpoint import Checkpoint
from sdd_eval.device import full_float32
from sdd_eval.evaluators.adversarial.gradients import (
    LogitGradient,
    LossGradient,
    logit_gradient,
    margin_gradient,
)
from sdd_eval.evaluators.adversarial.threat import BY_CROSS_ENTROPY, EPSILONS, Effort, Threat
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
from sdd_eval.evaluators.subject import Arrays, Subject
from sdd_eval.evaluators.temperature import temperature_of

Columns = dict[str, NDArray[Any]]
LOSSES: Mapping[str, LogitGradient] = {"ce": logit_gradient, "margin": margin_gradient}


def clean(subject: Subject, validation_set: str = "") -> Arrays:
    """Return the arrays of clean images that an attack starts from.

    `right` (n,), the fitted `temperature` (n,), `channels` (n,) and `logits` (n, classes). If the
    temperature is fitted on a validation set, also `held_out` (n,). Raise InputError for images
    without labels, or a NaN logit.
    """
    labels = subject.labels()
    with full_float32():
        logits = subject.logits(label="clean images")
    fitted = temperature_of(subject, validation_set, logits, labels)
    return {
        **({"held_out": np.full(len(labels), True)} if validation_set else {}),
        "logits": logits,
        "right": logits.argmax(axis=1) == labels,
        "temperature": np.full(len(labels), fitted),
        "channels": np.full(len(labels), subject.spec.channels),
    }


def under_attack(
    subject: Subject, threat: Threat, arrays: Arrays, budget: Budget = STANDARD
) -> Arrays:
    """Return the results of an attack, each (n,), at T = 1 and at the fitted temperature.

    `survives_…`, `broken_by_…` (number of the part, from 1), `change_…`, `zero_gradient_…`,
    `zero_gradient_float32_…` and `path_differs_…`; and `cross_entropy` (n,), whether the attack's
    loss is the cross-entropy. An attack without gradients is run at T = 1 only. `arrays` are those
    of `clean`.
    """
    columns, uses = _at_temperature(subject, threat, arrays, "one", budget)
    if uses.gradients:
        columns |= _at_temperature(subject, threat, arrays, "fitted", budget)[0]
    return columns | {"cross_entropy": np.full(len(arrays["right"]), uses.cross_entropy)}


class _Uses:
    """Whether an attack uses gradients, and those of the cross-entropy; stored with its results."""

    def __init__(self, subject: Subject, network: AttackedNetwork, loss: LossGradient) -> None:
        self.subject, self.network, self.loss = subject, network, loss
        self.gradients = self.cross_entropy = False

    def cached(
        self, batch: str, part: str, compute: Callable[[], Mapping[str, Any]]
    ) -> Mapping[str, Any]:
        """Return the result of a part of an attack on a batch, computed or stored."""

        def computed() -> Mapping[str, Any]:
            self.network.gradients, self.loss.used = 0, False
            result = compute()
            asked, used = self.network.gradients > 0, self.loss.used
            return {**result, "asked": asked, "by_cross_entropy": used}

        result = self.subject.stored(f"{batch} {part}", computed)
        self.gradients |= bool(result["asked"])
        self.cross_entropy |= bool(result["by_cross_entropy"])
        return result


def _at_temperature(
    subject: Subject, threat: Threat, arrays: Arrays, name: str, budget: Budget
) -> tuple[Columns, _Uses]:
    """Return the results at one temperature, and what the attack uses."""
    temperature = 1.0 if name == "one" else float(arrays["temperature"][0])
    network = AttackedNetwork(subject.model, subject.device, temperature)
    subject.progress.start(f"{threat.attack} at T = {temperature:.3g}", len(arrays["right"]))
    loss = LossGradient()
    uses = _Uses(subject, network, loss)
    columns: dict[str, list[NDArray[Any]]] = defaultdict(list)
    for index, (pixels, labels, rows) in enumerate(batches(subject)):
        for key, values in checks_of(network, pixels, labels, arrays["logits"][rows]).items():
            columns[key].append(values)
        seed = BatchSeed(subject.seed, index, subject.device)
        parts = parts_of(threat, network, subject.spec.classes, seed, loss, budget)
        correct = torch.from_numpy(arrays["right"][rows]).to(pixels.device)
        cache = partial(uses.cached, f"batch {index} at T {name}")
        result = worst_case(subject.model, parts, pixels, labels, correct, cache)
        columns["survives"].append(result.survives.cpu().numpy())
        columns["broken_by"].append(result.broken_by.cpu().numpy().astype(np.uint8))
        columns["change"].append(result.change.cpu().numpy())
        subject.progress.advance(len(pixels))
    return {f"{key}_{name}": np.concatenate(parts) for key, parts in columns.items()}, uses


def batches(subject: Subject) -> Iterator[tuple[torch.Tensor, torch.Tensor, slice]]:
    """Yield pixels (n, channels, side, side), labels (n,) and the rows of each batch."""
    labels, done = torch.from_numpy(subject.labels()), 0
    for pixels in subject.pixels():
        rows = slice(done, done + len(pixels))
        yield pixels, labels[rows].to(pixels.device), rows
        done = rows.stop


def checks_of(
    network: AttackedNetwork, pixels: torch.Tensor, labels: torch.Tensor, plain: NDArray[Any]
) -> Columns:
    """Return the checks of a batch before it is attacked, each (n,); RuntimeError if one fails."""
    logits, stable, float32 = logits_and_zero_gradients(network, pixels, labels)
    return {
        "path_differs": check_predictions(logits.cpu().numpy(), plain),
        "zero_gradient": stable.cpu().numpy(),
        "zero_gradient_float32": float32.cpu().numpy(),
    }


def audited(
    subject: Subject, effort: Effort, other: Checkpoint | None, validation_set: str
) -> Arrays:
    """Return the arrays of `Audit.collect`; `other` is the network that attacks transfer from."""
    arrays = clean(subject, validation_set)
    temperatures = {"one": 1.0, "fitted": float(arrays["temperature"][0])}
    networks = {
        name: AttackedNetwork(subject.model, subject.device, temperature)
        for name, temperature in temperatures.items()
    }
    source = None
    if other is not None:
        source = AttackedNetwork(other.network(subject.device), subject.device)
    columns: dict[str, list[NDArray[Any]]] = defaultdict(list)
    subject.progress.start("audited images", len(arrays["right"]) * len(EPSILONS))
    for index, (pixels, labels, rows) in enumerate(batches(subject)):
        for name, network in networks.items():
            checks = checks_of(network, pixels, labels, arrays["logits"][rows])
            for key, values in checks.items():
                columns[f"{key}_{name}"].append(values)
        if source is not None:
            columns["right_compared"].append(_is_correct(source, pixels, labels))
        correct = torch.from_numpy(arrays["right"][rows]).to(pixels.device)
        seed = BatchSeed(subject.seed, index, subject.device)
        battery = Battery(subject, effort, networks, source, seed)
        for name, table in battery.tables(pixels, labels, correct).items():
            columns[f"survives_{name}"].append(table)
    del arrays["logits"], arrays["channels"]
    return arrays | {name: np.concatenate(parts) for name, parts in columns.items()}


def _is_correct(network: torch.nn.Module, pixels: torch.Tensor, labels: torch.Tensor) -> Any:
    with torch.inference_mode(), full_float32():
        return (network(pixels).argmax(dim=1) == labels).cpu().numpy()


@dataclass(frozen=True)
class Battery:
    """The attacks of an audit on one batch, from the smallest ball to the largest."""

    subject: Subject
    effort: Effort
    networks: Mapping[str, AttackedNetwork]
    source: AttackedNetwork | None
    seed: BatchSeed

    def tables(
        self, pixels: torch.Tensor, labels: torch.Tensor, correct: torch.Tensor
    ) -> dict[str, NDArray[np.bool_]]:
        """Return which images survive each attack at each size (n, sizes).

        An image that is broken at one size counts as broken at all larger ones.
        """
        left: dict[str, torch.Tensor] = {}
        columns: dict[str, list[torch.Tensor]] = defaultdict(list)
        for epsilon in EPSILONS:
            for name, parts in self._attacks(epsilon).items():
                # FGSM is one step of this size, independent of smaller ones.
                to_attack = correct if name.startswith("fgsm") else left.get(name, correct)
                cache = partial(self._cached, f"{name} {epsilon}")
                result = worst_case(self.subject.model, parts, pixels, labels, to_attack, cache)
                left[name] = result.survives
                columns[name].append(result.survives)
            self.subject.progress.advance(len(pixels), f"ε = {epsilon * 255:g}/255")
        return {name: torch.stack(each, dim=1).cpu().numpy() for name, each in columns.items()}

    def _cached(self, attack: str, part: str, run: Callable[[], Mapping[str, Any]]) -> Any:
        return self.subject.stored(f"batch {self.seed.batch} {attack} {part}", run)

    def _attacks(self, epsilon: float) -> dict[str, list[Part]]:
        """Return the parts of each attack at one size, by attack and temperature."""
        attacks: dict[str, list[Part]] = {}
        for name, network in self.networks.items():
            fgsm = Threat("FGSM", "Linf", {"eps": epsilon})
            parts = {
                "fgsm": [self._part(fgsm, network, "ce")],
                "pgd_ce": self._pgd(network, epsilon, "ce"),
            }
            attacks |= {f"{attack}_{name}": parts[attack] for attack in BY_CROSS_ENTROPY}
        one = self.networks["one"]
        attacks["pgd_margin_one"] = self._pgd(one, epsilon, "margin")
        square = {"norm": "Linf", "eps": epsilon, "n_queries": self.effort.queries}
        square |= {"loss": "margin", "resc_schedule": False}
        attacks["square_one"] = [self._part(Threat("Square", "Linf", square), one, "ce")]
        if self.source is not None:
            both = [part for loss in LOSSES for part in self._pgd(self.source, epsilon, loss, 1)]
            attacks["transfer_one"] = both
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
