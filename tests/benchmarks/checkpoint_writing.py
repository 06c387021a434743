"""Cost of writing checkpoints on a GPU: python tests/benchmarks/checkpoint_writing.py [epochs]

Epochs of a ResNet-18, each followed by a write of its state with momentum: synchronous, in the
background as in a training on a GPU, and without a write. Run it on an idle machine, in a folder of
the disk to measure; no test depends on it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch
from pairs import compare, where

from sdd_eval.checkpoints.state import State, background_writer, write_state
from sdd_eval.models.build import build
from sdd_eval.records import ModelSpec, Recipe


def main(epochs: int = 5) -> None:
    device = where()
    steps = 100 if device == "cuda" else 1
    network = build(ModelSpec("resnet18", 100, (0.5,) * 3, (0.25,) * 3, 32)).to(device)
    optimiser = torch.optim.SGD(network.parameters(), 1e-3, 0.9)
    pixels = torch.rand(128, 3, 32, 32, device=device)

    def epoch() -> State[Recipe]:
        for _ in range(steps):
            optimiser.zero_grad()
            network(pixels).square().mean().backward()
            optimiser.step()
        return State(
            Recipe(),
            "0" * 64,
            1,
            devices=(device,),
            objective=network.state_dict(),
            optimiser=optimiser.state_dict(),
        )

    with tempfile.TemporaryDirectory(dir=".") as folder:

        def written(aside: bool) -> None:
            with background_writer(
                lambda state: write_state(Path(folder), state), in_background=aside
            ) as keep:
                for _ in range(epochs):
                    keep(epoch())

        nothing = ("nothing is written", lambda: [epoch() for _ in range(epochs)])
        compare(nothing, ("each epoch is waited for", lambda: written(False)), 3)
        compare(nothing, ("each epoch is written aside", lambda: written(True)), 3)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
