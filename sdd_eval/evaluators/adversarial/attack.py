"""How often is the classifier right against an adversary? Any attack of torchattacks, by name.

With `audit` the question goes to `audit.py`: may a gain in robustness be believed?

An image counts as right only if it is right before and after; those wrong before are not attacked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from tyro.conf import arg

from sdd_eval.errors import InputError
from sdd_eval.evaluators.adversarial.attack_protocol import (
    TEMPERATURES,
    WITHOUT_SATURATION,
    checks,
    divided,
)
from sdd_eval.evaluators.adversarial.audit import IMAGES, Audit, audit_of
from sdd_eval.evaluators.adversarial.threat import (
    AUTOATTACK,
    ENSEMBLE,
    Threat,
    described,
    from_text,
    threat_of,
)
from sdd_eval.evaluators.intervals import INTERVALS, Intervals, share
from sdd_eval.evaluators.settings import collects, scores
from sdd_eval.records import Measurement

if TYPE_CHECKING:
    from sdd_eval.evaluators.subject import Arrays, Subject

#: AutoAttack's parts, as the papers call them.
PARTS = ("APGD-CE", "APGD-T", "FAB-T", "Square")
#: The attack where none is named.
USUAL = "PGD"


@dataclass(frozen=True)
class Attack:
    """Accuracy under an attack of torchattacks, or under AutoAttack, with the threat model said."""

    name: ClassVar[str] = "attack"
    version: ClassVar[int] = 1

    algorithm: Annotated[str, arg(name="name")] = collects(USUAL)
    """Attack: a name in torchattacks, AutoAttack (the standard version of Croce and Hein), or
    torchattacks-autoattack (their own, weaker ensemble)."""
    eps: str | float | None = collects(None)
    """Size of the ball in pixels of [0, 1], such as 8/255; default: the attack's own."""
    steps: int | None = collects(None)
    """Steps of the attack; default: the attack's own."""
    alpha: str | float | None = collects(None)
    """Size of a step in pixels of [0, 1]; default: the attack's own."""
    restarts: int | None = collects(None)
    """How often the attack starts again on images that it has not broken; default: 1."""
    parameters: tuple[str, ...] = collects(())
    """Any other parameters of the attack, KEY=VALUE each."""
    audit: bool = collects(False)
    """Instead of one attack: FGSM, PGD-50 with 5 restarts (CE and margin), Square and transfer at
    six sizes on 1,000 images, and flags that tell of masked gradients. --steps, --restarts and
    --parameters n_queries=N make it smaller."""
    transfer_from: str = collects("", loads="checkpoint")
    """Checkpoint whose adversarial images the audit also tries: its folder, or its name."""
    validation_set: str = collects("", loads="validation")
    """What T is fitted on: the checkpoint's validation images if it has any; none: the test's."""
    intervals: Intervals = scores(INTERVALS)
    """How the intervals are made."""

    @property
    def usual_limit(self) -> int | None:
        """How many images are looked at where no limit is asked for; None is all."""
        return IMAGES if self.audit else None

    def collect(self, subject: Subject) -> Arrays:
        """Which images are still right, and what was checked; the images are not kept.

        `right` (n,) before, the columns of `attack_run.under_attack`, and, the same for every
        image, `temperature` and `channels` (n,) and `threat` (n,), the threat model as JSON.

        Raises:
            InputError: no such attack or parameter, no labels, or a network that gives NaN.
            RuntimeError: the attack's path predicts otherwise than the network, or an image leaves
                its ball or the box [0, 1].
        """
        if self.audit:
            return self._audit().collect(subject, self.validation_set)
        if self.transfer_from:
            raise InputError("--transfer-from goes with --audit")
        threat = self.threat(subject.spec.classes)
        from sdd_eval.evaluators.adversarial.attack_run import clean, under_attack

        found = clean(subject, self.validation_set)
        columns = under_attack(subject, threat, found)
        del found["logits"]
        text = np.full(len(found["right"]), threat.as_text().encode())
        classes = np.full(len(text), subject.spec.classes)
        return {**found, **columns, "threat": text, "classes": classes}

    def _audit(self) -> Audit:
        """The audit that the settings stand for."""
        if self.algorithm != USUAL:
            raise InputError(f"--name is {self.algorithm}, but --audit has its own attacks")
        for flag, value in (("--eps", self.eps), ("--alpha", self.alpha)):
            if value is not None:
                raise InputError(f"{flag} is {value}, but --audit has its own sizes; leave it out")
        return audit_of(self.steps, self.restarts, self.parameters, self.transfer_from)

    def threat(self, classes: int) -> Threat:
        """The threat model that the settings stand for, on a network of so many classes."""
        if classes < 2:
            raise InputError("the network has one class; an attack needs two or more")
        common = {"eps": self.eps, "steps": self.steps, "alpha": self.alpha}
        restarts = 1 if self.restarts is None else self.restarts
        return threat_of(
            self.algorithm, common, self.parameters, restarts=restarts, classes=classes
        )

    def score(self, arrays: Mapping[str, NDArray[Any]]) -> list[Measurement]:
        """`attack_right_before`, and per temperature `attack_accuracy` and its checks."""
        if self.audit:
            return self._audit().score(arrays, self.intervals)
        threat = from_text(bytes(arrays["threat"][0]))
        text = "clean images, accuracy against the true labels"
        right = arrays["right"]
        found = [share("attack_right_before", right, threat.at, text, self.intervals)]
        for name in TEMPERATURES:
            if f"survives_{name}" in arrays:
                found.extend(_rows(threat, name, arrays, self.intervals))
        return found


