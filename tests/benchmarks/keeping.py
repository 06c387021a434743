"""What writing the state costs a training: python tests/benchmarks/keeping.py [seconds an epoch]

The state of ResNet-18 with its momentum, as of an epoch of CIFAR on a fast GPU. Written after each
epoch, and as `keeping` does it over 200 such epochs, of which only the writes and copies are made;
copies are made where the tensors are, on the GPU if there is one. Run it on an idle machine, in a
folder of the disk that is asked about; no test depends on it.
"""

from __future__ import annotations

import dataclasses
import itertools
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from sdd_eval.models.build import build
from sdd_eval.records import ModelSpec, Recipe
from sdd_eval.training.keeping import Keeper
from sdd_eval.training.state import FILE, State, write_state


def state_of(epochs: int) -> State[Recipe]:
    """The state of a training that has taken a step."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = build(ModelSpec("resnet18", 100, (0.5,) * 3, (0.25,) * 3, 32)).to(device)
    optimiser = torch.optim.SGD(network.parameters(), 0.1, 0.9)
    network(torch.rand(2, 3, 32, 32, device=device)).sum().backward()
    optimiser.step()
    return State(
        Recipe(epochs=epochs),
        "0" * 64,
        1,
        devices=(device,),
        objective=network.state_dict(),
        optimiser=optimiser.state_dict(),
    )


def main(epoch_seconds: float, epochs: int = 200) -> None:
    state = state_of(epochs)
    with tempfile.TemporaryDirectory(dir=".") as folder:
        took = []
        for _ in range(5):
            begun = time.perf_counter()
            write_state(Path(folder), state)
            took.append(time.perf_counter() - begun)
        each = statistics.median(took)
        size = (Path(folder) / FILE).stat().st_size / 2**20
        print(f"a write of {size:.0f} MiB takes {each:.3f} s (median of {len(took)})")
        print(f"after each epoch of {epoch_seconds} s: {100 * each / epoch_seconds:.1f} % of it")

        written: list[tuple[int, float]] = []

        def write(state: State[Recipe]) -> None:
            begun = time.perf_counter()
            write_state(Path(folder), state)
            written.append((state.epoch, time.perf_counter() - begun))

        keeper, whole = Keeper(write), epochs * epoch_seconds
        begun = time.perf_counter()
        for epoch in range(1, epochs + 1):
            keeper.after_epoch(
                dataclasses.replace(state, epoch=epoch, seconds=epoch * epoch_seconds)
            )
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        spent = time.perf_counter() - begun
    writes = sum(seconds for _, seconds in written)
    gap = max(after - before for (before, _), (after, _) in itertools.pairwise(written))
    print(f"as `keeping` does it, {len(written)} writes in {epochs} epochs:")
    print(f"  writes {100 * writes / whole:.1f} %, copies {100 * (spent - writes) / whole:.1f} %")
    print(f"  a kill loses at most {gap} epochs, {gap * epoch_seconds:.0f} s")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 0.75)
