"""Cost of SD-Dropout per training step: python tests/benchmarks/sd_dropout_step.py [pairs]

Steps of ResNet-18 on random 32-pixel images, batch 128, with and without the term in turn. Run it
on an idle machine; no test depends on it.
"""

from __future__ import annotations

import sys

import torch
from pairs import Work, compare, where

from sdd_eval.models.build import build
from sdd_eval.records import ModelSpec, Recipe
from sdd_eval.training.methods.ce import CrossEntropy
from sdd_eval.training.methods.method import Batch
from sdd_eval.training.objective import Objective


def objective(weight: float, device: str) -> Objective:
    torch.manual_seed(0)
    network = build(ModelSpec("resnet18", 100, (0.5,) * 3, (0.25,) * 3, 32))
    return Objective(network, CrossEntropy(), Recipe(sd_dropout=weight)).to(device)


def main(pairs: int) -> None:
    device = where()
    generator = torch.Generator(device).manual_seed(0)
    pixels = torch.rand(128, 3, 32, 32, device=device)
    batch = Batch((pixels,), torch.randint(100, (128,), device=device))

    def step(weight: float) -> Work:
        trained = objective(weight, device)

        def forward_and_backward() -> None:
            trained.zero_grad(set_to_none=True)
            trained(batch, generator).total.backward()

        return forward_and_backward

    compare(("cross-entropy", step(0.0)), ("with SD-Dropout", step(1.0)), pairs)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
