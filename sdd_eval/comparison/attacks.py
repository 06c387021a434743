"""What attacks leave right, with their controls: shares and counts of images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.comparison.statistic import Arrays, Key, KeyedStatistic, counts, key, shares
from sdd_eval.evaluators.adversarial.attack import PARTS
from sdd_eval.evaluators.adversarial.attack_protocol import GRADIENTS, TEMPERATURES
from sdd_eval.evaluators.adversarial.audit import EPSILONS, Audit

#: What the arrays of FGSM's attacks begin with; their readings, gradients and temperatures are
#: three words at the end.
_PREDICTED, _ZERO = "predicted_", "zero_gradient_"

Flags = dict[Key, NDArray[Any]]


def of_fgsm(arrays: Arrays, settings: Mapping[str, Any]) -> Iterator[KeyedStatistic]:
    """Accuracy under each attack at each size, and the controls that tell what it means."""
    labels, flags, zeros = arrays["labels"], Flags(), Flags()
    sizes = tuple(dict.fromkeys((settings["epsilon"], *settings["curve"])))
    wrong = arrays["predicted"] != labels
    for name in arrays:
        words = name.removeprefix(_PREDICTED).removeprefix(_ZERO).split("_")
        if name.startswith(_PREDICTED) and words[1:] == ["random"]:
            at = {"variant": words[0], "temperature": 1}
            flags[key("fgsm_right_before", **at)] = ~wrong
            after = arrays[name] == labels
            flags[key("fgsm_random_sign_accuracy", **at, epsilon=sizes[0])] = after
        elif name.startswith((_PREDICTED, _ZERO)) and len(words) == 3:
            at = {"variant": words[0], "gradient": words[1], "temperature": TEMPERATURES[words[2]]}
            if name.startswith(_ZERO):
                zeros[key("fgsm_zero_gradients", **at)] = arrays[name]
            else:
                flags |= _at_sizes(arrays[name] == labels[:, None], wrong, at, sizes)
    yield from _parts(flags, zeros)


def _at_sizes(
    right: NDArray[Any], wrong: NDArray[Any], at: Mapping[str, Any], sizes: tuple[float, ...]
) -> Flags:
    """What is right (n, sizes) under an attack, and what it flips from wrong at the first size."""
    accuracies = {
        key("fgsm_accuracy", **at, epsilon=size): column
        for size, column in zip(sizes, right.T, strict=False)
    }
    return accuracies | {key("fgsm_flipped_to_right", **at, epsilon=sizes[0]): right[:, 0] & wrong}


def of_attack(arrays: Arrays, settings: Mapping[str, Any]) -> Iterator[KeyedStatistic]:
    """What is right before and after an attack and its parts, at each temperature."""
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
    yield from _parts(flags, _checks("attack", arrays))


def of_audit(arrays: Arrays, settings: Mapping[str, Any]) -> Iterator[KeyedStatistic]:
    """What each attack of an audit leaves right at each size, and their worst case."""
    flags: Flags = {key("audit_right_before"): arrays["right"]}
    both: Flags = {}
    for name, temperature in TEMPERATURES.items():
        at = {"temperature": temperature}
        tables = Audit(transfer_from=str(settings["transfer_from"])).tables(name, arrays)
        for attack, table in tables.items():
            flags |= _table("audit_accuracy", table, {**at, "attack": attack})
        worst = np.logical_and.reduce(list(tables.values()))
        flags |= _table("audit_worst_case", worst, at)
        if "right_compared" in arrays:
            both[key("n_both_correct", **at)] = arrays["right"] & arrays["right_compared"]
    yield from _parts(flags, both | _checks("audit", arrays))


def _table(metric: str, table: NDArray[Any], at: Mapping[str, Any]) -> Flags:
    """What is right at each size of the ball, a key each."""
    return {
        key(metric, **at, epsilon=size): column
        for size, column in zip(EPSILONS, table.T, strict=True)
    }


def _checks(metric: str, arrays: Arrays) -> Flags:
    """Images without a gradient, and those that the attack's path predicts otherwise."""
    kept: dict[str, Key] = {}
    for name, temperature in TEMPERATURES.items():
        at = {"temperature": temperature}
        kept[f"path_differs_{name}"] = key(f"{metric}_path_ties", **at)
        for suffix in GRADIENTS:
            gradient = suffix.removeprefix("_") or "stable"
            place = key(f"{metric}_zero_gradients", **at, gradient=gradient)
            kept[f"{_ZERO.removesuffix('_')}{suffix}_{name}"] = place
    return {place: arrays[name] for name, place in kept.items() if name in arrays}


def _parts(flags: Flags, counted: Flags) -> Iterator[KeyedStatistic]:
    """A part of shares, and one of counts."""
    if flags:
        yield shares(list(flags), list(flags.values()))
    if counted:
        yield counts(list(counted), list(counted.values()))
