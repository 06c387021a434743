"""Audit a gain in robustness: several attacks, their worst case, and signs of masked gradients.

An attack that uses gradients must succeed at least as often as a single step of it, an attack that
only sees logits, and the adversarial images of another network. If it does not, gradients are
masked and the network only appears robust.

Sources: Athalye, Carlini, Wagner (2018), "Obfuscated gradients give a false sense of security";
Carlini et al. (2019), "On evaluating adversarial robustness".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.errors import InputError
from sdd_eval.evaluators import adversarial
from sdd_eval.evaluators.adversarial.threat import (
    BY_CROSS_ENTROPY,
    CLEAN,
    EPSILONS,
    TEMPERATURES,
    WITHOUT_SATURATION,
    Temperature,
    checks,
    divided_by,
    fitted_values,
)
from sdd_eval.statistics.statistic import (
    SHARE,
    Quantity,
    Statistic,
    counts,
    share_bounds,
    shares,
    unpaired,
)

if TYPE_CHECKING:
    from sdd_eval.arrays import Arrays
    from sdd_eval.checkpoints.checkpoint import Checkpoint
    from sdd_eval.evaluators.subject import Subject

Table = NDArray[np.bool_]
#: Default limit of an audit.
IMAGES = 1000
WHITE_BOX = ("fgsm", "pgd_ce", "pgd_margin")
ATTACKS = (*WHITE_BOX, "square", "transfer")
#: The flags with which the user sets the effort.
FLAGS_OF = {"steps": "--steps", "restarts": "--restarts", "queries": "n_queries"}
FLAGS = {
    "fgsm_beats_pgd": "FGSM leaves fewer images right than PGD (CE and margin, worst case)",
    "square_beats_white_box": "Square, which sees no gradient, leaves fewer images right than "
    "FGSM and PGD together",
    "transfer_beats_white_box": "images made for another network leave fewer images right than "
    "FGSM and PGD together",
    "zero_gradients": "an image that is right has a gradient of zero in every pixel, although it "
    "is formed so that it cannot underflow at the logits",
}

#: Why the numbers have no paired test.
OTHER_IMAGES = "it is about different images for each network"
PRESENCE = "a sign of gradient masking is present or absent"


@dataclass(frozen=True)
class Audit:
    """The effort of the attacks, and the checkpoint to transfer attacks from, if any."""

    steps: int = 50
    restarts: int = 5
    queries: int = 5000
    transfer_from: str = ""

    @property
    def attacks(self) -> tuple[str, ...]:
        """The names of the attacks."""
        return ATTACKS if self.transfer_from else ATTACKS[:-1]

    @property
    def passes(self) -> int:
        """The maximum number of forward passes per image; a backward pass counts as two."""
        by_cross_entropy = len(TEMPERATURES) * (1 + self.steps * self.restarts)
        by_margin = self.steps * self.restarts
        for_transfer = 2 * self.steps if self.transfer_from else 0
        gradients = by_cross_entropy + by_margin + for_transfer
        return len(EPSILONS) * (self.queries + 3 * gradients)

    def collect(self, subject: Subject, validation_set: str = "") -> Arrays:
        """Return which images survive each attack, and the checks.

        The arrays are `right` (images,) bool, before the attacks; `survives` (images, epsilon) bool
        for each `attack` and `temperature`; the arrays of `attack_run.checks_of` at each
        temperature; and, with `transfer_from`, `right_compared` (images,), whether the other
        network is correct. The facts are those of `attack_run.clean`.

        Raises:
            InputError: the other checkpoint is the same one, or expects different images or
                classes.
            RuntimeError: the attacked network makes different predictions, or an image leaves the
                ball or box.
        """
        other = subject.networks[self.transfer_from] if self.transfer_from else None
        if other is not None:
            _check_comparable(subject, other)
        return adversarial.audited(subject, self, other, validation_set)

    def statistics(self, arrays: Arrays) -> Iterator[Statistic]:
        """Yield accuracy per attack and size, `audit_worst_case`, and `audit_flag` (0 or 1)."""
        yield shares([Quantity("audit_right_before", "fraction", {}, CLEAN)], [arrays["right"]])
        for temperature in TEMPERATURES:
            tables = self.tables(temperature, arrays)
            protocol = {**self._protocol(), "temperature": divided_by(temperature, arrays)}
            fitted = {**self._source, **fitted_values(temperature, arrays)}
            at = {"norm": "Linf", "temperature": temperature}
            for attack, table in tables.items():
                axes = {**at, "attack": attack}
                yield shares(_by_size("audit_accuracy", axes, protocol, fitted), list(table.T))
            worst = np.logical_and.reduce(list(tables.values()))
            every = "right before and after every attack, image by image"
            protocol = {"worst_case": every, **protocol}
            yield shares(_by_size("audit_worst_case", at, protocol, fitted), list(worst.T))
            if "right_compared" in arrays:
                yield from self._both_correct(worst, at, protocol, fitted, arrays)
            selected = arrays.where(temperature=temperature)
            yield checks("audit", at, temperature, selected)
        yield from self._flags(arrays)

    def tables(self, temperature: Temperature, arrays: Arrays) -> dict[str, Table]:
        """Return which images survive each attack (n, sizes) at a temperature."""
        temperatures = {a: temperature if a in BY_CROSS_ENTROPY else 1.0 for a in self.attacks}
        return {
            a: arrays.where(attack=a, temperature=temperatures[a])["survives"] for a in temperatures
        }

    @property
    def _source(self) -> dict[str, str]:
        """The network whose adversarial images are transferred, if any."""
        return {"transferred from": self.transfer_from} if self.transfer_from else {}

    def _protocol(self) -> dict[str, str]:
        steps, restarts, queries = self.steps, self.restarts, self.queries
        transfer = (
            f", transfer (PGD-{steps} by CE and by margin, one start each, on another network)"
        )
        return {
            "definition": "right before and after, of all images",
            "ball": "L∞ ball in pixels of [0, 1], the same ε in every channel, clipped to [0, 1], "
            "true labels, untargeted",
            "attacks": f"FGSM, PGD-{steps} with {restarts} random starts and steps of "
            f"2.5 ε/{steps}, by CE and by margin, Square with {queries:,} queries{transfer}",
            "monotone": "an image that an attack other than FGSM has broken at a smaller ε is "
            "broken at a larger one",
            "gradient": f"CE's {WITHOUT_SATURATION}",
            "other_attacks": "margin, Square and transfer do not depend on the network's "
            "temperature",
            "seeds": "seeds derived from the run's seed, attack, restart and batch",
        }

    def _both_correct(
        self,
        worst: Table,
        at: Mapping[str, Any],
        protocol: Mapping[str, str],
        fitted: Mapping[str, str],
        arrays: Arrays,
    ) -> Iterator[Statistic]:
        """Yield the worst case over the images that both networks classify correctly."""
        both = arrays["right"] & arrays["right_compared"]
        axes = {**at, "transfer_from": self.transfer_from}
        images = f"images, before any attack, that {self.transfer_from} too classifies rightly"
        yield counts([Quantity("n_both_correct", "images", axes, {"definition": images})], [both])
        if not both.any():
            return
        of_both = {**protocol, "worst_case": f"of the {images}: {protocol['worst_case']}"}
        fitted = {**fitted, "images": str(both.sum())}
        quantities = _by_size("audit_worst_case_both_right", axes, of_both, fitted)
        for quantity, flags in zip(quantities, worst[both].T, strict=True):
            value = float(flags.mean())
            bounds = partial(share_bounds, value, len(flags))
            yield unpaired(quantity, value, OTHER_IMAGES, bounds, SHARE)

    def _flags(self, arrays: Arrays) -> Iterator[Statistic]:
        """Yield each flag, 1 if raised at any size or temperature; raised flags come first."""
        raised: dict[str, list[str]] = {flag: [] for flag in FLAGS}
        for temperature in TEMPERATURES:
            name = "fitted" if temperature == "fitted" else "one"
            for flag, sizes in _raised(self.tables(temperature, arrays)).items():
                raised[flag] += [f"ε = {size * 255:g}/255 at T {name}" for size in sizes]
            stable = arrays.where(temperature=temperature, gradient="stable")
            zeros = int((stable["zero_gradient"] & arrays["right"]).sum())
            raised["zero_gradients"] += [f"{zeros} images at T {name}"] if zeros else []
        if not self.transfer_from:
            del raised["transfer_beats_white_box"]  # not tried, so neither raised nor cleared
        for flag, places in sorted(raised.items(), key=lambda item: not item[1]):
            fitted = {"raised": ", ".join(places)} if places else {}
            protocol = {"definition": FLAGS[flag]}
            quantity = Quantity("audit_flag", "count", {"flag": flag}, protocol, fitted)
            yield unpaired(quantity, float(bool(places)), PRESENCE)


def audit_of(
    steps: int | None, restarts: int | None, parameters: Sequence[str], transfer_from: str
) -> Audit:
    """Return an audit with the given effort (None is the default); InputError if it is invalid."""
    numbers = {"steps": steps, "restarts": restarts}
    for item in parameters:
        key, _, value = item.partition("=")
        if key != "n_queries" or not value.isdecimal():
            raise InputError(
                f"--parameters has {item!r}; with --audit the only parameter is n_queries=NUMBER"
            )
        numbers["queries"] = int(value)
    given = {name: value for name, value in numbers.items() if value is not None}
    for name, number in given.items():
        if number < 1:
            raise InputError(f"{FLAGS_OF[name]} is {number}; it must be 1 or more")
    return Audit(**given, transfer_from=transfer_from)


def _check_comparable(subject: Subject, other: Checkpoint) -> None:
    """Raise InputError for a checkpoint that expects different images or has the same weights."""
    if subject.card is not None and other.weights_sha256 == subject.card.weights_sha256:
        raise InputError(
            f"--transfer-from {other.name} has the audited weights; name another checkpoint"
        )
    for field in ("classes", "channels", "image_size"):
        audited, compared = getattr(subject.spec, field), getattr(other.spec, field)
        if audited != compared:
            raise InputError(
                f"--transfer-from {other.name} has {field.replace('_', ' ')} {compared}, "
                f"the audited network {audited}"
            )


def _raised(tables: Mapping[str, Table]) -> dict[str, list[float]]:
    """Return the sizes at which each flag that compares two attacks is raised."""
    pgd = tables["pgd_ce"] & tables["pgd_margin"]
    white_box = pgd & tables["fgsm"]
    pairs = {
        "fgsm_beats_pgd": (tables["fgsm"], pgd),
        "square_beats_white_box": (tables["square"], white_box),
        "transfer_beats_white_box": (tables.get("transfer", white_box), white_box),
    }
    return {
        flag: [EPSILONS[i] for i in np.flatnonzero(one.sum(axis=0) < other.sum(axis=0))]
        for flag, (one, other) in pairs.items()
    }


def _by_size(
    metric: str, at: Mapping[str, Any], protocol: Mapping[str, str], fitted: Mapping[str, str]
) -> list[Quantity]:
    """Return a share of images at each size."""
    conditions = {size: {"epsilon": f"ε = {size * 255:g}/255", **protocol} for size in EPSILONS}
    return [
        Quantity(metric, "fraction", {**at, "epsilon": size}, text, fitted)
        for size, text in conditions.items()
    ]
