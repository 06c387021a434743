"""Time of `compare` for two networks: python tests/benchmarks/comparison.py [images]

Synthetic kept values in the evaluators' own format, of a whole battery on CIFAR-100: 19 × 5
corrupted cells, eight detectors on four sets of outliers, three variants of FGSM, an attack. Prints
the seconds of each evaluator and of all together, whose families are larger. Run it on an idle
machine; no test depends on it.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from pathlib import Path

import numpy as np
from pairs import seconds, where

from sdd_eval.arrays import Array, Arrays
from sdd_eval.comparison.compare import compare
from sdd_eval.evaluators.accuracy import Accuracy
from sdd_eval.evaluators.adversarial.fgsm import Fgsm
from sdd_eval.evaluators.calibration import Calibration
from sdd_eval.evaluators.corruption.corruption import Corruption
from sdd_eval.evaluators.evaluator import Intervals
from sdd_eval.evaluators.mask_variance import MaskVariance
from sdd_eval.evaluators.ood.ood import Odin, Ood
from sdd_eval.evaluators.selective import Selective
from sdd_eval.former_arrays import structured
from sdd_eval.metrics.corruption import NINETEEN
from sdd_eval.records import Run, encode
from sdd_eval.store import write_run

CLASSES = 100
OUTLIERS = ("svhn", "dtd", "lsun_resize", "isun")
DETECTORS = ("odin", "msp", "max_logit", "energy", "entropy", "mahalanobis", "vim", "react")
ONE = Intervals(resamples=1)


def arrays_of(evaluator, random: np.random.Generator, n: int, better: float) -> Arrays:
    """Return the arrays of an evaluator for a network that is better by a given amount."""
    labels = np.arange(n) % CLASSES
    logits = random.normal(0, 2, (n, CLASSES)).astype(np.float32)
    logits[np.arange(n), labels] += 4 + 4 * better + random.normal(0, 3, n).astype(np.float32)
    sizes = {"": n} | {f"_{name}": n for name in OUTLIERS}
    make = {
        "accuracy": lambda: {"logits": logits, "labels": labels},
        "calibration": lambda: {"logits": logits, "labels": labels},
        "selective": lambda: {
            "correct": random.random(n) < 0.7 + better,
            "scores": random.random((n, 4)),
        },
        "odin": lambda: {
            f"scores{e}": random.normal(better * (not e), 1, s) for e, s in sizes.items()
        },
        "ood": lambda: {
            name + e.replace("_", ":", 1): random.normal(better * (not e), 1, s)
            for name in DETECTORS
            for e, s in sizes.items()
        },
        "mask_variance": lambda: {
            f"{name}{e}": random.gamma(2.0 + better, size=s)
            for name in ("squares", "spread")
            for e, s in sizes.items()
        },
        "corruption": lambda: corrupted(random, n, better),
    }
    if evaluator.name == "fgsm":
        return attacked(evaluator, random, labels, better)
    return structured(evaluator.name, make[evaluator.name]())


def corrupted(random: np.random.Generator, n: int, better: float) -> dict:
    """Return the arrays of every cell of CIFAR-100-C."""
    result = {"frost": np.full(n, "official"), "origin": np.full(n, "official")}
    for name in ("clean", *NINETEEN):
        shape = (n,) if name == "clean" else (n, 5)
        sure = random.random(shape) ** 0.3
        result[f"confidence_{name}"] = sure.astype("f4")
        result[f"correct_{name}"] = random.random(shape) < sure * (0.7 + better)
    return result


def attacked(evaluator, random: np.random.Generator, labels: np.ndarray, better: float) -> Arrays:
    """Return the predictions under every attack."""
    n = len(labels)

    def predicted(*shape: int) -> np.ndarray:
        right = random.random((n, *shape)) < 0.3 + better
        return np.where(right, labels.reshape(-1, *[1] * len(shape)), CLASSES).astype(np.uint8)

    result = [Array("labels", labels), Array("predicted", predicted())]
    for variant in evaluator.variants:
        at = {"variant": variant, "gradient": "random"}
        result.append(Array("predicted", predicted(), at=at))
    for attack in evaluator.attacks():
        table, axes = predicted(len(evaluator.sizes(attack))), ("images", "epsilon")
        result.append(Array("predicted", table, axes, attack.at))
        result.append(Array("zero_gradient", random.random(n) < 0.01, at=attack.at))
    return Arrays(result, temperature=1.3, mean=[0.5] * 3, std=[0.2] * 3)


def write(study: Path, evaluator, n: int) -> None:
    """Return the runs of both networks."""
    for seed, name in enumerate(("one", "two")):
        arrays = arrays_of(evaluator, np.random.default_rng((seed, 5)), n, 0.03 * seed)
        fields = {f.name: getattr(evaluator, f.name) for f in dataclasses.fields(evaluator)}
        run = Run(
            checkpoint=name,
            weights_sha256=name,
            dataset="cifar100",
            data_fingerprint="f",
            evaluator=evaluator.name,
            evaluator_version=evaluator.version,
            settings=encode(fields),
            limit=None,
            n=n,
            measurements=tuple(evaluator.score(arrays)),
            provenance={"created": "2026-01-02"},
            arrays=arrays,
        )
        write_run(study / "runs" / name / f"{evaluator.name}-cifar100-0.json", run)


def main() -> None:
    where()
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    sets = {"outliers": OUTLIERS, "training": "cifar100", "intervals": ONE}
    evaluators = [
        Accuracy(intervals=ONE),
        Calibration(intervals=ONE),
        Selective(intervals=ONE),
        Fgsm(intervals=ONE),
        MaskVariance(outliers=OUTLIERS, intervals=ONE),
        Odin(**sets),
        Ood(detectors=DETECTORS, **sets),
        Corruption(intervals=ONE),
    ]
    with tempfile.TemporaryDirectory() as folder:
        for evaluator in evaluators:
            study = Path(folder) / evaluator.name
            write(study, evaluator, n)
            write(Path(folder) / "all", evaluator, n)
            took = seconds(lambda study=study: compare(study, ["one", "two"]))
            print(f"{evaluator.name:<14} {took:6.1f} s", flush=True)
        took = seconds(lambda: compare(Path(folder) / "all", ["one", "two"]))
        print(f"{'all':<14} {took:6.1f} s")


if __name__ == "__main__":
    main()
