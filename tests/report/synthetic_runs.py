"""Synthetic studies in the real format of the evaluators' runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from synthetic_networks import DIGITS, Network, network, run_of

from sdd_eval import plugins
from sdd_eval.arrays import Array, Arrays
from sdd_eval.metrics.selective import selective_metrics
from sdd_eval.records import Measurement, Run
from sdd_eval.report.tables.audits import FLAGS
from sdd_eval.store import write_run

FIFTEEN = [
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic_transform",
    "pixelate",
    "jpeg_compression",
]
OUTLIERS = ("photo_patches", "uniform", "gaussian")


def accuracy_run(net: Network, **fields: Any) -> Run:
    value = 0.95 + net.gain + net.random.normal(0, 0.003)
    rows = [
        Measurement("accuracy", value, "fraction", protocol="largest logit against the label"),
        Measurement("accuracy_top5", 0.999, "fraction", protocol="label among the 5 largest"),
        Measurement("nll", 0.2 - net.gain, "nats", protocol="mean of −log softmax"),
    ]
    return run_of(net, "accuracy", rows, **fields)


def calibration_run(net: Network, bins: int = 10) -> Run:
    random, protocol = net.random, f"{bins} equal-width bins; largest softmax probability"
    rows = [
        Measurement(
            "ece", 0.04 - net.gain + random.normal(0, 0.002), "fraction", {"bins": bins}, protocol
        ),
        Measurement("ece_floor", 0.015, "fraction", {"bins": bins}, protocol, 0.01, 0.02, 0.95),
        Measurement(
            "ece", 0.01, "fraction", {"temperature": "cross-fitted", "bins": bins}, "T cross-fitted"
        ),
    ]
    counts = np.array([0, 0, 4, 6, 8, 12, 20, 30, 60, 220][-bins:])
    for index, count in enumerate(counts, start=1):
        at = {"bins": bins, "bin": index}
        rows.append(Measurement("bin_count", float(count), "images", at, protocol))
        if count:
            confidence = (index - 0.4) / bins
            hit = min(1.0, max(0.0, confidence - 0.08 + net.gain + random.normal(0, 0.02)))
            rows.append(Measurement("bin_confidence", confidence, "fraction", at, protocol))
            rows.append(Measurement("bin_accuracy", hit, "fraction", at, protocol))
            rows.append(
                Measurement(
                    metric="bin_accuracy_calibrated",
                    value=confidence,
                    unit="fraction",
                    at=at,
                    protocol=f"{protocol}; 95 % of simulations",
                    low=confidence - 0.5 * (confidence * (1 - confidence) / count) ** 0.5,
                    high=min(1.0, confidence + (confidence * (1 - confidence) / count) ** 0.5),
                    level=0.95,
                )
            )
    return run_of(net, "calibration", rows, settings={"bins": bins})


def fgsm_run(net: Network) -> Run:
    rows = [
        item for variant in ("authors", "standardised", "pixel") for item in _fgsm(net, variant)
    ]
    return run_of(net, "fgsm", rows, settings={"epsilon": 0.2, "constants": "paper"})


def _fgsm(net: Network, variant: str) -> Iterator[Measurement]:
    fall = {"authors": 2.0, "standardised": 4.0, "pixel": 12.0}[variant]
    noise, fitted = net.random.normal(0, 0.004, 2)
    space = {"variant": variant} | ({} if variant == "pixel" else {"constants": "own"})
    at: dict[str, Any] = {**space, "temperature": 1.0}
    yield Measurement("fgsm_right_before", 0.95 + net.gain, "fraction", at, "clean images")
    control = 0.95 * float(np.exp(-fall * 0.2 / 6)) + net.gain
    at = {**at, "epsilon": 0.2}
    yield Measurement("fgsm_random_sign_accuracy", control, "fraction", at, "random signs")
    for gradient in ("stable", "float32") if variant == "authors" else ("stable",):
        for temperature in (1.0, "fitted"):
            divisor = "T = 1" if temperature == 1.0 else "T, fitted by NLL"
            own = {} if temperature == 1.0 else {"T": f"{1.2 + fitted:.4g}"}
            how = {
                "gradient": f"{gradient} gradient",
                "temperature": f"logits divided by {divisor}",
            }
            at = {**space, "gradient": gradient, "temperature": temperature}
            for epsilon in (0.2, 0.01, 0.02, 0.05, 0.1, 0.3)[: 6 if gradient == "stable" else 1]:
                value = 0.95 * float(np.exp(-fall * epsilon)) + net.gain + noise
                here = {**at, "epsilon": epsilon}
                protocol = {"step": f"one L∞ step of ε = {epsilon:g}, {variant}", **how}
                number = Measurement("fgsm_accuracy", value, "fraction", here, protocol, fitted=own)
                yield number
                if epsilon == 0.2:
                    flipped = {"metric": "fgsm_flipped_to_right", "value": 0.01}
                    yield msgspec.structs.replace(number, **flipped)
            yield Measurement("fgsm_zero_gradients", 0.0, "images", at, how, fitted=own)


def corruption_run(net: Network, names: list[str] = FIFTEEN) -> Run:
    random, rows, means = net.random, [], []
    for index, name in enumerate(names):
        cells = [
            min(1.0, max(0.0, 0.95 - severity * (0.01 + 0.008 * index) + net.gain))
            + random.normal(0, 0.004)
            for severity in range(1, 6)
        ]
        for severity, value in enumerate(cells, start=1):
            at = {"corruption": name, "severity": severity}
            rows.append(Measurement("accuracy", value, "fraction", at, "top-1, regenerated"))
        means.append(float(np.mean(cells)))
        rows.append(
            Measurement(
                "accuracy", means[-1], "fraction", {"corruption": name}, "mean of severities 1–5"
            )
        )
    rows.append(
        Measurement(
            "mca_15_synthetic_frost", float(np.mean(means)), "fraction", {}, "mean over 15 × 5"
        )
    )
    created = {"origin": "regenerated", "fingerprint": "c" * 64, "frost": "synthetic"}
    return run_of(
        net,
        "corruption",
        rows,
        dataset="digits_c_regenerated",
        data={"digits": DIGITS, "digits_c_regenerated": created},
    )


def odin_run(net: Network, outliers: tuple[str, ...] = OUTLIERS) -> Run:
    random, rows = net.random, []
    arrays = Arrays([Array("scores", 0.1 + 0.0004 * random.beta(6, 2, 360))])
    for index, name in enumerate(outliers):
        scores = 0.1 + 0.0004 * random.beta(2 + index, 4 + 40 * net.gain, 300)
        arrays |= Arrays([Array("scores", scores, at={"outliers": name})])
    for name in (*outliers, "average"):
        at = {"detector": "odin", "outliers": name, "temperature": 1000.0, "epsilon": 0.0028}
        for metric, value in (
            ("fpr_at_95_tpr", 0.4 - net.gain),
            ("detection_error", 0.15 - net.gain),
            ("auroc", 0.9 + net.gain),
            ("aupr_in", 0.9 + net.gain),
            ("aupr_out", 0.88 + net.gain),
        ):
            noisy = value + random.normal(0, 0.004)
            rows.append(Measurement(metric, noisy, "fraction", at, f"ODIN, {metric}"))
    sets = {name: {"origin": "made here", "images": 300} for name in outliers}
    sets["photo_patches"] = {"origin": "partial: 300 of 1,000", "images": 300}
    data = {"digits": DIGITS, **{name: sets[name] for name in outliers}}
    return run_of(
        net,
        "odin",
        rows,
        data=data,
        arrays=arrays.at(detector="odin"),
        settings={"temperature": 1000.0},
    )


def ood_run(net: Network, outliers: tuple[str, ...] = OUTLIERS) -> Run:
    random, rows = net.random, []
    detectors: tuple[dict[str, Any], ...] = (
        {"detector": "msp"}, {"detector": "knn", "k": 50}, {"detector": "knn", "k": 200},
    )  # fmt: skip
    for index, detector in enumerate(detectors):
        for name in (*outliers, "average"):
            value = 0.8 + 0.03 * index + net.gain + random.normal(0, 0.004)
            at = {**detector, "outliers": name}
            rows.append(Measurement("auroc", value, "fraction", at, "higher is inside, auroc"))
    created = {"origin": "made here", "images": 300}
    data = {"digits": DIGITS, **{name: created for name in outliers}}
    return run_of(net, "ood", rows, data=data)


def selective_run(net: Network) -> Run:
    random = net.random
    correct = random.random(360) < 0.9 + net.gain
    scores = np.where(correct[:, None], 0.9, 0.6) + 0.2 * random.random((360, 4))
    rows = []
    for column, score in enumerate(("msp", "max_logit", "energy", "entropy")):
        values = selective_metrics(scores[:, column], correct)
        at = {"score": score}
        rows += [Measurement(m, v, "fraction", at, f"surest first, {m}") for m, v in values.items()]
    return run_of(net, "selective", rows, arrays={"correct": correct, "scores": scores})


def attack_run(net: Network, sizes: tuple[float, ...] = (1.0, 4.0, 8.0)) -> Run:
    at: dict[str, Any] = {"attack": "PGD", "norm": "Linf", "steps": 10, "restarts": 1}
    right = 0.95 + net.gain
    before = {**at, "epsilon": sizes[0] / 255}
    rows = [Measurement("attack_right_before", right, "fraction", before, "clean images")]
    for size in sizes:
        here = {**at, "epsilon": size / 255, "temperature": 1.0}
        value = right * float(np.exp(-size / 4))
        rows.append(
            Measurement("attack_accuracy", value, "fraction", here, "right before and after")
        )
    return run_of(net, "attack", rows, settings={"algorithm": "PGD"})


def audit_run(net: Network, raised: tuple[str, ...] = ()) -> Run:
    rows = [
        Measurement("audit_flag", float(flag in raised), "count", {"flag": flag}, "a sign")
        for flag in FLAGS
    ]
    for temperature in (1.0, "fitted"):
        for size in (0.25, 0.5, 1, 2, 4, 8):
            at = {"norm": "Linf", "temperature": temperature, "epsilon": size / 255}
            for folder, attack in enumerate(("fgsm", "pgd_ce", "pgd_margin", "square", "transfer")):
                value = 0.9 * float(np.exp(-size / (4 + folder))) + net.gain
                here = {**at, "attack": attack}
                rows.append(Measurement("audit_accuracy", value, "fraction", here, attack))
            worst = 0.9 * float(np.exp(-size / 3)) + net.gain
            for metric in ("audit_worst_case", "audit_worst_case_both_right"):
                rows.append(Measurement(metric, worst, "fraction", at, "image by image"))
    return run_of(net, "attack", rows, settings={"audit": True}, n=100)


def pictured(
    run: Run, kind: str, conditions: tuple[str, ...] = ("",), count: int = 1, side: int = 8
) -> Run:
    """Return a run with pictures of noise, each of class 0, predicted as classes from 1 on."""
    random = np.random.default_rng(len(run.checkpoint))
    arrays = run.arrays
    for condition in conditions:
        at = {"kind": kind, "condition": condition}
        pixels = random.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
        columns = {
            "rows": np.arange(count) + 7,
            "labels": np.full(count, -1 if kind == "outliers" else 0),
            "predicted": (np.arange(count) + 1) % 10,
            "confidence": np.linspace(1, 0.5, count, dtype=np.float32),
        }
        axes = ("pictures", "height", "width", "channels")
        arrays |= Arrays(
            [
                Array("pictures", pixels, axes, at),
                *(Array(f"picture_{name}", v, axes[:1], at) for name, v in columns.items()),
            ]
        )
    provenance = msgspec.structs.replace(run.provenance, class_names=("cat", "<dog>", "frog"))
    return dataclasses.replace(run, arrays=arrays, provenance=provenance)


MAKERS: dict[str, Callable[[Network], Run]] = {
    "accuracy": accuracy_run,
    "calibration": calibration_run,
    "fgsm": fgsm_run,
    "corruption": corruption_run,
    "odin": odin_run,
    "ood": ood_run,
    "selective": selective_run,
    "attack": attack_run,
    "audit": audit_run,
}


def write_study(study: Path, runs: list[Run]) -> Path:
    """Write runs where `sdd-eval` writes them."""
    for index, run in enumerate(runs):
        name = f"{run.evaluator}-{run.dataset.replace('/', '_')}-{index:012x}.json"
        write_run(study / "runs" / run.checkpoint / name, run)
    return study


#: The figures that `whole` has numbers for: all but those of gradients during training.
FIGURES = [
    name
    for name in plugins.names("figures")
    if name not in ("gradient_curves", "assumption_curves")
]


def pair(gain: float = 0.02, seeds: int = 3) -> list[Network]:
    """Cross-entropy, and with SD-Dropout, `gain` better."""
    return [
        network(weight, seed, gain if weight else 0.0)
        for weight in (0.0, 0.1)
        for seed in range(seeds)
    ]


def small_study(study: Path, *runs: Run) -> Path:
    """Write a study of two networks' accuracies and of other runs."""
    return write_study(study, [*(accuracy_run(net) for net in pair(seeds=1)), *runs])


def whole(seeds: int = 3, gain: float = 0.02) -> list[Run]:
    """Two methods × seeds × all evaluators."""
    return [make(net) for net in pair(gain, seeds) for make in MAKERS.values()]


def table(runs: list[Run]) -> tuple[Any, dict[str, Any]]:
    """The tidy table of runs in memory, and their arrays by run."""
    from sdd_eval.report.runs import StudyRun
    from sdd_eval.report.tables.results import tidy

    rows = [
        StudyRun("study", f"study/{run.checkpoint}/{index}.json", run)
        for index, run in enumerate(runs)
    ]
    return tidy(rows), {row.name: row.run.arrays for row in rows}
