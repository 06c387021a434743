"""The numbers of a run that images add up to, made anew from what it kept image by image.

Each built-in evaluator has a function from its arrays to parts: numbers of one kind, computed
together. A number that no part has, of a stranger's evaluator too, is compared without a test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdd_eval.metrics.calibration import bin_index
from sdd_eval.metrics.classification import among_top_k, confidence_and_correct, nll_of_images
from sdd_eval.statistics.bootstrap import Floats
from sdd_eval.statistics.sums import Sums

Arrays = Mapping[str, NDArray[Any]]
#: A metric and the axes that tell one of its numbers from the others, as text.
Key = tuple[str, tuple[tuple[str, str], ...]]

#: The readings, gradients and temperatures of FGSM's arrays are three words at the end of a name.
_FGSM = "predicted_"


@dataclass(frozen=True)
class Part:
    """Numbers of one network, a key each; `flags` are (n, keys) 0 or 1 where these are shares."""

    keys: tuple[Key, ...]
    sums: Sums
    flags: NDArray[np.bool_] | None = None


def key(metric: str, **at: Any) -> Key:
    """The key of a number; numbers among the axes are told as short as they can be.

    >>> key("fgsm_accuracy", reading="pixel", epsilon=0.2)
    ('fgsm_accuracy', (('epsilon', '0.2'), ('reading', 'pixel')))
    """
    return metric, tuple(sorted((name, _text(value)) for name, value in at.items()))


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def shares(keys: list[Key], flags: list[NDArray[Any]]) -> Part:
    """Shares of images that are flagged (n,), a key each."""
    table = np.stack(flags, axis=1).astype(bool)
    return Part(tuple(keys), _means(table), table)


def means(keys: list[Key], values: list[ArrayLike]) -> Part:
    """Means of per-image values (n,), a key each."""
    return Part(tuple(keys), _means(np.stack([np.asarray(each) for each in values], axis=1)))


def _means(table: NDArray[Any]) -> Sums:
    n = len(table)
    return Sums(table.astype(np.float32), lambda sums: sums / n, n)


def calibration_errors(
    keys: list[Key], confidence: NDArray[Any], correct: NDArray[Any], bins: int
) -> Part:
    """The ECE of each column (n, columns), a key each: bins hold sums of correct − confidence."""
    sure = np.asarray(confidence, dtype=np.float64)
    n, columns = sure.shape
    index = bin_index(sure.ravel(), bins).reshape(sure.shape)
    apart = np.zeros((n, columns, bins), dtype=np.float32)
    residuals = (np.asarray(correct, dtype=np.float64) - sure).astype(np.float32)
    np.put_along_axis(apart, index[:, :, None], residuals[:, :, None], axis=2)

    def finish(sums: Floats) -> Floats:
        found: Floats = np.abs(sums.reshape(len(sums), columns, bins)).sum(axis=2) / n
        return found

    return Part(tuple(keys), Sums(apart.reshape(n, -1), finish, n))


def of_accuracy(arrays: Arrays, settings: Mapping[str, Any]) -> Iterator[Part]:
    """Accuracy, top-5 accuracy and NLL."""
    logits, labels = arrays["logits"], arrays["labels"]
    _, correct = confidence_and_correct(logits, labels)
    keys, flags = [key("accuracy")], [correct]
    if logits.shape[1] > 5:
        keys.append(key("accuracy_top5"))
        flags.append(among_top_k(logits, labels, 5))
    yield shares(keys, flags)
    yield means([key("nll")], [nll_of_images(logits, labels)])


def of_calibration(arrays: Arrays, settings: Mapping[str, Any]) -> Iterator[Part]:
    """ECE, NLL and Brier score of the network as it is."""
    from sdd_eval.metrics.brier import brier_of_images

    logits, labels = arrays["logits"], arrays["labels"]
    confidence, correct = confidence_and_correct(logits, labels)
    bins = int(settings["bins"])
    yield calibration_errors([key("ece")], confidence[:, None], correct[:, None], bins)
    values: list[ArrayLike] = [nll_of_images(logits, labels), brier_of_images(logits, labels)]
    yield means([key("nll"), key("brier")], values)


def of_fgsm(arrays: Arrays, settings: Mapping[str, Any]) -> Iterator[Part]:
    """Accuracy under each attack at each size, and under random signs."""
    labels, keys, flags = arrays["labels"], list[Key](), list[NDArray[Any]]()
    sizes = tuple(dict.fromkeys((settings["epsilon"], *settings["curve"])))
    for name in arrays:
        words = name.removeprefix(_FGSM).split("_")
        if not name.startswith(_FGSM) or len(words) not in (2, 3):
            continue
        if words[1:] == ["random"]:
            at = {"reading": words[0], "temperature": 1, "epsilon": sizes[0]}
            keys.append(key("fgsm_random_sign_accuracy", **at))
            flags.append(arrays[name] == labels)
        elif len(words) == 3:
            reading, gradient, scaled = words
            temperature = 1 if scaled == "one" else scaled
            for size, found in zip(sizes, arrays[name].T, strict=False):
                at = {"gradient": gradient, "temperature": temperature, "epsilon": size}
                keys.append(key("fgsm_accuracy", reading=reading, **at))
                flags.append(found == labels)
    if keys:
        yield shares(keys, flags)


def of_attack(arrays: Arrays, settings: Mapping[str, Any]) -> Iterator[Part]:
    """What is right before and after an attack, at each temperature."""
    keys, flags = [], []
    if "right" in arrays:
        keys.append(key("attack_right_before"))
        flags.append(arrays["right"])
    for name, temperature in (("one", 1), ("fitted", "fitted")):
        if f"survives_{name}" in arrays:
            keys.append(key("attack_accuracy", temperature=temperature))
            flags.append(arrays[f"survives_{name}"])
    if keys:
        yield shares(keys, flags)


Maker = Callable[[Arrays, Mapping[str, Any]], Iterator[Part]]
