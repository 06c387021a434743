"""The embedded default: everything, on images that ship with scikit-learn; no download, no GPU.

The digits are so easy a set that the paper's λ of 1.0 leaves the network under-confident; 0.1,
the weight that its authors use beside every other method, does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sdd_eval import plugins
from sdd_eval.progress import Progress
from sdd_eval.records import Recipe

if TYPE_CHECKING:
    from sdd_eval.evaluation import Request

STUDY = "quickstart"
SEEDS = (0, 1, 2)
WEIGHTS = (0.0, 0.1)
RECIPE = Recipe(
    dataset="digits",
    arch="small_cnn",
    standardisation="digits",
    augmentation="none",
    epochs=30,
    batch_size=128,
    lr=0.1,
)

#: The evaluators, each with about how many seconds it takes on two CPU cores.
EVALUATORS = {"accuracy": 0.2, "calibration": 0.2, "fgsm": 1.5, "corruption": 4.0, "odin": 1.0}
TRAINING_SECONDS = 4.0


@dataclass(frozen=True)
class Job:
    """A piece of work with a name and its share of the whole, in seconds of an idle machine."""

    label: str
    seconds: float
    run: Callable[[Progress], object]
    one_piece: bool = False
    """Whether its progress is told as one piece, so that its part of the whole can be."""


@dataclass(frozen=True)
class Places:
    """Where everything is read and written, and on what it runs."""

    checkpoints: Path
    reports: Path
    data_root: Path
    device: str = "cpu"

    @property
    def study(self) -> Path:
        """The study's folder."""
        return self.reports / STUDY


def jobs(places: Places, *, limit: int | None = None, command: str = "") -> Iterator[Job]:
    """Train six networks, then ask each all questions; what is done already takes no time."""
    from sdd_eval.evaluation import Request
    from sdd_eval.evaluation.cache import outputs_folder

    recipes = [replace(RECIPE, sd_dropout=w, seed=s) for s in SEEDS for w in WEIGHTS]
    for recipe in recipes:
        yield _training(recipe, places)
    for recipe in recipes:
        for name, seconds in EVALUATORS.items():
            request = Request(
                evaluator=plugins.load("evaluators", name)(),
                study=places.study,
                data_root=places.data_root,
                limit=limit,
                device=places.device,
                command=command,
                cache=outputs_folder(),
            )
            yield _evaluation(recipe, request, seconds, places)


def _training(recipe: Recipe, places: Places) -> Job:
    from sdd_eval.training.recipe import checkpoint_name
    from sdd_eval.training.train import train

    def run(progress: Progress) -> object:
        return train(
            recipe,
            places.checkpoints,
            data_root=places.data_root,
            device=places.device,
            progress=progress,
        )

    return Job(f"train {checkpoint_name(recipe)}", TRAINING_SECONDS, run, one_piece=True)


def _evaluation(recipe: Recipe, request: Request, seconds: float, places: Places) -> Job:
    from sdd_eval.evaluation import evaluate_checkpoint
    from sdd_eval.training.recipe import checkpoint_name

    name = checkpoint_name(recipe)

    def run(progress: Progress) -> object:
        return evaluate_checkpoint(places.checkpoints / name, request, progress)

    return Job(f"{request.evaluator.name} {name}", seconds, run)
