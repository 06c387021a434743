"""Accuracy under an attack of torchattacks, or under AutoAttack.

With `audit`, several attacks are compared (`audit.py`). An image counts as correct only if it is
classified correctly before and after the attack; misclassified images are not attacked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from tyro.conf import arg

from sdd_eval.arrays import Arrays
from sdd_eval.errors import InputError
from sdd_eval.evaluators import adversarial
from sdd_eval.evaluators.adversarial.audit import IMAGES, Audit, audit_of
from sdd_eval.evaluators.adversarial.threat import (
    AUTOATTACK,
    CLEAN,
    ENSEMBLE,
    WITHOUT_SATURATION,
    Temperature,
    Threat,
    checks,
    describe,
    divided_by,
    fitted_values,
    threat_of,
)
from sdd_eval.evaluators.evaluator import Evaluator
from sdd_eval.evaluators.settings import collects
from sdd_eval.statistics.statistic import Quantity, Statistic, shares, unpaired

if TYPE_CHECKING:
    from sdd_eval.evaluators.subject import Subject

#: The parts of AutoAttack, by their names in the papers.
PARTS = ("APGD-CE", "APGD-T", "FAB-T", "Square")
DEFAULT = "PGD"
#: A number of classes that is large enough for any attack.
MANY_CLASSES = 1000
#: Why there is no paired test of the largest change.
MAXIMUM = "it is a maximum over images, bounded by the attack"


@dataclass(frozen=True)
class Attack(Evaluator):
    """Accuracy under an attack of torchattacks, or under AutoAttack."""

    name: ClassVar[str] = "attack"
    version: ClassVar[int] = 1

    algorithm: Annotated[str, arg(name="name")] = collects(DEFAULT)
    """Attack: a name in torchattacks, AutoAttack (the standard version of Croce and Hein), or
    torchattacks-autoattack (the weaker ensemble of torchattacks)."""
    eps: str | float | None = collects(None)
    """Radius of the ball in the pixel range [0, 1], such as 8/255; default: the attack's own."""
    steps: int | None = collects(None)
    """Number of steps; default: the attack's own."""
    alpha: str | float | None = collects(None)
    """Step size in the pixel range [0, 1]; default: the attack's own."""
    restarts: int | None = collects(None)
    """How many times the attack is run on images that still survive; default: 1."""
    parameters: tuple[str, ...] = collects(())
    """Other parameters of the attack, each as KEY=VALUE."""
    audit: bool = collects(False)
    """Instead of one attack, run FGSM, PGD-50 with 5 restarts (CE and margin), Square and transfer
    at six radii on 1,000 images, and flag masked gradients. --steps, --restarts and --parameters
    n_queries=N reduce the effort."""
    transfer_from: str = collects("", loads="checkpoint")
    """Checkpoint (folder or name) whose adversarial images the audit also tries."""
    validation_set: str = collects("", loads="validation")
    """Images to fit the temperature on; none uses the test images. Default: the checkpoint's
    validation images, if any."""

    @property
    def default_limit(self) -> int | None:
        """The default limit; None evaluates all images."""
        return IMAGES if self.audit else None

    def check(self) -> None:
        """Raise InputError for an unknown attack, parameter or value, or for conflicting flags."""
        if self.audit:
            self._audit()
        elif self.transfer_from:
            raise InputError("--transfer-from needs --audit")
        else:
            self.threat(MANY_CLASSES)

    def collect(self, subject: Subject) -> Arrays:
        """Return which images survive, the checks, and pictures of one adversarial image.

        The arrays are `right` (images,) bool, before the attack, and those of
        `attack_run.under_attack`. The facts are those of `attack_run.clean`, the number of
        `classes`, `cross_entropy` (whether it is the attack's loss), and the threat model,
        `threat`.

        Raises:
            InputError: unknown attack or parameter, no labels, or a logit is NaN.
            RuntimeError: the attacked network makes different predictions, or an image leaves its
                ball or the box [0, 1].
        """
        self.check()
        if self.audit:
            return self._audit().collect(subject, self.validation_set)
        threat = self.threat(subject.spec.classes, subject.spec.channels)
        logits, arrays = adversarial.clean(subject, self.validation_set)
        arrays |= adversarial.under_attack(subject, threat, logits, arrays)
        return arrays | Arrays(threat=asdict(threat), classes=subject.spec.classes)

    def _audit(self) -> Audit:
        if self.algorithm != DEFAULT:
            raise InputError(
                f"--name is {self.algorithm}, but --audit runs its own attacks; leave it out"
            )
        for flag, value in (("--eps", self.eps), ("--alpha", self.alpha)):
            if value is not None:
                raise InputError(f"{flag} is {value}, but --audit has its own radii; leave it out")
        return audit_of(self.steps, self.restarts, self.parameters, self.transfer_from)

    def threat(self, classes: int, channels: int = 3) -> Threat:
        """Return the threat model for a network with this many classes and image channels."""
        if classes < 2:
            raise InputError("the network has one class; an attack needs two or more")
        common = {"eps": self.eps, "steps": self.steps, "alpha": self.alpha}
        restarts = 1 if self.restarts is None else self.restarts
        sizes = {"classes": classes, "channels": channels}
        return threat_of(self.algorithm, common, self.parameters, restarts=restarts, **sizes)

    def statistics(self, arrays: Arrays) -> Iterator[Statistic]:
        """Yield `attack_right_before`, and `attack_accuracy` and checks for each temperature."""
        if self.audit:
            yield from self._audit().statistics(arrays)
            return
        threat = Threat(**arrays.facts["threat"])
        before = Quantity("attack_right_before", "fraction", threat.at, CLEAN)
        yield shares([before], [arrays["right"]])
        for temperature in arrays.coordinates("temperature"):
            yield from _at_temperature(threat, temperature, arrays.where(temperature=temperature))


