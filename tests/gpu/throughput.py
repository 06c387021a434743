"""Training speed as the share of the device's matrix rate, and several trainings at once.

`run.py` runs this file as a process of its own: `throughput.py DEVICE FILE JOBS [--small]` appends
lines of JSON, a part of the numbers each, to FILE.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from checks import without_kernels
from torch.utils.flop_counter import FlopCounterMode
from training import FAST, FULL, SMALL, Size, trained

from sdd_eval import cli, studies
from sdd_eval.data.root import data_root
from sdd_eval.device import prepare_device
from sdd_eval.models.build import build

Numbers = Mapping[str, float]

#: Ten trainings of a small network.
TEN = """
name = "ten-trainings"
seeds = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
[recipe]
dataset = "digits"
arch = "resnet18w16"
standardisation = "digits"
augmentation = "crop"
epochs = 40
[[train]]
sd_dropout = 1.0
[[evaluate]]
evaluator = "accuracy"
[small]
recipe = { arch = "resnet8", epochs = 1 }
"""


def matrix_rate(device: str, side: int, times: int) -> float:
    """Return the FLOP/s of products of square bfloat16 matrices."""
    matrix = torch.randn(side, side, device=device, dtype=torch.bfloat16)
    for _ in range(3):
        product = matrix @ matrix
    _wait(product)
    begun = time.perf_counter()
    for _ in range(times):
        product = matrix @ matrix
    _wait(product)
    return 2 * side**3 * times / (time.perf_counter() - begun)


def _wait(tensor: torch.Tensor) -> None:
    """Wait until a device has computed a tensor."""
    tensor.flatten()[0].item()


def operations(size: Size) -> float:
    """Return the floating-point operations of forward and backward passes of one image."""
    with torch.device("meta"):
        network = build(size.spec)
        pixels = torch.empty(size.batch_size, 3, size.spec.image_size, size.spec.image_size)
    with FlopCounterMode(display=False) as counter:
        network(pixels).sum().backward()
    return counter.get_total_flops() / size.batch_size


def training_speed(size: Size, device: str, folder: Path) -> float:
    """Return the images/s of the study's trainings: the median of the epochs after the first."""
    options = {"epochs": 4, **FAST}
    _, history = trained(size, size.data(), device, folder, "speed", **options)
    return statistics.median(row["images_per_second"] for row in history[1:])


def ten_trainings(device: str, folder: Path, jobs: int, small: bool) -> float:
    """Return the seconds of ten trainings, `jobs` at a time; raise RuntimeError if one fails.

    Starting the processes counts.
    """
    file = folder / "ten.toml"
    file.write_text(TEN)
    threads = 1 if device == "cpu" or jobs > 1 else None
    workspace = studies.Workspace(
        folder / f"jobs-{jobs}", folder / "reports", data_root(None), device, threads
    )
    every = studies.jobs_of(studies.read_study(file, small=small))
    trainings = [job for job in every if job.label.startswith("train ")]
    begun = time.perf_counter()
    with cli.Overall(len(trainings), len(trainings)) as bar:
        if jobs > 1:
            outcomes = studies.run_concurrently(trainings, workspace, {}, bar, jobs)
        else:
            outcomes = studies.run_jobs(trainings, workspace, {}, bar)
    for outcome in outcomes:
        if outcome.failed:
            raise RuntimeError(f"{outcome.label}: {outcome.reason}")
    return time.perf_counter() - begun


def measure(device: str, jobs: int, small: bool, folder: Path) -> Iterator[Numbers]:
    """Yield the numbers, the quick ones first."""
    size = SMALL if small else dataclasses.replace(FULL, steps=390)  # an epoch of CIFAR-100
    rate = matrix_rate(device, *((256, 3) if small else (8192, 50)))
    yield {"matrix_flops": rate}
    speed = training_speed(size, device, folder)
    yield {
        "images_per_second": speed,
        "share_of_matrix_rate": speed * operations(size) / rate,
        "seconds_of_200_epochs": 200 * 50_000 / speed,
    }
    yield {"ten_trainings_seconds": ten_trainings(device, folder, 1, small)}
    yield {
        "jobs": jobs,
        "ten_trainings_at_once_seconds": ten_trainings(device, folder, jobs, small),
    }


def main(device: str, results: Path, jobs: int, small: bool) -> None:
    """Append the numbers to a file."""
    prepare_device(device, 1 if device == "cpu" else None)
    if device == "cpu":
        without_kernels()
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(KeyboardInterrupt):
        for numbers in measure(device, jobs, small, Path(folder)):
            print(numbers, flush=True)
            with results.open("a") as file:
                file.write(json.dumps(numbers) + "\n")


if __name__ == "__main__":
    warnings.filterwarnings("ignore", module="torch")
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), "--small" in sys.argv[4:])
