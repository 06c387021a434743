"""Time of all evaluators for a ResNet-18: python tests/benchmarks/battery.py [images] [ARCH] [tf32]

Accuracy, calibration, FGSM in three variants, 15 corruptions × 5 severities, and ODIN on four sets
of outliers, each of so many random images of 32 pixels (10,000: 750,000 corrupted ones, 2.3 GB of
files), as a checkpoint's evaluation runs them: folding, scoring and intervals included. Prints
seconds and peak memory of each, with outputs kept in a folder that is deleted afterwards. No test
depends on it.
"""

from __future__ import annotations

import resource
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from networks import MEAN, STD, network
from pairs import seconds, where

from sdd_eval.checkpoints.checkpoint import Checkpoint
from sdd_eval.data.images import ArrayImages, lazy_images
from sdd_eval.data.readers.cifar_c import open_corrupted_folder
from sdd_eval.evaluation.request import Inputs, Request
from sdd_eval.evaluation.run import run
from sdd_eval.evaluators.accuracy import Accuracy
from sdd_eval.evaluators.adversarial.fgsm import Fgsm
from sdd_eval.evaluators.calibration import Calibration
from sdd_eval.evaluators.corruption.corruption import Corruption
from sdd_eval.evaluators.ood.ood import Odin
from sdd_eval.metrics.corruption import FIFTEEN, SEVERITIES
from sdd_eval.records import ModelSpec

OUTLIERS = ("lsun", "isun", "dtd", "svhn")


def images(name: str, count: int, seed: int) -> ArrayImages:
    """Return random images of a hundred classes."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (count, 3, 32, 32), np.uint8)
    return ArrayImages(name, pixels, np.arange(count) % 100, f"{name}-{count}", "made here")


def write_corrupted(folder: Path, clean: ArrayImages) -> None:
    """Return files in the layout of CIFAR-100-C with equal content."""
    np.save(folder / "labels.npy", np.tile(clean.labels, len(SEVERITIES)))
    rows = np.tile(clean.images.transpose(0, 2, 3, 1), (len(SEVERITIES), 1, 1, 1))
    for name in FIFTEEN:
        np.save(folder / f"{name}.npy", rows)


@contextmanager
def work(count: int) -> Iterator[tuple[list[Inputs], Path]]:
    """Yield the inputs of each evaluator, and a folder for partial results."""
    clean = images("test", count, 0)
    with tempfile.TemporaryDirectory() as folder:
        write_corrupted(Path(folder), clean)
        rendering = {"test_c": open_corrupted_folder("test_c", Path(folder))}
        outliers = {
            name: lazy_images(lambda name=name, seed=seed: images(name, count, seed))
            for seed, name in enumerate(OUTLIERS, start=1)
        }
        battery: list[tuple[Any, dict[str, Any]]] = [
            (Accuracy(), {}),
            (Calibration(), {}),
            (Fgsm(), {}),
            (Corruption(corrupted="test_c"), rendering),
            (Odin(outliers=OUTLIERS, training="test"), outliers),
        ]
        yield [Inputs(item, clean, sets, {}) for item, sets in battery], Path(folder) / "kept"


def peaks(device: str) -> str:
    """Return the peak memory: since the last call on a GPU, since the start on the host."""
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    if device == "cpu":
        return f"{host:.2f} GB"
    on_gpu = torch.cuda.max_memory_allocated() / 1e9
    torch.cuda.reset_peak_memory_stats()
    return f"{on_gpu:.2f} GB on the GPU, {host:.2f} GB on the host"


def main(count: int = 10_000, arch: str = "resnet18", tf32: str = "") -> None:
    device, total = where(), 0.0
    spec = ModelSpec(arch, 100, MEAN, STD, 32)
    checkpoint = Checkpoint.in_memory(network(arch, device), spec)
    with work(count) as (battery, partial):
        for inputs in battery:
            request = Request(
                evaluator=inputs.evaluator,
                study=partial,
                data_root=partial,
                device=device,
                tf32=tf32 == "tf32",
                cache=partial,
            )
            took = seconds(lambda inputs=inputs, request=request: run(checkpoint, inputs, request))
            total += took
            print(f"{inputs.evaluator.name:<12} {took:8.2f} s   {peaks(device)}", flush=True)
    print(f"{'together':<12} {total:8.2f} s")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    main(*([int(arguments[0]), *arguments[1:]] if arguments else []))
