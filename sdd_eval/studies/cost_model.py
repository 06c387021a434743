"""How long a job should take: measured on earlier jobs, else estimated from its operations."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdd_eval import models, training
from sdd_eval.checkpoints.folder import checkpoint_folders, read_card
from sdd_eval.errors import InputError
from sdd_eval.object_detection.recipe import DetectorRecipe, recipe_of
from sdd_eval.records import DETECTOR, Card, ModelSpec, Recipe
from sdd_eval.studies.jobs import Job, Workspace
from sdd_eval.studies.study import Evaluation


@dataclass(frozen=True)
class _DataSize:
    """Numbers of training and test images, their side in pixels, classes and channels."""

    training: int
    test: int
    side: int = 32
    classes: int = 100
    channels: int = 3


_DATA_SIZES: Mapping[str, _DataSize] = {
    "digits": _DataSize(1_437, 360, 8, 10, 1),
    "cifar10": _DataSize(50_000, 10_000, 32, 10),
    "cifar100": _DataSize(50_000, 10_000),
    "cub200": _DataSize(5_994, 5_794, 224, 200),
    "stanford_dogs": _DataSize(12_000, 8_580, 224, 120),
    "imagenet": _DataSize(1_281_167, 50_000, 224, 1_000),
    "coco": _DataSize(118_287, 5_000),
    "digit_scenes": _DataSize(64, 32, 64, 10, 1),
}
#: Floating-point operations per second of one CPU thread and of a large GPU.
_RATES = {"cpu": 4e10, "gpu": 6e13}
#: Forward passes per test image of each evaluator; a backward pass counts as two.
_PASSES = dict(
    accuracy=1, calibration=1, selective=1, fgsm=60, attack=60, corruption=75, odin=14, ood=25
)
#: Operations of a forward pass if they cannot be counted: those of ResNet-18 on 32 × 32 pixels.
_DEFAULT_OPERATIONS = 1.1e9
#: How many of an evaluator's newest runs are read.
_RUNS = 8
_ROUGH = "rough: from operations alone"
#: Recipe fields on which the time of an image depends: of a classifier and of a detector.
_SPEED: Mapping[type, Sequence[str]] = {
    Recipe: ("dataset", "batch_size", "precision", "channels_last", "compile"),
    DetectorRecipe: (
        *("dataset", "min_size", "max_size", "channels", "regions", "trainable_layers"),
    ),
}


@dataclass(frozen=True)
class Estimate:
    """Seconds, and what the estimate is based on."""

    seconds: float
    source: str


class Estimates:
    """Estimates for a workspace, based on the checkpoints and runs in it."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.kind = "gpu" if workspace.device.startswith("cuda") else "cpu"
        self.cards = [card for card in _cards(workspace.checkpoints) if self._is_comparable(card)]
        self.recipes = {card.name: card.recipe for card in self.cards if card.recipe}
        self.detectors: dict[str, tuple[str, Recipe | DetectorRecipe]] = {}
        self.seconds_per_image: dict[tuple[str, str], float | None] = {}

    def of(self, job: Job) -> Estimate:
        """Return the estimate for a whole job."""
        work = job.work
        if isinstance(work, Evaluation):
            return self._evaluation(work)
        recipe = work.recipe
        if isinstance(recipe, Recipe):
            self.recipes[work.name] = recipe
            return self._training(recipe, recipe.arch, _operations(recipe.arch, recipe.dataset))
        arch = DETECTOR + (self.recipes.get(work.backbone) or Recipe()).arch
        self.detectors[work.name] = arch, recipe
        return self._training(recipe, arch, _detector_operations(arch, recipe.min_size))

    def _training(self, recipe: Any, arch: str, operations: float) -> Estimate:
        """Estimate a training from a similar one, or from the operations of a forward pass."""
        images = _data_size(recipe.dataset).training * recipe.epochs
        trained = [
            (recipe_of(card) if arch.startswith(DETECTOR) else card.recipe, card)
            for card in self.cards
            if card.model.arch == arch
        ]
        similar = [pair for pair in trained if pair[0] and _similar(pair[0], recipe)]
        if not similar:
            return self._rough(images, 3 * operations * _relative_cost(recipe))
        other, card = min(similar, key=lambda pair: _distance(pair[0], recipe))
        speed = card.provenance.images_per_second or 1.0
        scale = _relative_cost(recipe) / _relative_cost(other)
        return Estimate(images / speed * scale, f"estimated from {card.name}")

    def _evaluation(self, work: Evaluation) -> Estimate:
        classifier = self.recipes.get(work.checkpoint) or Recipe()
        arch, recipe = self.detectors.get(work.checkpoint, (classifier.arch, classifier))
        images = _data_size(work.dataset or recipe.dataset).test
        limit = self.workspace.limit if self.workspace.limit is not None else work.limit
        images = min(images, limit or images)
        seconds = self._measured(work.evaluator, arch)
        if seconds is not None:
            return Estimate(seconds * images, f"as earlier runs of {work.evaluator} on {arch}")
        if isinstance(recipe, DetectorRecipe):
            return self._rough(images, _detector_operations(arch, recipe.min_size))
        passes = _PASSES.get(work.evaluator, 2)
        return self._rough(images, _operations(arch, recipe.dataset) * passes)

    def _rough(self, images: int, operations: float) -> Estimate:
        threads = self.workspace.threads or 1 if self.kind == "cpu" else 1
        return Estimate(images * operations / (_RATES[self.kind] * threads), _ROUGH)

    def _measured(self, evaluator: str, arch: str) -> float | None:
        """Return the mean seconds per image of earlier runs on such a device; None without."""
        key = (evaluator, arch)
        if key not in self.seconds_per_image:
            seconds = list(self._run_times(evaluator, arch))
            self.seconds_per_image[key] = sum(seconds) / len(seconds) if seconds else None
        return self.seconds_per_image[key]

    def _run_times(self, evaluator: str, arch: str) -> Iterator[float]:
        paths = self.workspace.study.parent.glob(f"*/runs/*/{evaluator}-*.json")
        newest = sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True)
        for path in newest[:_RUNS]:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                run = json.loads(path.read_text(encoding="utf-8"))
                provenance = run["provenance"]
                same_device = (provenance["device"] != "cpu") == (self.kind == "gpu")
                if provenance["model"]["arch"] == arch and same_device and run["n"]:
                    yield provenance["seconds"] / run["n"]

    def _is_comparable(self, card: Card) -> bool:
        """Return whether a checkpoint was trained on such a device with as many threads."""
        provenance, threads = card.provenance, self.workspace.threads
        gpu = any(device != "cpu" for device in provenance.devices or ())
        same = threads is None or gpu or provenance.threads == threads
        return bool(provenance.images_per_second) and gpu == (self.kind == "gpu") and same


