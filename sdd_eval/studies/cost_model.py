"""A rough model of cost, for what nobody has timed yet: images, passes, operations, rates."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from sdd_eval.errors import InputError
from sdd_eval.records import DETECTOR, ModelSpec, Recipe


@dataclass(frozen=True)
class Images:
    """How many images a set has to train on and to test, of which side, in how many classes."""

    training: int
    test: int
    side: int = 32
    classes: int = 100
    channels: int = 3


_KNOWN: Mapping[str, Images] = {
    "digits": Images(1_437, 360, 8, 10, 1),
    "cifar10": Images(50_000, 10_000, 32, 10),
    "cifar100": Images(50_000, 10_000),
    "cub200": Images(5_994, 5_794, 224, 200),
    "stanford_dogs": Images(12_000, 8_580, 224, 120),
    "imagenet": Images(1_281_167, 50_000, 224, 1_000),
    "coco": Images(118_287, 5_000),
    "digit_scenes": Images(64, 32, 64, 10, 1),
}
#: Operations a second that such networks reach, of one thread and of a large GPU.
RATES = {"cpu": 4e10, "gpu": 6e13}
#: Passes over a test image that each evaluator takes; a backward pass is two.
EVALUATION_PASSES = {
    "accuracy": 1,
    "calibration": 1,
    "selective": 1,
    "fgsm": 60,
    "attack": 60,
    "corruption": 75,
    "odin": 14,
    "ood": 25,
}
#: Operations of a pass where a network cannot be counted: ResNet-18's on 32 × 32 pixels.
_USUAL = 1.1e9


def images_of(dataset: str) -> Images:
    """What is known of a set; another one is taken to be as large as CIFAR-100."""
    return _KNOWN.get(dataset, _KNOWN["cifar100"])


def passes(recipe: Recipe) -> float:
    """The cost of a step in that of cross-entropy's: its passes, and those behind masked maps."""
    from sdd_eval.training.analysis.method_summary import passes_per_step

    try:
        count = passes_per_step(recipe.method).relative
    except InputError:
        return 1.0
    if recipe.sd_dropout and recipe.position in ("layer1", "layer2", "layer3"):
        count += 2 * {"layer1": 0.75, "layer2": 0.5, "layer3": 0.25}[recipe.position]
    return count


@functools.cache
def operations(arch: str, dataset: str) -> float:
    """Floating-point operations of one forward pass of one image, counted without computing."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from sdd_eval.models.build import build

    images = images_of(dataset)
    grey = (0.5,) * images.channels
    spec = ModelSpec(arch, images.classes, grey, grey, images.side)
    try:
        with torch.random.fork_rng(devices=[]):
            network = build(spec).eval()
        pixels = torch.zeros(1, images.channels, images.side, images.side)
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            network(pixels)
    except Exception:  # a network of somebody else's may need anything
        return _USUAL
    return float(counter.get_total_flops()) or _USUAL


def operations_detecting(arch: str, side: int) -> float:
    """Floating-point operations of one pass of a detector over an image with this shorter side.

    Those of its backbone at that size, a photograph's longer side being 4/3 of it, twice: pyramid
    and heads cost about as much again.
    """
    backbone = arch.removeprefix(DETECTOR)
    dataset = "imagenet" if backbone.startswith("torchvision:") else "cifar100"
    scale = side * side * 4 / 3 / images_of(dataset).side ** 2
    return 2 * scale * operations(backbone, dataset)
