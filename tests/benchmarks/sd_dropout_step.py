"""What SD-Dropout adds to a training step: python tests/benchmarks/sd_dropout_step.py [pairs]

Steps of ResNet-18 on random 32-pixel images, batch 128, with and without the term in turn, so that
a machine whose speed drifts slows both alike. Prints the medians and the median ratio of pairs.
Run it on an idle machine; no test depends on it.
"""

from __future__ import annotations

import statistics
import sys
import time

import torch

from sdd_eval.models.build import build
from sdd_eval.records import ModelSpec, Recipe
from sdd_eval.training.methods.ce import CrossEntropy
from sdd_eval.training.methods.method import Batch
from sdd_eval.training.objective import Objective


def objective(weight: float, device: str) -> Objective:
    torch.manual_seed(0)
    network = build(ModelSpec("resnet18", 100, (0.5,) * 3, (0.25,) * 3, 32))
    return Objective(network, CrossEntropy(), Recipe(sd_dropout=weight)).to(device)


def seconds(step: Objective, batch: Batch, generator: torch.Generator) -> float:
    """One forward and backward pass."""
    begun = time.perf_counter()
    step.zero_grad(set_to_none=True)
    step(batch, generator).total.backward()
    if batch.labels.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - begun


def main(pairs: int) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    generator = torch.Generator(device).manual_seed(0)
    pixels = torch.rand(128, 3, 32, 32, device=device)
    batch = Batch((pixels,), torch.randint(100, (128,), device=device))
    plain, with_term = objective(0.0, device), objective(1.0, device)
    for warm in (plain, with_term):
        seconds(warm, batch, generator)
    times = [
        (seconds(plain, batch, generator), seconds(with_term, batch, generator))
        for _ in range(pairs)
    ]
    ratios = [second / first for first, second in times]
    medians = [statistics.median(column) for column in zip(*times, strict=True)]
    print(f"{device}, {torch.get_num_threads()} threads, {pairs} pairs of steps")
    print(f"cross-entropy    {medians[0]:.4f} s")
    print(f"with SD-Dropout  {medians[1]:.4f} s")
    print(f"ratio of pairs   {statistics.median(ratios):.4f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
