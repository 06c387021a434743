"""How long a job should take: as its like took before, else from a rough model of its cost."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdd_eval.errors import InputError
from sdd_eval.object_detection.recipe import DetectorRecipe, recipe_of
from sdd_eval.records import DETECTOR, Card, Recipe
from sdd_eval.store import read_record
from sdd_eval.studies.cost_model import (
    EVALUATION_PASSES,
    RATES,
    images_of,
    operations,
    operations_detecting,
    passes,
)
from sdd_eval.studies.jobs import Job, Places
from sdd_eval.studies.study import DetectorTraining, Evaluation, Training

#: Of an evaluator's earlier runs only so many are read, the newest.
READ = 8


@dataclass(frozen=True)
class Estimate:
    """Seconds, and what they rest on."""

    seconds: float
    source: str


class Estimates:
    """What is known of earlier work on this machine's folders; read once."""

    def __init__(self, places: Places) -> None:
        """Look at the cards of checkpoints; runs are read when an evaluator is asked for."""
        self.places = places
        self.kind = "gpu" if places.device.startswith("cuda") else "cpu"
        self.cards = [card for card in _cards(places.checkpoints) if self._of_kind(card)]
        self.recipes = {card.name: card.recipe for card in self.cards if card.recipe}
        self.detectors: dict[str, DetectorTraining] = {}
        self.seconds_an_image: dict[tuple[str, str | None], float | None] = {}

    def of(self, job: Job) -> Estimate:
        """The estimate for a job from its beginning."""
        if isinstance(job.work, Training):
            self.recipes[job.work.name] = job.work.recipe
            return self._training(job.work.recipe)
        if isinstance(job.work, DetectorTraining):
            self.detectors[job.work.name] = job.work
            return self._detector(job.work)
        return self._evaluation(job.work)

    def _training(self, recipe: Recipe) -> Estimate:
        """From the speed of the nearest training of this network on this set."""
        images = images_of(recipe.dataset).training * recipe.epochs
        alike = [c for c in self.cards if c.recipe and _alike(c.recipe, recipe)]
        if alike:
            nearest = min(alike, key=lambda card: _distance(card.recipe, recipe))
            assert nearest.recipe is not None
            speed = float(nearest.provenance["images_per_second"])
            scale = passes(recipe) / passes(nearest.recipe)
            return Estimate(images / speed * scale, f"as fast as {nearest.name}")
        cost = 3 * operations(recipe.arch, recipe.dataset) * passes(recipe)
        return Estimate(self._rough(images, cost), "rough: from operations alone")

    def _detector(self, work: DetectorTraining) -> Estimate:
        """From the speed of another detector on such a network and set."""
        recipe, arch = work.recipe, self._detector_arch(work)
        images = images_of(recipe.dataset).training * recipe.epochs
        for card in self.cards:
            told = recipe_of(card)
            if told is not None and card.model.arch == arch and _scaled_alike(told, recipe):
                speed = float(card.provenance["images_per_second"])
                return Estimate(images / speed, f"as fast as {card.name}")
        cost = 3 * operations_detecting(arch, recipe.min_size)
        return Estimate(self._rough(images, cost), "rough: from operations alone")

    def _detector_arch(self, work: DetectorTraining) -> str:
        backbone = self.recipes.get(work.backbone) or Recipe()
        return DETECTOR + backbone.arch

    def _detection(self, work: Evaluation, detector: DetectorTraining) -> Estimate:
        """From the seconds an image of earlier runs over such a detector."""
        arch = self._detector_arch(detector)
        images = self._looked_at(work, detector.recipe.dataset)
        each = self._measured(work.evaluator, arch)
        if each is not None:
            return Estimate(each * images, f"as earlier runs of {work.evaluator} on {arch}")
        cost = operations_detecting(arch, detector.recipe.min_size)
        return Estimate(self._rough(images, cost), "rough: from operations alone")

    def _looked_at(self, work: Evaluation, trained_on: str) -> int:
        """How many images an evaluation looks at."""
        images = images_of(work.dataset or trained_on).test
        limit = self.places.limit if self.places.limit is not None else work.limit
        return min(images, limit or images)

    def _evaluation(self, work: Evaluation) -> Estimate:
        """From the seconds an image of the evaluator's earlier runs over this network."""
        if work.checkpoint in self.detectors:
            return self._detection(work, self.detectors[work.checkpoint])
        recipe = self.recipes.get(work.checkpoint) or Recipe()
        images = self._looked_at(work, recipe.dataset)
        each = self._measured(work.evaluator, recipe.arch)
        if each is not None:
            return Estimate(each * images, f"as earlier runs of {work.evaluator} on {recipe.arch}")
        cost = operations(recipe.arch, recipe.dataset) * EVALUATION_PASSES.get(work.evaluator, 2)
        return Estimate(self._rough(images, cost), "rough: from operations alone")

    def _rough(self, images: int, operations_each: float) -> float:
        threads = self.places.threads or 1 if self.kind == "cpu" else 1
        return images * operations_each / (RATES[self.kind] * threads)

    def _measured(self, evaluator: str, arch: str) -> float | None:
        """Mean seconds an image, of earlier runs on such a device; None where there are none."""
        key = (evaluator, arch)
        if key not in self.seconds_an_image:
            found = list(self._seconds(evaluator, arch))
            self.seconds_an_image[key] = sum(found) / len(found) if found else None
        return self.seconds_an_image[key]

    def _seconds(self, evaluator: str, arch: str) -> Iterator[float]:
        paths = self.places.study.parent.glob(f"*/runs/*/{evaluator}-*.json")
        newest = sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True)
        for path in newest[:READ]:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                run = json.loads(path.read_text(encoding="utf-8"))
                told = run["provenance"]
                gpu = told["device"] != "cpu"
                if told["model"]["arch"] == arch and gpu == (self.kind == "gpu") and run["n"]:
                    yield told["seconds"] / run["n"]

    def _of_kind(self, card: Card) -> bool:
        """Whether a checkpoint was trained on a device of this kind, with so many threads."""
        told: Mapping[str, Any] = card.provenance
        gpu = any(device != "cpu" for device in told.get("devices", ()))
        threads = self.places.threads
        same = threads is None or gpu or told.get("threads") == threads
        return bool(told.get("images_per_second")) and gpu == (self.kind == "gpu") and same


def _cards(folder: Path) -> Iterator[Card]:
    for path in sorted(folder.glob("*/card.json")):
        with contextlib.suppress(InputError):
            yield read_record(path, Card)


def _alike(there: Recipe, recipe: Recipe) -> bool:
    """Whether two trainings differ only in what `passes` knows."""
    fields = ("arch", "dataset", "batch_size", "precision", "channels_last", "compile")
    return all(getattr(there, name) == getattr(recipe, name) for name in fields)


def _scaled_alike(there: DetectorRecipe, recipe: DetectorRecipe) -> bool:
    """Whether two detectors take as long for an image."""
    fields = ("dataset", "min_size", "max_size", "channels", "regions", "trainable_layers")
    return all(getattr(there, name) == getattr(recipe, name) for name in fields)


def _distance(there: Recipe | None, recipe: Recipe) -> int:
    """How unlike the methods of two trainings are."""
    assert there is not None
    same = (there.method == recipe.method, bool(there.sd_dropout) == bool(recipe.sd_dropout))
    return len(same) - sum(same)
