"""Overhead of the trainer over its passes: python tests/benchmarks/trainer.py [pairs] [steps]

An epoch by `fit` and the same steps in a bare loop over the same network, on batches that are on
the device already, in turn. Run it on an idle machine; no test depends on it.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from pairs import compare, where

from sdd_eval.checkpoints.state import State
from sdd_eval.data.images import ArrayImages
from sdd_eval.models.build import build
from sdd_eval.progress import NoProgress
from sdd_eval.records import ModelSpec, Recipe
from sdd_eval.training.data.batches import training_set
from sdd_eval.training.distributed.processes import Processes
from sdd_eval.training.exported import ExportedWeights
from sdd_eval.training.loop import fit
from sdd_eval.training.methods.ce import CrossEntropy
from sdd_eval.training.objective import Objective


def main(pairs: int, steps: int, arch: str = "resnet18w16") -> None:
    device = torch.device(where())
    recipe = Recipe(arch=arch, epochs=1, augmentation="crop_flip", lr=1e-3)
    count = steps * recipe.batch_size
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
    created = ArrayImages("random", images, random.integers(0, 100, count), "0" * 64, "made here")
    data = training_set(created, device)
    spec = ModelSpec(arch, 100, (0.5,) * 3, (0.25,) * 3, 32)
    objective = Objective(build(spec), CrossEntropy(), recipe).to(device)
    pixels = torch.rand(recipe.batch_size, 3, 32, 32, device=device)
    labels = torch.randint(100, (recipe.batch_size,), device=device)
    settings = {"lr": recipe.lr, "momentum": recipe.momentum, "weight_decay": recipe.weight_decay}
    optimiser = torch.optim.SGD(objective.parameters(), fused=True, **settings)

    def bare() -> None:
        objective.train()
        for _ in range(steps):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(objective.network(pixels), labels).backward()
            optimiser.step()

    def trained() -> None:
        state = State(recipe, "", 1, devices=())
        processes = Processes(str(device))
        fit(
            objective, data, state, ExportedWeights(objective.network, recipe),
            save=lambda state: None, progress=NoProgress(), processes=processes,
        )  # fmt: skip

    ratio = compare((f"{arch}, bare loop", bare), (f"{arch}, trainer", trained), pairs)
    print(f"the trainer reaches {100 / ratio:.1f} % of the bare loop's images/s; 97 % is wanted")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3] or ("7", "20")))
