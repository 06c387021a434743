"""The worst of several attacks, image by image: what one has broken, the next leaves alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from sdd_eval.device import full_float32
from sdd_eval.evaluators.adversarial.threat import Threat

ROUNDING = 1e-6
#: Pixels (n, …) in [0, 1] and labels (n,) → attacked pixels.
Run = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
#: What a piece of work finds is computed, or taken from an interrupted run.
Kept = Callable[[str, Callable[[], Mapping[str, Any]]], Mapping[str, Any]]


@dataclass(frozen=True)
class Part:
    """One attack of several: its name, what it may do, and how it is run."""

    name: str
    threat: Threat
    run: Run


@dataclass(frozen=True)
class Outcome:
    """Of each image: is it still right, which part broke it (from 1; 0 none), how far was it moved.

    `change` (n,) is the largest change of a pixel in the image that broke it, or else in the last
    that did not; 0 where it was not attacked.
    """

    survives: torch.Tensor
    broken_by: torch.Tensor
    change: torch.Tensor


def compute(name: str, piece: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    """Keep nothing."""
    return piece()


def worst_case(
    model: torch.nn.Module,
    parts: Sequence[Part],
    pixels: torch.Tensor,
    labels: torch.Tensor,
    right: torch.Tensor,
    kept: Kept = compute,
) -> Outcome:
    """Run the parts in order, each on the images that are still right.

    Args:
        model: what predicts; the parts may have their gradients from elsewhere.
        parts: the attacks.
        pixels: (n, channels, side, side) in [0, 1].
        labels: true classes (n,).
        right: which images to attack (n,); the others do not survive.
        kept: where what each part finds is kept.

    Raises:
        RuntimeError: an attack left its ball or the box [0, 1].
    """
    survives = right.clone()
    broken_by = torch.zeros_like(labels)
    change = torch.zeros(len(pixels), device=pixels.device)
    for number, part in enumerate(parts, start=1):
        left = survives.nonzero().flatten()
        if not len(left):
            break
        run = partial(_tried, model, part, pixels[left], labels[left])
        found = kept(f"part {number} {part.name}", run)
        broken, changed = (
            torch.as_tensor(found[name], device=pixels.device) for name in ("broken", "change")
        )
        change[left] = changed
        survives[left[broken]] = False
        broken_by[left[broken]] = number
    return Outcome(survives, broken_by, change)


def _tried(
    model: torch.nn.Module, part: Part, pixels: torch.Tensor, labels: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Which images one attack breaks (n,), and the largest change of a pixel in each (n,)."""
    moved = _inside(part, pixels, part.run(pixels, labels).detach())
    with torch.inference_mode(), full_float32():
        broken = model(moved).argmax(dim=1) != labels
    return {"broken": broken, "change": (moved - pixels).abs().flatten(1).amax(dim=1)}


def _inside(part: Part, pixels: torch.Tensor, moved: torch.Tensor) -> torch.Tensor:
    """Attacked pixels, held to the attack's word.

    Where torchattacks divides a gradient of zero by its size, it returns NaN: such values stay as
    they were, and the count of zero gradients tells of them.
    """
    moved = torch.where(moved.isnan(), pixels, moved).to(pixels.dtype)
    outside = ~((moved >= 0) & (moved <= 1)).flatten(1).all(dim=1)
    size, distance = part.threat.epsilon, _distance(part.threat.norm, moved - pixels)
    if size is not None and distance is not None:
        outside |= distance > size * (1 + ROUNDING) + ROUNDING
    if outside.any():
        raise RuntimeError(f"{int(outside.sum())} images of {part.name} left their box or ball")
    return moved


def _distance(norm: str, change: torch.Tensor) -> torch.Tensor | None:
    """The size of each change (n,) in a norm; None where there is none."""
    orders = {"Linf": torch.inf, "L2": 2, "L1": 1}
    if norm not in orders:
        return None
    size: torch.Tensor = torch.linalg.vector_norm(change.flatten(1), ord=orders[norm], dim=1)
    return size
