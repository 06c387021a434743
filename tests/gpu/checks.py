"""Whether bf16, torch.compile, CUDA graphs and deterministic kernels do what they should.

`run.py` runs this file as a process of its own: `checks.py DEVICE FILE [--small]` appends a line of
JSON for each check to FILE. A check that fails or raises does not stop the others.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from training import FULL, SMALL, Size, trained

from sdd_eval.data.images import ImageSet
from sdd_eval.device import full_float32, prepare_device
from sdd_eval.models.build import build
from sdd_eval.randomness import generator, seed_global
from sdd_eval.training.analysis.method_summary import random_batch, random_objective

Status = Literal["pass", "fail", "skip"]
#: The smallest cosine of the gradients of one step in bf16 and in float32; a CPU's is 0.95.
COSINE = 0.9
#: The largest relative difference of an epoch's mean loss between bf16 and float32 …
BF16_LOSS = 0.05
#: … and between a compiled and a plain network.
COMPILED_LOSS = 0.05
#: The largest relative difference of the losses of three steps with and without CUDA graphs.
GRAPH_LOSS = 0.02
#: Steps that are timed.
STEPS = 20


@dataclass(frozen=True)
class Outcome:
    """How a check ended, with its numbers, and why if it did not pass."""

    name: str
    status: Status
    numbers: Mapping[str, float]
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Setup:
    """What the checks share."""

    size: Size
    device: str
    folder: Path

    def losses(self, name: str, **options: Any) -> tuple[list[float], str, float]:
        """Train; return the loss of each epoch, the weights' hash, and the seconds."""
        begun = time.perf_counter()
        data = self.size.data()
        card, history = trained(self.size, data, self.device, self.folder, name, **options)
        return [row["loss"] for row in history], card.weights_sha256, time.perf_counter() - begun


def check_bf16(setup: Setup) -> Outcome:
    """Compare one step's gradient and two epochs' losses in bf16 and in float32."""
    half, single = (_gradient(setup, precision) for precision in ("bf16", "float32"))
    cosine = float(torch.nn.functional.cosine_similarity(half, single, dim=0))
    apart = _apart(setup.losses("bf16", precision="bf16")[0], setup.losses("float32")[0])
    numbers = {"gradient_cosine": cosine, "loss_difference": apart}
    good = cosine >= COSINE and apart <= BF16_LOSS
    reason = f"needs a cosine from {COSINE} on and a difference of at most {BF16_LOSS}"
    return _outcome("bf16", good, numbers, reason)


def _gradient(setup: Setup, precision: Literal["float32", "bf16"]) -> Tensor:
    """Return the gradient of the first step as one float64 vector."""
    recipe = dataclasses.replace(setup.size.recipe, precision=precision)
    objective = random_objective(recipe, setup.size.spec).to(setup.device)
    kind = torch.device(setup.device).type
    with full_float32(), torch.autocast(kind, torch.bfloat16, enabled=precision == "bf16"):
        draws = generator(0, "check masks", device=kind)
        losses = objective(random_batch(objective, setup.device), draws)
    with full_float32():
        losses.total.backward()
    gradients = [p.grad.flatten() for p in objective.parameters() if p.grad is not None]
    return torch.cat(gradients).double()


def check_compile(setup: Setup) -> Outcome:
    """Compare two epochs' losses of a compiled and a plain network, as the study trains them."""
    shared = {"precision": "bf16", "channels_last": True}
    plain, _, seconds = setup.losses("plain", **shared)
    compiled, _, more = setup.losses("compiled", **shared, compile=True)
    numbers = {"loss_difference": _apart(compiled, plain)}
    numbers |= {"seconds": more, "seconds_uncompiled": seconds}
    good = numbers["loss_difference"] <= COMPILED_LOSS
    return _outcome("compile", good, numbers, f"needs at most {COMPILED_LOSS}")


def check_determinism(setup: Setup) -> Outcome:
    """Train twice with deterministic kernels; the weights must be equal bit for bit."""
    hashes = [setup.losses(f"twin {turn}", deterministic=True)[1] for turn in (1, 2)]
    numbers = {"different_weights": float(len(set(hashes)) - 1)}
    return _outcome("determinism", hashes[0] == hashes[1], numbers, "the weights differ")


