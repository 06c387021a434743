"""How often is the classifier right after one step against it? FGSM in three readings.

"ε = 0.2" has no single meaning; the readings differ by their space, labels and clipping:

- `authors`: standardised space, the network's own predictions, clipped to [0, 1] in that space;
- `standardised`: standardised space, true labels, clipped to valid pixels;
- `pixel`: pixels of [0, 1], true labels, clipped to valid pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from sdd_eval.data.standardisation import author_statistics
from sdd_eval.errors import InputError, unknown_name
from sdd_eval.evaluators.intervals import INTERVALS, Intervals, share
from sdd_eval.evaluators.settings import collects, scores
from sdd_eval.evaluators.temperature import fitted_words, temperature_of
from sdd_eval.records import Measurement, ModelSpec

if TYPE_CHECKING:
    from sdd_eval.evaluators.subject import Arrays, Subject

Reading = Literal["authors", "standardised", "pixel"]
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


@dataclass(frozen=True)
class Variant:
    """One attack: a reading, how its gradient is formed, and what the logits are divided by."""

    reading: str
    gradient: Literal["stable", "float32"]
    temperature: Literal["one", "fitted"]

    @property
    def column(self) -> str:
        """The end of the names of its arrays."""
        return f"{self.reading}_{self.gradient}_{self.temperature}"


@dataclass(frozen=True)
class Fgsm:
    """Accuracy under the fast gradient sign method, with the controls that tell what it means."""

    name: ClassVar[str] = "fgsm"
    version: ClassVar[int] = 1

    epsilon: float = collects(0.2)
    """Size ε of the step (L∞), in the units of each reading."""
    curve: tuple[float, ...] = collects((0.01, 0.02, 0.05, 0.1, 0.2, 0.3))
    """Further sizes, for accuracy against ε."""
    readings: tuple[Reading, ...] = collects(("authors", "standardised", "pixel"))
    """Meanings of ε: authors (as they ran it), standardised, pixel."""
    constants: Literal["paper", "own"] = collects("paper")
    """Standardisation that readings authors and standardised are in: the paper's or the network's.
    Networks of other than three channels always have their own."""
    validation_set: str = collects("", loads="validation")
    """What T is fitted on: the checkpoint's validation images if it has any; none: the test's."""
    intervals: Intervals = scores(INTERVALS)
    """How the intervals are made."""

    @property
    def epsilons(self) -> tuple[float, ...]:
        """All sizes of a step, each once, `epsilon` first."""
        return tuple(dict.fromkeys((self.epsilon, *self.curve)))

    def sizes(self, variant: Variant) -> tuple[float, ...]:
        """The sizes at which an attack is tried; plain float32 only at the first."""
        return self.epsilons if variant.gradient == "stable" else self.epsilons[:1]

    def variants(self) -> tuple[Variant, ...]:
        """All attacks: `authors` also in plain float32, all also with the fitted temperature."""
        return tuple(
            Variant(reading, gradient, temperature)
            for reading in self.readings
            for gradient in (("stable", "float32") if reading == "authors" else ("stable",))
            for temperature in ("one", "fitted")
        )

    def collect(self, subject: Subject) -> Arrays:
        """What the network predicts (n, sizes) under each attack; the images are not kept.

        `labels` and `predicted` (n,), clean; of each variant `predicted_…` (n, sizes) and
        `zero_gradient_…` (n,); of each reading `predicted_READING_random` (n,); and, the same for
        every image, `temperature` (n,) as fitted and `constants` (n, 2, channels), mean and std.

        Raises:
            InputError: ε < 0, no or unknown readings, no labels, or a network that gives NaN.
        """
        self._check(subject.spec)
        from sdd_eval.evaluators.adversarial.fgsm_attack import Space, predictions_under_attack

        labels = subject.labels()
        logits = subject.logits(label="clean images")
        temperature = temperature_of(subject, self.validation_set, logits, labels)
        mean, std = self._constants(subject.spec)
        plan = {variant: self.sizes(variant) for variant in self.variants()}
        space = Space(mean, std, subject.device)
        found = predictions_under_attack(subject, labels, plan, space, temperature)
        found |= {"labels": labels, "predicted": logits.argmax(axis=1)}
        return _compact(found, subject.spec.classes) | {
            "temperature": np.full(len(labels), temperature),
            "constants": np.tile(np.array([[mean, std]]), (len(labels), 1, 1)),
        }

    def _check(self, spec: ModelSpec) -> None:
        """Refuse settings that have no meaning."""
        sizes = [("--epsilon", self.epsilon), *(("--curve", size) for size in self.curve)]
        for flag, epsilon in sizes:
            if not 0 <= epsilon < np.inf:
                raise InputError(f"{flag} has ε = {epsilon:g}; ε must be 0 or more")
        if not self.readings:
            raise InputError(f"--readings is empty; known: {', '.join(get_args(Reading))}")
        for reading in self.readings:
            if reading not in get_args(Reading):
                raise unknown_name("variant", reading, get_args(Reading))
        if self.constants not in ("paper", "own"):
            raise unknown_name("constants", self.constants, ("paper", "own"))
        if spec.classes < 2:
            raise InputError("the network has one class; FGSM needs two or more")

    def _constants(self, spec: ModelSpec) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and std of the standardised space."""
        if self._whose(spec.channels) == "own":
            return spec.mean, spec.std
        return author_statistics(spec.image_size)

    def _whose(self, channels: int) -> str:
        """Whose constants: the paper has none but for three channels."""
        return self.constants if channels == 3 else "own"

    def score(self, arrays: Mapping[str, NDArray[Any]]) -> list[Measurement]:
        """Accuracy per variant and size, its controls, and what is right before (fractions)."""
        found = [row for reading in self.readings for row in self._controls(reading, arrays)]
        for variant in self.variants():
            found.extend(self._of_variant(variant, arrays))
        return found

    def _controls(self, reading: str, arrays: Mapping[str, NDArray[Any]]) -> Iterator[Measurement]:
        """What is right before a reading's attack, and after a step along random signs."""
        labels, at = arrays["labels"], {**self._at(reading, arrays), "temperature": 1.0}
        text = "clean images, accuracy against the true labels"
        yield share("fgsm_right_before", arrays["predicted"] == labels, at, text, self.intervals)
        after = arrays[f"predicted_{reading}_random"] == labels
        text = (
            f"{self._step(reading, self.epsilon, arrays)}; signs random instead of the gradient's"
        )
        at = {**at, "epsilon": self.epsilon}
        yield share("fgsm_random_sign_accuracy", after, at, text, self.intervals)

    def _of_variant(
        self, variant: Variant, arrays: Mapping[str, NDArray[Any]]
    ) -> Iterator[Measurement]:
        """Accuracy at each size (right after), and the controls at the first."""
        temperature = 1.0 if variant.temperature == "one" else "fitted"
        at = self._at(variant.reading, arrays)
        at |= {"gradient": variant.gradient, "temperature": temperature}
        labels, predicted = arrays["labels"], arrays[f"predicted_{variant.column}"]
        right = predicted == labels[:, None]
        how = _how(variant, float(arrays["temperature"][0]), bool(self.validation_set))
        for index, epsilon in enumerate(self.sizes(variant)):
            text = f"{self._step(variant.reading, epsilon, arrays)}; {how}"
            here = {**at, "epsilon": epsilon}
            yield share("fgsm_accuracy", right[:, index], here, text, self.intervals)
            if index == 0:
                flipped = right[:, 0] & (arrays["predicted"] != labels)
                text = f"share of all images that are wrong before and right after; {text}"
                yield share("fgsm_flipped_to_right", flipped, here, text, self.intervals)
        zeros = float(arrays[f"zero_gradient_{variant.column}"].sum())
        text = f"images whose gradient is zero in every pixel; {how}"
        yield Measurement("fgsm_zero_gradients", zeros, "images", at, text)

    def _at(self, reading: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
        """The reading, and whose constants its space has."""
        if reading == "pixel":
            return {"variant": reading}
        return {"variant": reading, "constants": self._whose(arrays["constants"].shape[2])}

    def _step(self, reading: str, epsilon: float, arrays: Mapping[str, NDArray[Any]]) -> str:
        """The step in words: space, norm, ε in pixels, clip, labels."""
        if reading == "pixel":
            space = f"pixels of [0, 1] ({epsilon * 255:.3g}/255)"
        else:
            mean, std = arrays["constants"][0]
            whose = self._whose(len(mean))
            space = (
                f"standardised space (constants: {whose}, mean {_list(mean)}, std {_list(std)}; "
                f"in pixels of [0, 1] {_list(epsilon * std)})"
            )
        return f"one L∞ step of ε = {epsilon:g} in {space}; {CLIPS[reading]}"


def _compact(columns: Mapping[str, NDArray[Any]], classes: int) -> dict[str, NDArray[Any]]:
    """Class indices in the smallest type that holds them; flags as they are."""
    kind = np.min_scalar_type(classes)
    return {
        name: values if values.dtype == np.bool_ else values.astype(kind)
        for name, values in columns.items()
    }


def _how(variant: Variant, fitted: float, validation_set: bool) -> str:
    """The gradient in words: labels, precision, temperature."""
    temperature = "T = 1"
    if variant.temperature == "fitted":
        temperature = fitted_words(fitted, validation_set)
    return (
        f"{LABELS[variant.reading]}; {GRADIENTS[variant.gradient]}; logits divided by {temperature}"
    )


def _list(values: NDArray[np.float64]) -> str:
    """Numbers in a row, briefly."""
    return " ".join(f"{value:.4g}" for value in values)
