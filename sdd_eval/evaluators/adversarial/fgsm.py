"""Accuracy under the fast gradient sign method (FGSM), in three variants.

"ε = 0.2" is ambiguous. The variants differ in space, labels and clipping:

- `authors`: standardised space, the network's own predictions, clipped to [0, 1] in that space;
- `standardised`: standardised space, true labels, clipped to the valid pixel range;
- `pixel`: pixels in [0, 1], true labels, clipped to the valid pixel range.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from sdd_eval import data
from sdd_eval.arrays import Array, Arrays
from sdd_eval.errors import InputError, unknown_name
from sdd_eval.evaluators import adversarial
from sdd_eval.evaluators.adversarial.threat import CLEAN, TEMPERATURES, Temperature, fitted_values
from sdd_eval.evaluators.evaluator import Evaluator
from sdd_eval.evaluators.settings import collects
from sdd_eval.evaluators.temperature import fitted_words, temperature_of
from sdd_eval.records import ModelSpec
from sdd_eval.statistics.statistic import Quantity, Statistic, counts, shares
from sdd_eval.validation import FROM_0

if TYPE_CHECKING:
    from sdd_eval.evaluators.subject import Subject

Variant = Literal["authors", "standardised", "pixel"]
CLIPS = {
    "authors": "clipped to [0, 1] in standardised space, then to the ±ε ball (as the authors ran "
    "it); accuracy against the true labels",
    "standardised": "clipped to valid pixels; accuracy against the true labels",
    "pixel": "clipped to [0, 1]; accuracy against the true labels",
}
LABELS = {
    "authors": "cross-entropy of the network's own predictions",
    "standardised": "cross-entropy of the true labels",
    "pixel": "cross-entropy of the true labels",
}
GRADIENTS = {
    "stable": "gradient formed at the logits in float64 without 1 − p, then float32",
    "float32": "gradient of the summed cross-entropy in plain float32, which saturates",
}
FLIPPED = "share of all images that are wrong before and right after"


@dataclass(frozen=True)
class FgsmAttack:
    """One of the evaluator's attacks."""

    variant: str
    gradient: Literal["stable", "float32"]
    temperature: Temperature

    @property
    def at(self) -> dict[str, Any]:
        """The coordinates of its arrays."""
        return asdict(self)


