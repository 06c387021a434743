"""The recipe of a detector's fine-tuning, and names and settings derived from it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sdd_eval.errors import InputError
from sdd_eval.records import (
    DETECTOR,
    OBJECT_DETECTION,
    Card,
    ModelSpec,
    Recipe,
    Task,
    decode,
    encode,
    upgraded,
)
from sdd_eval.validation import (
    ABOVE_0,
    BELOW_1,
    EPOCHS,
    FROM_0,
    FROM_1,
    check_bounds,
    check_milestones,
)

#: Epochs of the paper's two schedules, 0.5× and 1×.
SCHEDULES = {"half": 7, "full": 12}
#: The default learning rate, for this many images per step.
REFERENCE_BATCH, REFERENCE_LR = 16, 0.02
#: Default batch size of an evaluation on whole photographs.
EVALUATION_BATCH_SIZE = 8

_BOUNDS = {
    **{
        "epochs": EPOCHS,
        "batch_size": FROM_1,
        "lr": ABOVE_0,
        "momentum": BELOW_1,
    },
    **{"weight_decay": FROM_0, "min_size": FROM_1, "max_size": FROM_1, "channels": FROM_1},
    **{"regions": FROM_1, "trainable_layers": FROM_0, "seed": FROM_0},
}
#: Fields of a classifier's recipe that specify its training method.
METHOD = (
    *("method", "method_options", "sd_dropout", "drop_rate", "temperature"),
    *("direction", "position", "hidden_layers"),
)


@dataclass(frozen=True)
class DetectorRecipe:
    """The recipe of a fine-tuning; the defaults are torchvision's and Detectron's 1× schedule.

    torchvision's `references/detection`: SGD with learning rate .02 for 16 images per step,
    momentum .9, weight decay 1e-4, a linear warm-up in the first epoch, random flips. Detectron's
    1× schedule is about 12 epochs with the learning rate divided by 10 after 8 and 11 of them;
    shorter schedules are scaled in proportion.
    """

    task: ClassVar[Task] = OBJECT_DETECTION
    dataset: str = "coco"
    """Data set in COCO's format: a name, a folder below the data root, or a path."""
    epochs: int = SCHEDULES["full"]
    """Passes over the training images."""
    batch_size: int = REFERENCE_BATCH
    """Images per step; the last, smaller batch is kept."""
    lr: float | None = None
    """Learning rate of SGD; default: .02 for 16 images a step, in proportion for others."""
    momentum: float = 0.9
    """Momentum of SGD."""
    weight_decay: float = 1e-4
    """Weight decay, on every weight that is trained."""
    milestones: tuple[int, ...] | None = None
    """Epochs after which the learning rate is divided by 10; default: 8/12 and 11/12 of all."""
    min_size: int = 800
    """Length in pixels to which an image's shorter side is scaled."""
    max_size: int = 1333
    """Largest length in pixels of the longer side after scaling."""
    trainable_layers: int = 3
    """Number of the backbone's last stages that are trained; batch norms never are."""
    channels: int = 256
    """Channels of the feature pyramid."""
    regions: int = 512
    """Regions sampled per image to train the box head."""
    seed: int | None = None
    """Seed of all random numbers; default: the backbone's."""
    backbone: str = ""
    """Name of the checkpoint whose backbone is used."""
    backbone_sha256: str = ""
    """SHA-256 of that checkpoint's weights."""


def resolved_recipe(recipe: DetectorRecipe, backbone: Card) -> DetectorRecipe:
    """Return the recipe on a backbone with all defaults; raise InputError if it is invalid."""
    recipe = dataclasses.replace(
        recipe, backbone=backbone.name, backbone_sha256=backbone.weights_sha256
    )
    return with_defaults(recipe, backbone.recipe)


