"""Expected duration of a job: measured on earlier jobs, else estimated from its operations."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdd_eval import models, store, training
from sdd_eval.checkpoints.folder import checkpoint_folders, read_card
from sdd_eval.errors import InputError
from sdd_eval.evaluators.adversarial.audit import audit_of
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
    "digits": _DataSize(1_000, 797, 8, 10, 1),
    "cifar10": _DataSize(50_000, 10_000, 32, 10),
    "cifar100": _DataSize(50_000, 10_000),
    "cub200": _DataSize(5_994, 5_794, 224, 200),
    "stanford_dogs": _DataSize(12_000, 8_580, 224, 120),
    "imagenet": _DataSize(1_281_167, 50_000, 224, 1_000),
    "coco": _DataSize(118_287, 5_000),
    "digit_scenes": _DataSize(64, 32, 64, 10, 1),
}
#: Floating-point operations per second of one CPU thread and of a large GPU.
_THREAD_RATE, _GPU_RATE = 4e10, 6e13
#: Forward passes per test image of each evaluator; a backward pass counts as two.
_PASSES = {
    **{"accuracy": 1, "calibration": 1, "selective": 1, "detection": 1},
    **{"fgsm": 60, "attack": 60, "corruption": 75, "odin": 14, "ood": 25},
}
#: Operations of a forward pass if they cannot be counted: those of ResNet-18 on 32 × 32 pixels.
_DEFAULT_OPERATIONS = 1.1e9
#: Number of an evaluator's newest runs that are read.
_RUNS = 8
_ROUGH = "rough: from operations alone"
#: Recipe fields that the time per image depends on, for a classifier and for a detector.
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
        self.gpu = workspace.device.startswith("cuda")
        self.trained = [
            (recipe, card)
            for recipe, card in _trained(workspace.checkpoints)
            if self._is_comparable(card)
        ]
        #: Architecture and recipe of each network, trained or planned.
        self.networks: dict[str, tuple[str, Any]] = {
            card.name: (card.model.arch, recipe) for recipe, card in self.trained
        }
        self.seconds_per_image = functools.cache(self._seconds_per_image)

    def of(self, job: Job) -> Estimate:
        """Return the estimate for a whole job."""
        work = job.work
        if isinstance(work, Evaluation):
            return self._evaluation(work)
        if isinstance(work.recipe, Recipe):
            arch = work.recipe.arch
        else:
            arch = DETECTOR + self.networks.get(work.backbone, (Recipe.arch,))[0]
        self.networks[work.name] = arch, work.recipe
        return self._training(arch, work.recipe)

    def _training(self, arch: str, recipe: Any) -> Estimate:
        """Estimate a training run from a similar one, or from the operations of a forward pass."""
        images, cost = _training_images(recipe) * recipe.epochs, _relative_cost(recipe)
        names = _SPEED[type(recipe)]
        similar = [
            (_relative_cost(other), card)
            for other, card in self.trained
            if card.model.arch == arch
            and all(getattr(other, name) == getattr(recipe, name) for name in names)
        ]
        if not similar:
            return self._rough(images, 3 * _operations_of(arch, recipe) * cost)
        other_cost, card = min(similar, key=lambda pair: abs(pair[0] - cost))
        speed = card.provenance.images_per_second or 1.0
        return Estimate(images / speed * cost / other_cost, f"estimated from {card.name}")

    def _evaluation(self, work: Evaluation) -> Estimate:
        arch, recipe = self.networks.get(work.checkpoint, (Recipe.arch, Recipe()))
        images = _data_size(work.dataset or recipe.dataset).test
        limit = self.workspace.limit if self.workspace.limit is not None else work.limit
        images = min(images, limit or images)
        seconds = self.seconds_per_image(work.evaluator, arch)
        if seconds is not None:
            return Estimate(seconds * images, f"as earlier runs of {work.evaluator} on {arch}")
        return self._rough(images, _operations_of(arch, recipe) * _passes(work))

    def _rough(self, images: int, operations: float) -> Estimate:
        rate = _GPU_RATE if self.gpu else _THREAD_RATE * (self.workspace.threads or 1)
        return Estimate(images * operations / rate, _ROUGH)

    def _seconds_per_image(self, evaluator: str, arch: str) -> float | None:
        """Return the mean of the newest earlier runs on such a device; None if there are none."""
        paths = self.workspace.study.parent.glob(f"*/runs/*/{evaluator}-*.json")
        newest = sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True)
        seconds = []
        for path in newest[:_RUNS]:
            with contextlib.suppress(InputError):  # a damaged run, which reports mention
                run = store.read_run(path)
                source, model = run.provenance, run.provenance.model or {}
                same_device = source.device is not None and (source.device != "cpu") == self.gpu
                if model.get("arch") == arch and same_device and run.n and source.seconds:
                    seconds.append(source.seconds / run.n)
        return sum(seconds) / len(seconds) if seconds else None

    def _is_comparable(self, card: Card) -> bool:
        """Return whether a checkpoint was trained on such a device with as many threads."""
        provenance, threads = card.provenance, self.workspace.threads
        gpu = any(device != "cpu" for device in provenance.devices or ())
        same = threads is None or gpu or provenance.threads == threads
        return bool(provenance.images_per_second) and gpu == self.gpu and same


def _trained(folder: Path) -> Iterator[tuple[Recipe | DetectorRecipe, Card]]:
    for path in checkpoint_folders(folder):
        with contextlib.suppress(InputError):
            card = read_card(path)
            if recipe := card.recipe or recipe_of(card):
                yield recipe, dataclasses.replace(card, name=path.name)


def _passes(work: Evaluation) -> int:
    """Return the number of forward passes per test image; a backward pass counts as two."""
    get = work.settings.get
    if work.evaluator == "attack" and get("audit"):
        effort = get("steps"), get("restarts"), get("parameters", ())
        return audit_of(*effort, get("transfer_from", "")).passes
    return _PASSES.get(work.evaluator, 2)


def _data_size(dataset: str) -> _DataSize:
    """Return the size of a data set; that of CIFAR-100 if it is unknown."""
    return _DATA_SIZES.get(dataset, _DATA_SIZES["cifar100"])


def _training_images(recipe: Any) -> int:
    """Return the number of images that a recipe trains on."""
    size = _data_size(recipe.dataset)
    per_class = getattr(recipe, "images_per_class", None)
    return min(size.training, per_class * size.classes) if per_class else size.training


def _relative_cost(recipe: Any) -> float:
    """Return the cost of a training step relative to cross-entropy; 1 for a detector."""
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


def _operations_of(arch: str, recipe: Any) -> float:
    """Return the operations of a classifier's forward pass, or estimate those of a detector's.

    A detector's are twice its backbone's on images of aspect ratio 4:3: feature pyramid and heads
    cost about as much again.
    """
    if isinstance(recipe, Recipe):
        return _operations(arch, recipe.dataset)
    backbone = arch.removeprefix(DETECTOR)
    dataset = "imagenet" if backbone.startswith("torchvision:") else "cifar100"
    scale: float = recipe.min_size**2 * 4 / 3 / _data_size(dataset).side ** 2
    return 2 * scale * _operations(backbone, dataset)
