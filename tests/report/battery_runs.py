"""Synthetic studies with all evaluators, in the real format and size.

Each evaluator scores made-up arrays of its own once; the networks of a study have those rows with
noise on their values. So there are as many rows as of real networks, with words as long.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
import numpy as np
from synthetic_networks import Network, run_of

from sdd_eval.arrays import Array, Arrays
from sdd_eval.evaluators.accuracy import Accuracy
from sdd_eval.evaluators.adversarial.attack import Attack
from sdd_eval.evaluators.adversarial.fgsm import Fgsm
from sdd_eval.evaluators.adversarial.threat import EPSILONS, Threat
from sdd_eval.evaluators.calibration import Calibration
from sdd_eval.evaluators.corruption.corruption import Corruption
from sdd_eval.evaluators.mask_variance import MaskVariance
from sdd_eval.evaluators.ood.ood import Odin, Ood
from sdd_eval.evaluators.selective import Selective
from sdd_eval.former_arrays import structured
from sdd_eval.metrics.corruption import FIFTEEN
from sdd_eval.records import Measurement, Recipe, Run, encode

Named = dict[str, Any]
Random = np.random.Generator

SETS = ("lsun_resize", "isun", "dtd", "svhn")
DETECTORS = (
    *("odin", "msp", "max_logit", "energy", "entropy"),
    *("mahalanobis", "knn", "vim", "react"),
)
METHODS = ("ce", "ls", "byot", "cs_kd", "ddgsd")
CLASSES = 100
FITTED = 1.4


@dataclasses.dataclass(frozen=True)
class Measured:
    """An evaluator with its measurements."""

    evaluator: Any
    measurements: tuple[Measurement, ...]
    arrays: Any


def logits(random: Random, n: int) -> Named:
    labels = np.arange(n) % CLASSES
    result = random.normal(size=(n, CLASSES)).astype(np.float32)
    result[np.arange(n), labels] += random.normal(4, 2, n)
    return {"logits": result, "labels": labels}


def ranked(random: Random, n: int, gain: float = 0.0) -> Named:
    """Return the arrays of `selective`."""
    correct = random.random(n) < 0.76 + gain
    return {"correct": correct, "scores": random.normal(size=(n, 4)) + 1.5 * correct[:, None]}


def predicted(random: Random, n: int) -> Arrays:
    """Return the arrays of `fgsm`."""
    labels = np.arange(n) % CLASSES

    def guesses(share: float) -> Any:
        return np.where(random.random(n) < share, labels, (labels + 1) % CLASSES)

    result = [Array("labels", labels), Array("predicted", guesses(0.76))]
    evaluator = Fgsm()
    for attack in evaluator.attacks():
        columns = [guesses(0.76 * np.exp(-9 * size)) for size in evaluator.sizes(attack)]
        table = np.stack(columns, axis=1)
        result.append(Array("predicted", table, ("images", "epsilon"), attack.at))
        result.append(Array("zero_gradient", np.zeros(n, bool), at=attack.at))
    for variant in evaluator.variants:
        at = {"variant": variant, "gradient": "random"}
        result.append(Array("predicted", guesses(0.7), at=at))
    mean, std = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
    return Arrays(result, temperature=FITTED, mean=mean, std=std)


def fitted(n: int) -> Named:
    return {"temperature": np.full(n, FITTED)}


def checked(n: int) -> Named:
    """The checks of every attack, at both temperatures."""
    names = ("zero_gradient", "zero_gradient_float32", "path_differs")
    return {f"{name}_{end}": np.zeros(n, bool) for name in names for end in ("one", "fitted")}


def attacked(random: Random, n: int) -> Arrays:
    values = {"eps": 8 / 255, "alpha": 2 / 255, "steps": 10, "random_start": True}
    right = random.random(n) < 0.76
    threat = dataclasses.asdict(Threat("PGD", "Linf", values))
    facts = {"channels": 3, "classes": CLASSES, "threat": threat, "cross_entropy": True}
    result = {"right": right}
    for end in ("one", "fitted"):
        result[f"survives_{end}"] = right & (random.random(n) < 0.1)
        result[f"change_{end}"] = np.full(n, 8 / 255)
    return structured("attack", {**result, **fitted(n), **checked(n)}) | Arrays(**facts)


def audited(random: Random, n: int) -> Named:
    right = random.random(n) < 0.76
    result = {"right": right, "right_compared": random.random(n) < 0.76}
    strength = random.random(n)[:, None]
    sizes = np.array(EPSILONS) * 255
    for attack in ("fgsm", "pgd_ce", "pgd_margin", "square", "transfer"):
        for end in ("one", "fitted"):
            result[f"survives_{attack}_{end}"] = right[:, None] & (
                strength > 1 - np.exp(-sizes / 4)
            )
    return {**result, **fitted(n), **checked(n)}


def corrupted(random: Random, n: int) -> Named:
    clean = {"correct_clean": random.random(n) < 0.76}
    result = {**clean, "confidence_clean": random.random(n).astype(np.float32)}
    for index, name in enumerate(FIFTEEN):
        result[f"correct_{name}"] = random.random((n, 5)) < 0.7 - 0.02 * index
        result[f"confidence_{name}"] = random.random((n, 5)).astype(np.float32)
    return {**result, "origin": np.full(n, "official"), "frost": np.full(n, "official")}


def scored(random: Random, n: int, gain: float = 0.0) -> Arrays:
    """Return the arrays of `odin`."""
    result = [Array("scores", 0.01 + 1e-4 * random.beta(6, 2, n))]
    for index, name in enumerate(SETS):
        values = 0.01 + 1e-4 * random.beta(2 + index, 4 + 40 * gain, n)
        result.append(Array("scores", values, at={"outliers": name}))
    return Arrays(result).at(detector="odin")


def detected(random: Random, n: int) -> Named:
    result: Named = {}
    for name in DETECTORS:
        shape = (n, 2) if name == "knn" else (n,)
        result[name] = random.normal(1, 1, shape)
        result |= {f"{name}:{outliers}": random.normal(0, 1, shape) for outliers in SETS}
    return {**result, "mahalanobis.dropped": np.full(n, 3)}


def masked(random: Random, n: int) -> Named:
    ends = ("", *(f"_{name}" for name in SETS))
    return {f"{what}{end}": random.random(n) + 1 for what in ("squares", "spread") for end in ends}


#: Ten questions with what each looks at.
BATTERY: tuple[tuple[Any, Callable[[Random, int], Any]], ...] = (
    (Accuracy(), logits),
    (Calibration(), logits),
    (Selective(), ranked),
    (Fgsm(), predicted),
    (Attack(eps="8/255", steps=10), attacked),
    (Attack(audit=True, transfer_from="another"), audited),
    (Corruption(), corrupted),
    (Odin(training="cifar100"), scored),
    (Ood(DETECTORS, training="cifar100"), detected),
    (MaskVariance(outliers=SETS), masked),
)
#: The arrays that figures are drawn from: each network has its own.
DRAWN: Mapping[str, Callable[[Random, int, float], Any]] = {"selective": ranked, "odin": scored}


def battery(images: int) -> list[Measured]:
    """Return each evaluator with its measurements on a number of images."""
    result = []
    for seed, (evaluator, make) in enumerate(BATTERY):
        created = make(np.random.default_rng(seed), images)
        arrays = created if isinstance(created, Arrays) else structured(evaluator.name, created)
        result.append(Measured(evaluator, tuple(evaluator.score(arrays)), arrays))
    return result


def networks(count: int) -> list[Network]:
    """Return networks of five methods with and without SD-Dropout, over several seeds."""
    kinds = [(method, weight) for method in METHODS for weight in (0.0, 0.1)]
    result = []
    for index in range(count):
        seed, kind = divmod(index, len(kinds))
        method, weight = kinds[kind]
        name = f"cifar100-resnet18-{method}{f'-sdd{weight:g}' if weight else ''}-seed{seed}"
        recipe = Recipe(method=method, sd_dropout=weight, seed=seed)
        result.append(Network(recipe, name, 0.02 * (weight > 0)))
    return result


def runs(count: int, images: int, drawn: int | None = None) -> Iterator[Run]:
    """Return the runs of a number of networks; arrays for figures have `drawn` images."""
    measured = battery(images)
    for net in networks(count):
        for item in measured:
            yield _run(net, item, drawn or images)


def _run(net: Network, measured: Measured, drawn: int) -> Run:
    evaluator, random = measured.evaluator, net.random
    own = DRAWN.get(evaluator.name)
    origins = {"origin": "official", "images": 10_000, "fingerprint": "f" * 64}
    sets = SETS if evaluator.name in ("odin", "ood", "mask_variance") else ()
    corrupted_set = ("cifar100_c",) if evaluator.name == "corruption" else ()
    names = {f.name: getattr(evaluator, f.name) for f in dataclasses.fields(evaluator)}
    return run_of(
        net,
        evaluator.name,
        [_of_network(measurement, net, random) for measurement in measured.measurements],
        dataset=(*corrupted_set, "cifar100")[0],
        data=dict.fromkeys(("cifar100", *sets, *corrupted_set), origins),
        arrays=own(random, drawn, net.gain) if own else measured.arrays,
        settings=encode(names),
        n=10_000,
        version=evaluator.version,
    )


def _of_network(measurement: Measurement, net: Network, random: Random) -> Measurement:
    """Return a measurement with noise and another fitted temperature."""
    if measurement.unit != "fraction":
        return measurement
    shift = net.gain + float(random.normal(0, 0.004))
    ends = {name: getattr(measurement, name) for name in ("value", "low", "high")}
    moved = {n: v if v is None else float(np.clip(v + shift, 0, 1)) for n, v in ends.items()}
    own = {name: f"{FITTED + shift:.4g}" for name in measurement.fitted if name == "T"}
    return msgspec.structs.replace(measurement, fitted={**measurement.fitted, **own}, **moved)
