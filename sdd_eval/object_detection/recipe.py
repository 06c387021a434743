"""How a detector is fine-tuned, and the names that this gives."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sdd_eval.errors import InputError
from sdd_eval.records import DETECTOR, Card, Recipe, decode, encode, upgraded
from sdd_eval.validation import ABOVE_0, BELOW_1, FROM_0, FROM_1, check_bounds

#: Epochs of the paper's two schedules, 0.5× and 1×.
SCHEDULES = {"half": 7, "full": 12}
#: Images a step for which the learning rate is .02.
USUAL_BATCH, USUAL_LR = 16, 0.02
#: Images that are looked at together unless told: whole photographs, not crops of 32 pixels.
EVALUATION_BATCH_SIZE = 8

_BOUNDS = {
    "epochs": FROM_1,
    "batch_size": FROM_1,
    "lr": ABOVE_0,
    "momentum": BELOW_1,
    "weight_decay": FROM_0,
    "min_size": FROM_1,
    "max_size": FROM_1,
    "channels": FROM_1,
    "regions": FROM_1,
    "trainable_layers": FROM_0,
    "seed": FROM_0,
}
#: Fields of a classifier's recipe that say by which method its features were learned.
METHOD = (
    *(
        "method",
        "method_options",
        "sd_dropout",
        "drop_rate",
        "temperature",
        "direction",
        "position",
    ),
    "hidden_layers",
)


@dataclass(frozen=True)
class DetectorRecipe:
    """How a detector is fine-tuned; the defaults are torchvision's and Detectron's 1× schedule.

    torchvision's `references/detection`: SGD with .02 for 16 images a step, momentum .9, weight
    decay 1e-4, a linear warm-up in the first epoch, mirrored images. Detectron's 1× schedule is
    about 12 epochs, the rate a tenth after 8 and 11 of them; shorter ones are in proportion.
    """

    dataset: str = "coco"
    """Set of COCO's format: a folder below the data root, or a path."""
    epochs: int = SCHEDULES["full"]
    """Passes over the training images."""
    batch_size: int = USUAL_BATCH
    """Images a step; the last partial batch is kept."""
    lr: float | None = None
    """Learning rate of SGD; default: .02 for 16 images a step, in proportion for others."""
    momentum: float = 0.9
    """Momentum of SGD."""
    weight_decay: float = 1e-4
    """Weight decay, on every weight that is trained."""
    milestones: tuple[int, ...] | None = None
    """Epochs after which the learning rate falls to a tenth; default: 8/12 and 11/12 of all."""
    min_size: int = 800
    """To how many pixels an image's shorter side is scaled."""
    max_size: int = 1333
    """How many pixels its longer side may have then."""
    trainable_layers: int = 3
    """How many of the backbone's stages are trained, from the last; batch norms never are."""
    channels: int = 256
    """Channels of the feature pyramid."""
    regions: int = 512
    """Regions of an image from which the box head learns in a step."""
    seed: int | None = None
    """Seed of everything random; default: the backbone's."""
    backbone: str = ""
    """The checkpoint that it starts from."""
    backbone_sha256: str = ""
    """Of that checkpoint's weights."""


def resolved_recipe(recipe: DetectorRecipe, backbone: Card) -> DetectorRecipe:
    """The recipe on a backbone with everything written out that it leaves open.

    Raises:
        InputError: a value is impossible.
    """
    on_it = dataclasses.replace(
        recipe, backbone=backbone.name, backbone_sha256=backbone.weights_sha256
    )
    return with_defaults(on_it, backbone.recipe)


def with_defaults(recipe: DetectorRecipe, backbone: Recipe | None) -> DetectorRecipe:
    """The recipe with rate, milestones and seed, on a backbone of a recipe (None: imported).

    Raises:
        InputError: a value is impossible.
    """
    given = recipe.milestones
    if given is not None and (list(given) != sorted(set(given)) or min(given, default=1) < 1):
        raise InputError(f"milestones are {given}; they must be epochs from 1, ascending")
    usual_seed = backbone.seed if backbone else 0
    usual_lr = USUAL_LR * recipe.batch_size / USUAL_BATCH
    found = dataclasses.replace(
        recipe,
        lr=usual_lr if recipe.lr is None else recipe.lr,
        seed=usual_seed if recipe.seed is None else recipe.seed,
        milestones=_milestones(recipe.epochs) if given is None else tuple(given),
    )
    check_bounds(found, _BOUNDS)
    if found.max_size < found.min_size:
        raise InputError(f"max_size is {found.max_size}, less than min_size {found.min_size}")
    return found


def _milestones(epochs: int) -> tuple[int, ...]:
    """After 8 and 11 of 12 epochs, 5 and 6 of 7."""
    return tuple(sorted({max(1, round(epochs * part / 12)) for part in (8, 11)}))


def learning_rate(recipe: DetectorRecipe, epoch: int, step: int, steps: int) -> float:
    """The rate at a step of an epoch, both from 0: the first 1,000 steps warm up from a thousandth.

    As torchvision's reference has it, within the first epoch.
    """
    assert recipe.lr is not None
    assert recipe.milestones is not None
    warm = min(1000, steps - 1)
    factor = 1.0
    if epoch == 0 and step < warm:
        factor = 1e-3 + (1 - 1e-3) * step / warm
    return float(factor * recipe.lr / 10 ** sum(epoch >= each for each in recipe.milestones))


def detector_name(recipe: DetectorRecipe) -> str:
    """`DATASET-fasterrcnn-Nepochs-BACKBONE`, which ends with the seed as the backbone's does."""
    name = f"{recipe.dataset.strip('/').split('/')[-1]}-fasterrcnn-{recipe.epochs}epochs"
    return re.sub(r"[^\w.+-]+", "_", f"{name}-{recipe.backbone}")


def recipe_of(card: Card) -> DetectorRecipe | None:
    """How a detector was trained; None where the card is no detector's.

    Raises:
        InputError: the card does not say it.
    """
    if not card.model.arch.startswith(DETECTOR):
        return None
    return decode(DetectorRecipe, card.provenance.get("detector"), card.name)


def flattened_recipe(card: Card) -> Mapping[str, Any]:
    """A detector's recipe as a run tells it."""
    recipe = recipe_of(card)
    assert recipe is not None
    theirs = card.provenance["backbone"]["recipe"]
    backbone = None if theirs is None else decode(Recipe, upgraded(Recipe, theirs), card.name)
    return flatten(recipe, backbone, card.model.arch)


def flatten(recipe: DetectorRecipe, backbone: Recipe | None, arch: str) -> Mapping[str, Any]:
    """A detector's recipe as a run tells it: its own fields, and by which method its backbone was
    trained; everything else of the backbone's recipe has `backbone_` before its name.
    """
    own = encode(recipe)
    own.pop("backbone")  # or each seed would be a kind of its own
    own.pop("backbone_sha256")
    theirs = encode(backbone) or {}
    method = {name: theirs[name] for name in METHOD if name in theirs}
    further = {
        f"backbone_{name}": value
        for name, value in theirs.items()
        if name not in (*METHOD, "arch", "seed")
    }
    return {**method, **own, "arch": arch, **further}