@dataclass(frozen=True)
class Fgsm(Evaluator):
    """Accuracy under the fast gradient sign method, with controls."""

    name: ClassVar[str] = "fgsm"
    version: ClassVar[int] = 1

    epsilon: float = collects(0.2, bound=FROM_0)
    """Step size ε (L∞), in the space of each variant."""
    curve: tuple[float, ...] = collects((0.01, 0.02, 0.05, 0.1, 0.2, 0.3))
    """Additional step sizes, for the curve of accuracy against ε."""
    variants: tuple[Variant, ...] = collects(("authors", "standardised", "pixel"))
    """Variants of the attack: authors (as in their code), standardised, pixel."""
    constants: Literal["paper", "own"] = collects("paper")
    """Standardisation used by the variants authors and standardised: the paper's or the network's
    own. Networks whose images do not have three channels always use their own."""
    validation_set: str = collects("", loads="validation")
    """Images to fit the temperature on; none uses the test images. Default: the checkpoint's
    validation images, if any."""

    @property
    def epsilons(self) -> tuple[float, ...]:
        """The distinct step sizes, `epsilon` first."""
        return tuple(dict.fromkeys((self.epsilon, *self.curve)))

    def sizes(self, attack: FgsmAttack) -> tuple[float, ...]:
        """Return the step sizes of an attack; only the first one with plain float32 gradients."""
        return self.epsilons if attack.gradient == "stable" else self.epsilons[:1]

    def attacks(self) -> tuple[FgsmAttack, ...]:
        """Return all attacks, each also with a fitted T; `authors` also in plain float32."""
        return tuple(
            FgsmAttack(variant, gradient, temperature)
            for variant in self.variants
            for gradient in (("stable", "float32") if variant == "authors" else ("stable",))
            for temperature in TEMPERATURES
        )

    def collect(self, subject: Subject) -> Arrays:
        """Return the predictions under each attack, and pictures of one adversarial image.

        The arrays are `labels` and clean `predicted` (images,), class indices; for each attack
        (`variant`, `gradient`, `temperature`) `predicted` (images, epsilon) and `zero_gradient`
        (images,) bool; and for each variant `predicted` (images,) with the `gradient` "random". The
        facts are the fitted `temperature`, and the `mean` and `std` of each channel in the
        standardised space.

        Raises:
            InputError: ε < 0, no or unknown variants, no labels, or a logit is NaN.
        """
        self.check()
        if subject.spec.classes < 2:
            raise InputError("the network has one class; FGSM needs two or more")
        labels = subject.labels()
        logits = subject.logits(label="clean images")
        temperature = temperature_of(subject, self.validation_set, logits, labels)
        mean, std = self._constants(subject.spec)
        sizes = {attack: self.sizes(attack) for attack in self.attacks()}
        arrays = adversarial.predictions_under_attack(subject, sizes, (mean, std), temperature)
        clean = {"labels": labels, "predicted": logits.argmax(axis=1)}
        kind = np.min_scalar_type(subject.spec.classes)
        entries = (Array(name, classes.astype(kind)) for name, classes in clean.items())
        return arrays | Arrays(entries, temperature=temperature, mean=mean, std=std)

    def check(self) -> None:
        """Raise InputError for a negative ε, or for missing or unknown variants or constants."""
        for epsilon in self.curve:
            if not 0 <= epsilon < np.inf:
                raise InputError(f"--curve has ε = {epsilon:g}; it must be 0 or more")
        if not self.variants:
            raise InputError(
                f"--variants is empty; name one or more of {', '.join(get_args(Variant))}"
            )
        for variant in self.variants:
            if variant not in get_args(Variant):
                raise unknown_name("variant", variant, get_args(Variant))
        if self.constants not in ("paper", "own"):
            raise unknown_name("constants", self.constants, ("paper", "own"))

    def _constants(self, spec: ModelSpec) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the mean and std of the standardised space, per channel."""
        if self._constants_of(spec.channels) == "own":
            return spec.mean, spec.std
        return data.author_statistics(spec.image_size)

    def _constants_of(self, channels: int) -> str:
        """Return whose constants are used; the paper's require three channels."""
        return self.constants if channels == 3 else "own"

    def statistics(self, arrays: Arrays) -> Iterator[Statistic]:
        """Yield the accuracy for each attack and step size, and the controls (fractions)."""
        for variant in self.variants:
            yield self._controls(variant, arrays)
        for attack in self.attacks():
            yield from self._of_attack(attack, arrays)

    def _controls(self, variant: str, arrays: Arrays) -> Statistic:
        """Return accuracy before a variant's attack, and after a step along random signs."""
        labels, at = arrays["labels"], {**self._at(variant, arrays), "temperature": 1.0}
        before = Quantity("fgsm_right_before", "fraction", at, CLEAN)
        random = "signs random instead of the gradient's"
        protocol = {**self._step(variant, self.epsilon, arrays), "gradient": random}
        at = {**at, "epsilon": self.epsilon}
        after = Quantity("fgsm_random_sign_accuracy", "fraction", at, protocol)
        under_random = arrays.where(variant=variant, gradient="random")
        predicted = (arrays["predicted"], under_random["predicted"])
        return shares([before, after], [classes == labels for classes in predicted])

    def _of_attack(self, attack: FgsmAttack, arrays: Arrays) -> Iterator[Statistic]:
        """Yield accuracy after an attack at each step size, and the controls at the first."""
        at = {**self._at(attack.variant, arrays), **attack.at}
        labels, attacked = arrays["labels"], arrays.where(**attack.at)
        correct = attacked["predicted"] == labels[:, None]
        gradient = _gradient(attack, bool(self.validation_set))
        fitted = fitted_values(attack.temperature, arrays)
        quantities, flags = [], []
        for index, epsilon in enumerate(self.sizes(attack)):
            protocol = {**self._step(attack.variant, epsilon, arrays), **gradient}
            axes = {**at, "epsilon": epsilon}
            quantities.append(Quantity("fgsm_accuracy", "fraction", axes, protocol, fitted))
            flags.append(correct[:, index])
            if index == 0:
                flipped = {"definition": FLIPPED, **protocol}
                name = "fgsm_flipped_to_right"
                quantities.append(Quantity(name, "fraction", axes, flipped, fitted))
                flags.append(correct[:, 0] & (arrays["predicted"] != labels))
        yield shares(quantities, flags)
        protocol = {"definition": "images whose gradient is zero in every pixel", **gradient}
        zeros = Quantity("fgsm_zero_gradients", "images", at, protocol, fitted)
        yield counts([zeros], [attacked["zero_gradient"]])

    def _at(self, variant: str, arrays: Arrays) -> dict[str, Any]:
        """Return the axes of a variant, and whose constants define its space."""
        if variant == "pixel":
            return {"variant": variant}
        constants = self._constants_of(len(arrays.facts["mean"]))
        return {"variant": variant, "constants": constants}

    def _step(self, variant: str, epsilon: float, arrays: Arrays) -> dict[str, str]:
        """Return the conditions of the step: space, norm, ε in pixels, and clipping."""
        if variant == "pixel":
            space = f"pixels of [0, 1] ({epsilon * 255:.3g}/255)"
        else:
            mean, std = (np.array(arrays.facts[name]) for name in ("mean", "std"))
            constants = self._constants_of(len(mean))
            space = (
                f"standardised space (constants: {constants}, mean {_list(mean)}, "
                f"std {_list(std)}; in pixels of [0, 1] {_list(epsilon * std)})"
            )
        step = f"one L∞ step of ε = {epsilon:g} in {space}"
        return {"step": step, "clipping": CLIPS[variant]}


def _gradient(attack: FgsmAttack, validation_set: bool) -> dict[str, str]:
    """Return the conditions of the gradient: labels, precision, temperature."""
    temperature = fitted_words(validation_set) if attack.temperature == "fitted" else "T = 1"
    return {
        "labels": LABELS[attack.variant],
        "gradient": GRADIENTS[attack.gradient],
        "temperature": f"logits divided by {temperature}",
    }


def _list(values: NDArray[np.float64]) -> str:
    return " ".join(f"{value:.4g}" for value in values)