def _cards(folder: Path) -> Iterator[Card]:
    for path in checkpoint_folders(folder):
        with contextlib.suppress(InputError):
            yield read_card(path)


def _similar(other: Any, recipe: Any) -> bool:
    return all(getattr(other, name) == getattr(recipe, name) for name in _SPEED[type(recipe)])


def _distance(other: Any, recipe: Any) -> int:
    """Return in how many of method and SD-Dropout term the recipes of two classifiers differ."""
    if not isinstance(recipe, Recipe):
        return 0
    has_term = bool(other.sd_dropout) != bool(recipe.sd_dropout)
    return int(other.method != recipe.method) + int(has_term)


def _data_size(dataset: str) -> _DataSize:
    """Return the size of a data set; that of CIFAR-100 if it is unknown."""
    return _DATA_SIZES.get(dataset, _DATA_SIZES["cifar100"])


def _relative_cost(recipe: Any) -> float:
    """Return the cost of a training step relative to cross-entropy's; 1 for a detector's."""
    if not isinstance(recipe, Recipe):
        return 1.0
    try:
        cost = training.passes_per_step(recipe.method).relative
    except InputError:
        return 1.0
    if recipe.sd_dropout and recipe.position in ("layer1", "layer2", "layer3"):
        cost += 2 * {"layer1": 0.75, "layer2": 0.5, "layer3": 0.25}[recipe.position]
    return cost


@functools.cache
def _operations(arch: str, dataset: str) -> float:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    size = _data_size(dataset)
    grey = (0.5,) * size.channels
    spec = ModelSpec(arch, size.classes, grey, grey, size.side)
    try:
        with torch.random.fork_rng(devices=[]):
            network = models.build(spec).eval()
        pixels = torch.zeros(1, size.channels, size.side, size.side)
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            network(pixels)
    except Exception:  # a plugin's network may raise anything
        return _DEFAULT_OPERATIONS
    return float(counter.get_total_flops()) or _DEFAULT_OPERATIONS


def _detector_operations(arch: str, side: int) -> float:
    """Estimate the operations of a detector for images of aspect ratio 4:3 with this shorter side.

    Twice those of its backbone: feature pyramid and heads cost about as much again.
    """
    backbone = arch.removeprefix(DETECTOR)
    dataset = "imagenet" if backbone.startswith("torchvision:") else "cifar100"
    scale = side * side * 4 / 3 / _data_size(dataset).side ** 2
    return 2 * scale * _operations(backbone, dataset)