def check_cuda_graphs(setup: Setup) -> Outcome:
    """Time bare steps of the network compiled as the trainer does it, and with CUDA graphs.

    The trainer uses no CUDA graphs; the numbers say what they would gain. Without a GPU the same
    code runs, and the check is skipped.
    """
    plain, plain_losses = _bare_steps(setup, "default")
    graphs, losses = _bare_steps(setup, "reduce-overhead")
    numbers = {"ms": 1000 * graphs, "ms_without": 1000 * plain}
    numbers["loss_difference"] = _apart(losses, plain_losses)
    if not setup.device.startswith("cuda"):
        return Outcome("cuda_graphs", "skip", numbers, "a CPU has none")
    good = numbers["loss_difference"] <= GRAPH_LOSS
    return _outcome("cuda_graphs", good, numbers, f"needs a difference of at most {GRAPH_LOSS}")


def _bare_steps(setup: Setup, mode: str) -> tuple[float, list[float]]:
    """Return the seconds of a step, compiled in a mode, and the losses of the first three."""
    seed_global(0, "check")
    network = build(setup.size.spec).to(setup.device, memory_format=torch.channels_last)
    kind = torch.device(setup.device).type
    optimiser = torch.optim.SGD(network.parameters(), 0.01, fused=kind == "cuda" or None)
    pixels, labels = _batch(setup.size.data().train, setup.size.batch_size, setup.device)
    step = torch.compile(network, mode=mode, dynamic=False)

    def train_step() -> Tensor:
        with torch.autocast(kind, torch.bfloat16):
            loss = torch.nn.functional.cross_entropy(step(pixels), labels)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return loss.detach().clone()

    losses = [float(train_step()) for _ in range(3)]  # compiles, and records the graphs
    begun = time.perf_counter()
    for _ in range(STEPS):
        last = train_step()
    float(last)  # waits for the GPU
    return (time.perf_counter() - begun) / STEPS, losses


def _batch(images: ImageSet, size: int, device: str) -> tuple[Tensor, Tensor]:
    pixels = next(iter(images.batches(size, device=device))).float() / 255
    labels = torch.as_tensor(images.labels[:size], device=device)  # type: ignore[index]
    return pixels.to(memory_format=torch.channels_last), labels


def _apart(values: Sequence[float], others: Sequence[float]) -> float:
    """Return the largest relative difference."""
    return max(abs(a / b - 1) for a, b in zip(values, others, strict=True))


def _outcome(name: str, good: bool, numbers: Mapping[str, float], reason: str) -> Outcome:
    return Outcome(name, "pass" if good else "fail", numbers, "" if good else reason)


#: The checks in order, those that the study depends on first.
CHECKS: Mapping[str, Callable[[Setup], Outcome]] = {
    "bf16": check_bf16,
    "compile": check_compile,
    "determinism": check_determinism,
    "cuda_graphs": check_cuda_graphs,
}


def without_kernels() -> None:
    """Let torch.compile capture and differentiate graphs as ever, but not compile kernels for them.

    On a CPU a C++ compiler would take minutes for kernels that the study on a GPU does not use.
    """
    compile_ = torch.compile

    def captured(model: Any, *, dynamic: bool, mode: str = "default") -> Any:
        return compile_(model, backend="aot_eager", dynamic=dynamic)

    torch.compile = captured  # type: ignore[assignment]


def run_checks(
    setup: Setup, checks: Mapping[str, Callable[[Setup], Outcome]] = CHECKS
) -> Iterator[Outcome]:
    """Yield the outcome of each check; whatever it raises is why it failed."""
    for name, check in checks.items():
        begun = time.perf_counter()
        try:
            outcome = check(setup)
        except Exception as error:  # the others must run
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:500]
            outcome = Outcome(name, "fail", {}, reason)
        yield dataclasses.replace(outcome, seconds=time.perf_counter() - begun)


def main(device: str, results: Path, small: bool) -> None:
    """Append the outcome of each check to a file, a line of JSON each."""
    prepare_device(device, 1 if device == "cpu" else None)
    if device == "cpu":
        without_kernels()
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(KeyboardInterrupt):
        for outcome in run_checks(Setup(SMALL if small else FULL, device, Path(folder))):
            print(outcome, flush=True)
            with results.open("a") as file:
                file.write(json.dumps(dataclasses.asdict(outcome)) + "\n")


if __name__ == "__main__":
    warnings.filterwarnings("ignore", module="torch")
    main(sys.argv[1], Path(sys.argv[2]), "--small" in sys.argv[3:])
