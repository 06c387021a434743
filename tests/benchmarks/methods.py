"""Overhead of methods over their passes: tests/benchmarks/methods.py [pairs] [steps] [method…]

An epoch by `fit` of every installed method, alone and with SD-Dropout, against the passes that it
cannot do without, in turn: forward and backward of all its views through the network and through
the parts that it adds, forward of its partners, all with cross-entropy and nothing else, on batches
that are on the device already. What these passes are follows from its views, partners and parts.
Run it on an idle machine; no test depends on it.
"""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import torch
from pairs import Work, compare, where
from torch import Tensor
from torch.nn.functional import cross_entropy

from sdd_eval import plugins
from sdd_eval.checkpoints.state import State
from sdd_eval.data.images import ArrayImages
from sdd_eval.models.build import build
from sdd_eval.models.network import FEATURES, Network
from sdd_eval.progress import NoProgress
from sdd_eval.records import ModelSpec, Recipe
from sdd_eval.training.analysis.method_summary import passes_per_step
from sdd_eval.training.data.batches import training_set
from sdd_eval.training.distributed.processes import Processes
from sdd_eval.training.exported import ExportedWeights
from sdd_eval.training.loop import fit
from sdd_eval.training.methods.method import Batch
from sdd_eval.training.objective import Objective
from sdd_eval.training.recipe import method_of, validated

#: More than so much of the passes' time is too much.
MOST = 1.05


def objective_of(recipe: Recipe, device: torch.device) -> Objective:
    spec = ModelSpec(recipe.arch, 100, (0.5,) * 3, (0.25,) * 3, 32)
    objective = Objective(build(spec), method_of(recipe), recipe).to(device)
    layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
    return objective.to(memory_format=layout).train()


def trained(recipe: Recipe, steps: int, device: torch.device) -> Work:
    """Run an epoch of a number of steps as `train` does."""
    count = steps * recipe.batch_size
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
    labels = random.permutation(np.arange(count) % 100)
    data = training_set(ArrayImages("random", pixels, labels, "0" * 64, "made here"), device)
    objective = objective_of(recipe, device)

    def epoch() -> None:
        state = State(recipe, "", 1, devices=())
        processes = Processes(str(device))
        fit(
            objective, data, state, ExportedWeights(objective.network, recipe),
            save=lambda state: None, progress=NoProgress(), processes=processes,
        )  # fmt: skip

    return epoch


def bare(recipe: Recipe, steps: int, device: torch.device) -> Work:
    """Run only the passes of these steps."""
    objective = objective_of(recipe, device)
    optimiser = torch.optim.SGD(
        objective.parameters(),
        recipe.lr,
        recipe.momentum,
        weight_decay=recipe.weight_decay,
        fused=True if device.type == "cuda" else None,
    )
    shape = (recipe.batch_size, 3, 32, 32)
    views = tuple(torch.rand(shape, device=device) for _ in range(objective.method.views))
    partners = torch.rand(shape, device=device) if objective.method.partners else None
    batch = Batch(views, torch.randint(100, shape[:1], device=device), partners)

    def epoch() -> None:
        for _ in range(steps):
            optimiser.zero_grad(set_to_none=True)
            with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
                loss = passes(objective, batch)
            loss.backward()
            optimiser.step()

    return epoch


def passes(objective: Objective, batch: Batch) -> Tensor:
    """Cross-entropy of all logits: the network's, its parts', and those of two masked features."""
    network, images = objective.network, torch.cat(batch.views)
    seen = network.activations(images)
    if batch.partners is not None:
        with torch.no_grad():
            network(batch.partners)
    logits = [network.classify(seen[FEATURES])]
    for name, part in objective.parts.items():
        result = part(images) if isinstance(part, Network) else part(seen[name])
        logits.append(result[-1] if isinstance(result, tuple) else result)
    if objective.recipe.sd_dropout:
        logits += [network.classify(seen[objective.stage], objective.stage) for _ in range(2)]
    labels = batch.labels.repeat(len(batch.views))
    return torch.stack([cross_entropy(logit, labels) for logit in logits]).sum()


def main(pairs: int, steps: int, *names: str) -> None:
    device = torch.device(where())
    gpu = device.type == "cuda"
    shared = Recipe(
        arch="resnet18" if gpu else "resnet18w16",
        epochs=1,
        augmentation="crop_flip",
        lr=1e-3,
        precision="bf16" if gpu else "float32",
        channels_last=gpu,
    )
    above = []
    for name in names or plugins.names("methods"):
        needed = passes_per_step(name)
        for weight in (0.0, 0.1):
            recipe = validated(dataclasses.replace(shared, method=name, sd_dropout=weight))
            title = f"{name}{' + sdd' if weight else ''}"
            text = f"{title}: {needed.learned} learned, {needed.watched} watched"
            ours, theirs = trained(recipe, steps, device), bare(recipe, steps, device)
            ratio = compare((text, theirs), (f"{title}: a step of train", ours), pairs)
            above += [f"{title} {ratio:.3f}"] if ratio > MOST else []
    print(f"more than {MOST:.2f} × its passes: {', '.join(above) or 'none'}")


if __name__ == "__main__":
    given = [int(each) for each in sys.argv[1:3]]
    main(*(given + [5, 4][len(given) :]), *sys.argv[3:])