def _rows(
    threat: Threat, name: str, arrays: Mapping[str, NDArray[Any]], intervals: Intervals
) -> Iterator[Measurement]:
    """What is measured at one temperature."""
    at = {**threat.at, "temperature": TEMPERATURES[name]}
    text = protocol(threat, name, arrays)
    survives = arrays[f"survives_{name}"]
    yield share("attack_accuracy", survives, at, text, intervals)
    if threat.attack == AUTOATTACK:
        broken_by = arrays[f"broken_by_{name}"]
        for number, part in enumerate(PARTS, start=1):
            left = survives | (broken_by > number)
            told = f"right after the parts up to {part}; {text}"
            here = {**at, "part": part}
            yield share("attack_accuracy_after", left, here, told, intervals)
    change = float(arrays[f"change_{name}"].max())
    told = f"largest change of a pixel value in any image, of the range [0, 1]; {text}"
    yield Measurement("attack_largest_change", change, "fraction", at, told)
    yield from checks("attack", at, name, arrays)


def protocol(threat: Threat, name: str, arrays: Mapping[str, NDArray[Any]]) -> str:
    """The threat model in words: attack, ball, labels, clip, gradient, temperature, seed."""
    gradient = "the attack's own loss, float32"
    if arrays["cross_entropy"][0]:
        gradient = f"cross-entropy's {WITHOUT_SATURATION}"
    return (
        f"right before and after, of all images; {described(threat, int(arrays['channels'][0]))}"
        f"{_ensemble(threat, int(arrays['classes'][0]))}; true labels, untargeted, "
        f"clipped to [0, 1]; {gradient}; "
        f"{divided(name, arrays)}; seeds derived from the run's seed, attack, restart "
        "and batch"
    )


def _ensemble(threat: Threat, classes: int) -> str:
    """How hard the parts of an ensemble try; empty for a single attack."""
    if threat.attack == ENSEMBLE:
        return "; torchattacks' own ensemble, not AutoAttack: 10 steps where that makes 100"
    if threat.attack != AUTOATTACK:
        return ""
    targets = min(9, classes - 1)
    fewer = "" if targets == 9 else ", all that the network has"
    return (
        f"; standard version: APGD-CE and APGD-T 100 steps, FAB-T 100 steps, {targets} targets"
        f"{fewer}, Square 5,000 queries, one start each, worst case per image"
    )
