"""May a gain in robustness be believed? Several attacks, their worst case, and signs of masking.

An attack that follows gradients must do at least as well as one step of it, as one that sees only
logits, and as images made for another network; where it does not, gradients are masked and the
network only looks robust.

Sources: Athalye, Carlini, Wagner (2018), "Obfuscated gradients give a false sense of security";
Carlini et al. (2019), "On evaluating adversarial robustness".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.errors import InputError
from sdd_eval.evaluators.adversarial.attack_protocol import (
    TEMPERATURES,
    WITHOUT_SATURATION,
    checks,
    divided,
)
from sdd_eval.evaluators.intervals import INTERVALS, Intervals, share
from sdd_eval.records import Measurement

if TYPE_CHECKING:
    from sdd_eval.evaluators.subject import Arrays, ComparedNetwork, Subject

Table = NDArray[np.bool_]
#: Sizes of the ball, L∞ in pixels of [0, 1], rising.
EPSILONS = tuple(size / 255 for size in (0.25, 0.5, 1, 2, 4, 8))
IMAGES = 1000
#: The attacks whose images change with the temperature; the others see margins only.
BY_CROSS_ENTROPY = ("fgsm", "pgd_ce")
WHITE_BOX = ("fgsm", "pgd_ce", "pgd_margin")
ATTACKS = (*WHITE_BOX, "square", "transfer")
FLAGS = {
    "fgsm_beats_pgd": "FGSM leaves fewer images right than PGD (CE and margin, worst case)",
    "square_beats_white_box": "Square, which sees no gradient, leaves fewer images right than "
    "FGSM and PGD together",
    "transfer_beats_white_box": "images made for another network leave fewer images right than "
    "FGSM and PGD together",
    "zero_gradients": "an image that is right has a gradient of zero in every pixel, although it "
    "is formed so that it cannot underflow at the logits",
}


@dataclass(frozen=True)
class Audit:
    """How hard the audit tries, and from which checkpoint it transfers; "" is none."""

    steps: int = 50
    restarts: int = 5
    queries: int = 5000
    transfer_from: str = ""

    @property
    def attacks(self) -> tuple[str, ...]:
        """The attacks that are tried."""
        return ATTACKS if self.transfer_from else ATTACKS[:-1]

    def collect(self, subject: Subject, validation_set: str = "") -> Arrays:
        """Which images each attack leaves right, and what was checked.

        `right` (n,) before; `survives_ATTACK_TEMPERATURE` (n, sizes) bool; the checks of
        `attack_run.path_columns` (n,) at each temperature; `temperature` (n,) as fitted, on the
        set that `held_out` names, if any; and with transfer `right_compared` (n,), whether the
        other network is right.

        Raises:
            InputError: the other checkpoint is this one, or takes other images or classes.
            RuntimeError: an attack's path predicts otherwise, or an image leaves ball or box.
        """
        from sdd_eval.evaluators.adversarial.audit_run import audited

        other = subject.networks[self.transfer_from] if self.transfer_from else None
        if other is not None:
            _check_comparable(subject, other)
        return audited(subject, self, other, validation_set)

    def score(
        self, arrays: Mapping[str, NDArray[Any]], intervals: Intervals = INTERVALS
    ) -> list[Measurement]:
        """Accuracies per attack and size, `audit_worst_case`, and `audit_flag` (0 or 1)."""
        text = "clean images, accuracy against the true labels"
        found = [share("audit_right_before", arrays["right"], {}, text, intervals)]
        for name in TEMPERATURES:
            tables = self.tables(name, arrays)
            told = f"{self._how()}; {divided(name, arrays)}"
            at = {"norm": "Linf", "temperature": TEMPERATURES[name]}
            for attack, table in tables.items():
                found += _accuracies(
                    "audit_accuracy", table, {**at, "attack": attack}, told, intervals
                )
            worst = np.logical_and.reduce(list(tables.values()))
            text = f"right before and after every attack, image by image; {told}"
            found += _accuracies("audit_worst_case", worst, at, text, intervals)
            if "right_compared" in arrays:
                found += self._of_both(worst, at, text, arrays, intervals)
            found += checks("audit", at, name, arrays)
        return [*found, *self._flags(arrays)]

    def tables(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, Table]:
        """What each attack leaves right (n, sizes) at a temperature."""
        ends = {a: name if a in BY_CROSS_ENTROPY else "one" for a in self.attacks}
        return {attack: arrays[f"survives_{attack}_{end}"] for attack, end in ends.items()}

    def _how(self) -> str:
        """The threat model in words."""
        transfer = (
            f", transfer (PGD-{self.steps} by CE and by margin, one start each, on "
            f"{self.transfer_from})"
            if self.transfer_from
            else ""
        )
        return (
            "right before and after, of all images; L∞ ball in pixels of [0, 1], the same ε in "
            "every channel, clipped to [0, 1], true labels, untargeted; FGSM, "
            f"PGD-{self.steps} with {self.restarts} random starts and steps of 2.5 ε/{self.steps}, "
            f"by CE and by margin, Square with {self.queries:,} queries{transfer}; an image that "
            "an attack other than FGSM has broken at a smaller ε is broken at a larger one; "
            f"CE's {WITHOUT_SATURATION}; margin, Square and transfer do not depend on the "
            "network's temperature; seeds derived from the run's seed, attack, restart and batch"
        )

    def _of_both(
        self,
        worst: Table,
        at: Mapping[str, Any],
        text: str,
        arrays: Mapping[str, NDArray[Any]],
        intervals: Intervals,
    ) -> Iterator[Measurement]:
        """The worst case on the images that both networks classify rightly."""
        both = arrays["right"] & arrays["right_compared"]
        here = {**at, "transfer_from": self.transfer_from}
        told = f"images, before any attack, that {self.transfer_from} too classifies rightly"
        yield Measurement("n_both_correct", float(both.sum()), "images", here, told)
        if both.any():
            text = f"of the {both.sum()} {told}: {text}"
            yield from _accuracies(
                "audit_worst_case_both_right", worst[both], here, text, intervals
            )

    def _flags(self, arrays: Mapping[str, NDArray[Any]]) -> Iterator[Measurement]:
        """Each flag once, 1 where it is raised at any size or temperature; those that are first."""
        raised: dict[str, list[str]] = {flag: [] for flag in FLAGS}
        for name in TEMPERATURES:
            for flag, sizes in _raised(self.tables(name, arrays)).items():
                raised[flag] += [f"ε = {size * 255:g}/255 at T {name}" for size in sizes]
            zeros = int((arrays[f"zero_gradient_{name}"] & arrays["right"]).sum())
            raised["zero_gradients"] += [f"{zeros} images at T {name}"] if zeros else []
        if not self.transfer_from:
            del raised["transfer_beats_white_box"]  # not tried is not cleared
        for flag, places in sorted(raised.items(), key=lambda each: not each[1]):
            where = f"raised: {', '.join(places)}" if places else "not raised at any size"
            text = f"{FLAGS[flag]}; {where}"
            yield Measurement("audit_flag", float(bool(places)), "count", {"flag": flag}, text)


def audit_of(
    steps: int | None, restarts: int | None, parameters: Sequence[str], transfer_from: str
) -> Audit:
    """An audit with other numbers than its own where they are given.

    Raises:
        InputError: a number below 1, or a parameter other than n_queries.
    """
    numbers = {"steps": steps, "restarts": restarts}
    for item in parameters:
        key, _, value = item.partition("=")
        if key != "n_queries" or not value.isdecimal():
            raise InputError(f"--parameters has {item!r}; with --audit it takes n_queries=NUMBER")
        numbers["queries"] = int(value)
    given = {name: value for name, value in numbers.items() if value is not None}
    for name, number in given.items():
        if number < 1:
            raise InputError(f"{name} is {number}; at least 1 is needed")
    return Audit(**given, transfer_from=transfer_from)


def _check_comparable(subject: Subject, other: ComparedNetwork) -> None:
    """Refuse a checkpoint that takes other images, or that is the same one."""
    if subject.card is not None and other.weights_sha256 == subject.card.weights_sha256:
        raise InputError(f"--transfer-from {other.name} has the weights under audit; name another")
    for field in ("classes", "channels", "image_size"):
        ours, theirs = getattr(subject.spec, field), getattr(other.spec, field)
        if ours != theirs:
            raise InputError(
                f"--transfer-from {other.name} has {field.replace('_', ' ')} {theirs}, "
                f"the network under audit {ours}"
            )


def _raised(tables: Mapping[str, Table]) -> dict[str, list[float]]:
    """The sizes at which each flag that compares attacks is raised."""
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


def _accuracies(
    metric: str, table: Table, at: Mapping[str, Any], text: str, intervals: Intervals
) -> Iterator[Measurement]:
    """The share that is right at each size."""
    for size, flags in zip(EPSILONS, table.T, strict=True):
        here = {**at, "epsilon": size}
        told = f"ε = {size * 255:g}/255; {text}"
        yield share(metric, flags, here, told, intervals)
