"""Statistics of the attack evaluators: accuracies under attack and counts of their checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.comparison.statistic import Arrays, Key, KeyedStatistic, counts, key, shares
from sdd_eval.evaluators.adversarial.attack import PARTS
from sdd_eval.evaluators.adversarial.audit import Audit
from sdd_eval.evaluators.adversarial.threat import EPSILONS, GRADIENTS, TEMPERATURES

#: Prefixes of FGSM's arrays; variant, gradient and temperature follow, separated by "_".
_PREDICTED, _ZERO = "predicted_", "zero_gradient_"

Flags = dict[Key, NDArray[Any]]


def fgsm_statistics(arrays: Arrays, settings: Mapping[str, Any]) -> Iterator[KeyedStatistic]:
    """Yield the accuracy under each attack at each ε, and counts of zero gradients."""
    labels, flags, zeros = arrays["labels"], Flags(), Flags()
    sizes = tuple(dict.fromkeys((settings["epsilon"], *settings["curve"])))
    wrong = arrays["predicted"] != labels
    for name in arrays:
        words = name.removeprefix(_PREDICTED).removeprefix(_ZERO).split("_")
        if name.startswith(_PREDICTED) and words[1:] == ["random"]:
            at = {"variant": words[0], "temperature": 1}
            flags[key("fgsm_right_before", **at)] = ~wrong
            correct = arrays[name] == labels
            flags[key("fgsm_random_sign_accuracy", **at, epsilon=sizes[0])] = correct
        elif name.startswith((_PREDICTED, _ZERO)) and len(words) == 3:
            at = {"variant": words[0], "gradient": words[1], "temperature": TEMPERATURES[words[2]]}
            if name.startswith(_ZERO):
                zeros[key("fgsm_zero_gradients", **at)] = arrays[name]
            else:
                flags |= _fgsm_flags(arrays[name] == labels[:, None], wrong, at, sizes)
    yield from _shares_and_counts(flags, zeros)


def _fgsm_flags(
    correct: NDArray[Any], wrong: NDArray[Any], at: Mapping[str, Any], sizes: tuple[float, ...]
) -> Flags:
    """Return correct flags (n, sizes) by ε, and the images that the first ε corrects."""
    accuracies = {
        key("fgsm_accuracy", **at, epsilon=size): column
        for size, column in zip(sizes, correct.T, strict=False)
    }
    flipped = key("fgsm_flipped_to_right", **at, epsilon=sizes[0])
    return accuracies | {flipped: correct[:, 0] & wrong}


def attack_statistics(arrays: Arrays, settings: Mapping[str, Any]) -> Iterator[KeyedStatistic]:
    """Yield the accuracy before and after an attack and its parts, and counts of its checks."""
    flags: Flags = {key("attack_right_before"): arrays["right"]}
    for name, temperature in TEMPERATURES.items():
        survives = arrays.get(f"survives_{name}")
        if survives is None:
            continue
        flags[key("attack_accuracy", temperature=temperature)] = survives
        if f"broken_by_{name}" in arrays:
            broken_by = arrays[f"broken_by_{name}"]
            for number, part in enumerate(PARTS, start=1):
                at = {"temperature": temperature, "part": part}
                flags[key("attack_accuracy_after", **at)] = survives | (broken_by > number)
    yield from _shares_and_counts(flags, _check_flags("attack", arrays))


def audit_statistics(arrays: Arrays, settings: Mapping[str, Any]) -> Iterator[KeyedStatistic]:
    """Yield the accuracy under each attack of an audit and their worst case at each ε."""
    flags: Flags = {key("audit_right_before"): arrays["right"]}
    both: Flags = {}
    for name, temperature in TEMPERATURES.items():
        at = {"temperature": temperature}
        tables = Audit(transfer_from=str(settings["transfer_from"])).tables(name, arrays)
        for attack, table in tables.items():
            flags |= _by_epsilon("audit_accuracy", table, {**at, "attack": attack})
        worst = np.logical_and.reduce(list(tables.values()))
        flags |= _by_epsilon("audit_worst_case", worst, at)
        if "right_compared" in arrays:
            both[key("n_both_correct", **at)] = arrays["right"] & arrays["right_compared"]
    yield from _shares_and_counts(flags, both | _check_flags("audit", arrays))


def _by_epsilon(metric: str, table: NDArray[Any], at: Mapping[str, Any]) -> Flags:
    """Return correct flags (n, EPSILONS) by ε."""
    return {
        key(metric, **at, epsilon=size): column
        for size, column in zip(EPSILONS, table.T, strict=True)
    }


def _check_flags(metric: str, arrays: Arrays) -> Flags:
    """Return images with zero gradients, and with another prediction in the attack's forward."""
    keys: dict[str, Key] = {}
    for name, temperature in TEMPERATURES.items():
        at = {"temperature": temperature}
        keys[f"path_differs_{name}"] = key(f"{metric}_path_ties", **at)
        for suffix in GRADIENTS:
            gradient = suffix.removeprefix("_") or "stable"
            zero = key(f"{metric}_zero_gradients", **at, gradient=gradient)
            keys[f"{_ZERO.removesuffix('_')}{suffix}_{name}"] = zero
    return {zero: arrays[name] for name, zero in keys.items() if name in arrays}


def _shares_and_counts(flags: Flags, counted: Flags) -> Iterator[KeyedStatistic]:
    if flags:
        yield shares(list(flags), list(flags.values()))
    if counted:
        yield counts(list(counted), list(counted.values()))