def with_defaults(recipe: DetectorRecipe, backbone: Recipe | None) -> DetectorRecipe:
    """Return the recipe with learning rate, milestones and seed; `backbone` is None if imported.

    Raise InputError for an impossible value.
    """
    check_milestones(recipe.milestones, recipe.epochs)
    defaults: dict[str, Any] = {
        "lr": REFERENCE_LR * recipe.batch_size / REFERENCE_BATCH,
        "seed": backbone.seed if backbone else 0,
        "milestones": sorted({max(1, round(recipe.epochs * part / 12)) for part in (8, 11)}),
    }
    given = {name: getattr(recipe, name) for name in defaults}
    values = {name: defaults[name] if v is None else v for name, v in given.items()}
    values["milestones"] = tuple(values["milestones"])
    complete = dataclasses.replace(recipe, **values)
    check_bounds(complete, _BOUNDS)
    if complete.max_size < complete.min_size:
        raise InputError(f"max_size is {complete.max_size}, less than min_size {complete.min_size}")
    return complete


def detector_spec(
    backbone: ModelSpec, recipe: DetectorRecipe, categories: Mapping[int, str]
) -> ModelSpec:
    """Return the spec of a detector on a backbone, with the backbone's standardisation."""
    return ModelSpec(
        arch=DETECTOR + backbone.arch,
        classes=len(categories),
        mean=backbone.mean,
        std=backbone.std,
        image_size=recipe.min_size,
        options={
            "backbone": encode(backbone),
            "max_size": recipe.max_size,
            "channels": recipe.channels,
            "regions": recipe.regions,
            "trainable_layers": recipe.trainable_layers,
            "category_ids": list(categories),
            "class_names": list(categories.values()),
        },
    )


def learning_rate(recipe: DetectorRecipe, epoch: int, step: int, steps: int) -> float:
    """Return the learning rate at a step of an epoch, both counted from 0.

    As in torchvision's reference, up to 1,000 steps of the first epoch warm up from a thousandth.
    """
    assert recipe.lr is not None
    assert recipe.milestones is not None
    warm_up = min(1000, steps - 1)
    factor = 1.0
    if epoch == 0 and step < warm_up:
        factor = 1e-3 + (1 - 1e-3) * step / warm_up
    passed = sum(epoch >= milestone for milestone in recipe.milestones)
    return float(factor * recipe.lr / 10**passed)


def detector_name(recipe: DetectorRecipe) -> str:
    """Return `DATASET-fasterrcnn-Nepochs-BACKBONE`, which ends with the backbone's seed."""
    name = f"{recipe.dataset.strip('/').split('/')[-1]}-fasterrcnn-{recipe.epochs}epochs"
    return re.sub(r"[^\w.+-]+", "_", f"{name}-{recipe.backbone}")


def recipe_of(card: Card) -> DetectorRecipe | None:
    """Return a detector's recipe, None for other cards; raise InputError if it is invalid."""
    if not card.model.arch.startswith(DETECTOR):
        return None
    return decode(DetectorRecipe, card.provenance.detector, card.name)


def flattened_recipe(card: Card) -> Mapping[str, Any]:
    """Return a detector's recipe as a run stores it (see `flatten`)."""
    recipe = recipe_of(card)
    assert recipe is not None
    theirs = (card.provenance.backbone or {}).get("recipe")
    backbone = None if theirs is None else decode(Recipe, upgraded(Recipe, theirs), card.name)
    return flatten(recipe, backbone, card.model.arch)


def flatten(recipe: DetectorRecipe, backbone: Recipe | None, arch: str) -> Mapping[str, Any]:
    """Return the fields of a detector's and its backbone's recipe in one mapping.

    The backbone's training method keeps its names; its other fields get the prefix `backbone_`.
    Names and hashes of backbones are left out, as they differ between seeds.
    """
    fields = encode(recipe)
    fields.pop("backbone")
    fields.pop("backbone_sha256")
    of_backbone = encode(backbone) or {}
    method = {name: of_backbone[name] for name in METHOD if name in of_backbone}
    others = {
        f"backbone_{name}": value
        for name, value in of_backbone.items()
        if name not in (*METHOD, "arch", "seed")
    }
    return {**method, **fields, "arch": arch, **others}
