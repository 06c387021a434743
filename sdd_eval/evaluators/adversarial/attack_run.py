"""Run one attack over a subject's images, at T = 1 and at the fitted temperature."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from sdd_eval.device import full_float32
from sdd_eval.evaluators.adversarial.attacked_network import (
    AttackedNetwork,
    LossGradient,
    different,
    path_of_batch,
)
from sdd_eval.evaluators.adversarial.threat import Threat
from sdd_eval.evaluators.adversarial.torchattacks_wrapper import STANDARD, Budget, Draw, parts_of
from sdd_eval.evaluators.adversarial.worst_case import worst_case
from sdd_eval.evaluators.temperature import temperature_of

if TYPE_CHECKING:
    from sdd_eval.evaluators.subject import Arrays, Subject

Columns = dict[str, NDArray[Any]]


def clean(subject: Subject, validation_set: str = "") -> Arrays:
    """`right` (n,), `temperature` (n,) as fitted, `channels` (n,) and `logits` (n, classes).

    The temperature is fitted on the held-out set, if one is named; then there is `held_out` (n,).

    Raises:
        InputError: no labels, or a network that gives NaN.
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
    subject: Subject, threat: Threat, found: Arrays, budget: Budget = STANDARD
) -> Arrays:
    """What an attack leaves, each column (n,) once at T = 1 and once at the fitted temperature.

    `survives_…`, `broken_by_…` (the part, from 1) and `change_…`, `zero_gradient_…`,
    `zero_gradient_float32_…` and `path_differs_…`; and `cross_entropy` (n,), whether that is the
    attack's loss. An attack that asks for no gradient has no fitted twin. `found` is of `clean`.
    """
    one, noted = _at_temperature(subject, threat, found, "one", budget)
    if noted.asked:
        fitted, _ = _at_temperature(subject, threat, found, "fitted", budget)
        one |= fitted
    return one | {"cross_entropy": np.full(len(found["right"]), noted.by_cross_entropy)}


class _Noted:
    """What parts found, and with it whether they asked for gradients, and for cross-entropy's."""

    def __init__(self, subject: Subject, network: AttackedNetwork, loss: LossGradient) -> None:
        self.subject, self.network, self.loss = subject, network, loss
        self.asked = self.by_cross_entropy = False

    def at(
        self, place: str, part: str, compute: Callable[[], Mapping[str, Any]]
    ) -> Mapping[str, Any]:
        """What a part of an attack finds somewhere."""

        def noting() -> Mapping[str, Any]:
            self.network.gradients, self.loss.used = 0, False
            found = compute()
            asked, used = self.network.gradients > 0, self.loss.used
            return {**found, "asked": asked, "by_cross_entropy": used}

        found = self.subject.kept(f"{place} {part}", noting)
        self.asked |= bool(found["asked"])
        self.by_cross_entropy |= bool(found["by_cross_entropy"])
        return found


def _at_temperature(
    subject: Subject, threat: Threat, found: Arrays, name: str, budget: Budget
) -> tuple[Columns, _Noted]:
    """The columns of one temperature, and what the attack asked for."""
    temperature = 1.0 if name == "one" else float(found["temperature"][0])
    network = AttackedNetwork(subject.model, subject.device, temperature)
    subject.progress.start(f"{threat.attack} at T = {temperature:.3g}", len(found["right"]))
    loss = LossGradient()
    noted = _Noted(subject, network, loss)
    columns: dict[str, list[NDArray[Any]]] = defaultdict(list)
    for index, (pixels, labels, rows) in enumerate(batches(subject)):
        for key, values in path_columns(network, pixels, labels, found["logits"][rows]).items():
            columns[key].append(values)
        draw = Draw(subject.seed, index, subject.device)
        parts = parts_of(threat, network, subject.spec.classes, draw, loss, budget)
        right = torch.from_numpy(found["right"][rows]).to(pixels.device)
        kept = partial(noted.at, f"batch {index} at T {name}")
        outcome = worst_case(subject.model, parts, pixels, labels, right, kept)
        columns["survives"].append(outcome.survives.cpu().numpy())
        columns["broken_by"].append(outcome.broken_by.cpu().numpy().astype(np.uint8))
        columns["change"].append(outcome.change.cpu().numpy())
        subject.progress.advance(len(pixels))
    return {f"{key}_{name}": np.concatenate(parts) for key, parts in columns.items()}, noted


def batches(subject: Subject) -> Iterator[tuple[torch.Tensor, torch.Tensor, slice]]:
    """Pixels (n, …), labels (n,) and which rows these are, batch by batch."""
    labels, done = torch.from_numpy(subject.labels()), 0
    for pixels in subject.pixels():
        rows = slice(done, done + len(pixels))
        yield pixels, labels[rows].to(pixels.device), rows
        done = rows.stop


def path_columns(
    network: AttackedNetwork, pixels: torch.Tensor, labels: torch.Tensor, plain: NDArray[Any]
) -> Columns:
    """The checks of one batch before it is attacked, each (n,).

    Raises:
        RuntimeError: a pixel is outside [0, 1], or the attack's path predicts otherwise.
    """
    logits, stable, float32 = path_of_batch(network, pixels, labels)
    return {
        "path_differs": different(logits.cpu().numpy(), plain),
        "zero_gradient": stable.cpu().numpy(),
        "zero_gradient_float32": float32.cpu().numpy(),
    }