def _at_temperature(
    threat: Threat, temperature: Temperature, arrays: Arrays
) -> Iterator[Statistic]:
    """Yield the numbers at one temperature from its arrays."""
    at = {**threat.at, "temperature": temperature}
    conditions = protocol(threat, temperature, arrays)
    fitted, survives = fitted_values(temperature, arrays), arrays["survives"]
    accuracy = Quantity("attack_accuracy", "fraction", at, conditions, fitted)
    quantities, flags = [accuracy], [survives]
    if threat.attack == AUTOATTACK:
        for number, part in enumerate(PARTS, start=1):
            after = {"parts": f"right after the parts up to {part}", **conditions}
            axes = {**at, "part": part}
            quantities.append(Quantity("attack_accuracy_after", "fraction", axes, after, fitted))
            flags.append(survives | (arrays["broken_by"] > number))
    yield shares(quantities, flags)
    largest = "largest change of a pixel value in any image, of the range [0, 1]"
    protocol_of_change = {"change": largest, **conditions}
    change = Quantity("attack_largest_change", "fraction", at, protocol_of_change, fitted)
    yield unpaired(change, float(arrays["change"].max()), MAXIMUM)
    yield checks("attack", at, temperature, arrays)


def protocol(threat: Threat, temperature: Temperature, arrays: Arrays) -> dict[str, str]:
    """Return the protocol: attack, ball, labels, clipping, gradient, temperature, seed."""
    gradient = "the attack's own loss, float32"
    if arrays.facts["cross_entropy"]:
        gradient = f"cross-entropy's {WITHOUT_SATURATION}"
    return {
        "definition": "right before and after, of all images",
        "attack": describe(threat, arrays.facts["channels"]),
        "parts_of_attack": _ensemble(threat, arrays.facts["classes"]),
        "labels": "true labels, untargeted, clipped to [0, 1]",
        "gradient": gradient,
        "temperature": divided_by(temperature, arrays),
        "seeds": "seeds derived from the run's seed, attack, restart and batch",
    }


def _ensemble(threat: Threat, classes: int) -> str:
    """Return a description of the effort of an ensemble's parts; empty for a single attack."""
    if threat.attack == ENSEMBLE:
        return "torchattacks' own ensemble, not AutoAttack: 10 steps where that makes 100"
    if threat.attack != AUTOATTACK:
        return ""
    targets = min(9, classes - 1)
    fewer = "" if targets == 9 else ", all that the network has"
    return (
        f"standard version: APGD-CE and APGD-T 100 steps, FAB-T 100 steps, {targets} targets"
        f"{fewer}, Square 5,000 queries, one start each, worst case per image"
    )
