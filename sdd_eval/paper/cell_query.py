"""What a measured number must be to stand in a cell of the paper's: by whom, of what, at which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sdd_eval.paper.tables import PaperNumber
from sdd_eval.records import DETECTOR, Recipe, encode

#: Names that the paper writes shorter.
SPELLED = {"lsun": "lsun_resize"}

#: Accepted values of an axis, the paper's own first; None is a row without the axis.
Axes = Mapping[str, tuple[Any, ...]]


@dataclass(frozen=True)
class Wanted:
    """The rows that answer to a cell.

    `recipe` is what makes a checkpoint the cell's, `protocol` what the paper trains it by; of
    `metrics` the first is the paper's, the others are akin to it and never the same.
    """

    recipe: Mapping[str, Any]
    protocol: Mapping[str, tuple[Any, ...]]
    evaluator: str
    metrics: tuple[str, ...]
    at: Axes


#: Metric → the evaluator that measures it, where it is not its own name.
EVALUATORS = {
    "accuracy": "accuracy",
    "accuracy_top5": "accuracy",
    "ece": "calibration",
    "fgsm_accuracy": "fgsm",
    "mca": "corruption",
    "fpr_at_95_tpr": "odin",
    "detection_error": "odin",
    "auroc": "odin",
    "aupr_in": "odin",
    "aupr_out": "odin",
    "map": "detection",
    "map50": "detection",
    "p_assumption_1": "history",
    "assumption_2_r": "history",
    "assumption_2_r1": "history",
}
#: The same mean over images that are not the archive's.
AKIN = {
    "mca": ("mca_15_synthetic_frost", "mca_15_photographed_frost", "mca_15_unknown_frost"),
}
#: Of each evaluator the axes that the paper's numbers have, in this package's words.
_AT: Mapping[str, Axes] = {
    "fgsm": {
        "variant": ("authors",),
        "gradient": ("float32",),
        "temperature": (1.0,),
        "constants": ("paper", "own"),
    },
    "odin": {"detector": ("odin",), "temperature": (1000.0,), "epsilon": (0.0028,)},
}
#: Sets of 224 px, for which the paper takes torchvision's networks; elsewhere CIFAR's own.
LARGE = frozenset({"cub200", "stanford_dogs", "imagenet"})
_OF_LARGE = {
    "batch_size": (32,),
    "image_size": (None, 224),
    "init": ("authors", "auto"),
    "standardisation": ("imagenet", "authors"),
    "augmentation": ("resized_crop_flip", "auto"),
}
#: What differs from the defaults of a recipe where the paper trains on other sets.
_PROTOCOLS: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
    "cifar100": {
        "milestones": (None, (100, 150)),
        "augmentation": ("crop_flip", "auto"),
        "init": ("authors", "auto"),
    },
    "cub200": {**_OF_LARGE, "milestones": (None, (100, 150))},
    "stanford_dogs": {**_OF_LARGE, "milestones": (None, (100, 150))},
    "imagenet": {**_OF_LARGE, "batch_size": (32, 256), "epochs": (90,), "milestones": ((30, 60),)},
}
#: Before the names of those fields of a detector's recipe that its backbone was trained by.
_BACKBONE = "backbone_"
#: torchvision's reference on Detectron's schedules; the paper says no more than their lengths.
_DETECTOR: Mapping[str, tuple[Any, ...]] = {
    "batch_size": (16,),
    "lr": (0.02,),
    "milestones": ((8, 11), (5, 6)),
    "min_size": (800,),
    "max_size": (1333,),
    "trainable_layers": (3,),
    "channels": (256,),
    "regions": (512,),
}
#: Fields of a backbone's recipe that leave its numbers the paper's.
_FREE_OF_BACKBONE: Mapping[str, tuple[Any, ...]] = {
    "dataset": ("imagenet",),
    "precision": ("float32", "bf16"),
    "channels_last": (False, True),
    "compile": (False, True),
    "deterministic": (False, True),
}


def wanted(number: PaperNumber) -> Wanted:
    """What stands beside a number of the paper's."""
    trained_on = "cifar100" if number.dataset == "cifar100_c" else number.dataset
    evaluator = "corruption" if number.dataset == "cifar100_c" else EVALUATORS[number.metric]
    return Wanted(
        recipe=_identity(number, trained_on),
        protocol=_protocol(number, trained_on),
        evaluator=evaluator,
        metrics=(number.metric, *AKIN.get(number.metric, ())),
        at=_axes(number, evaluator),
    )


def is_of(asked: Wanted, recipe: Mapping[str, Any]) -> bool:
    """Whether a checkpoint of a recipe is a cell's, whatever its protocol."""
    with_it = asked.protocol["sd_dropout"] != (0.0,)
    if bool(recipe.get("sd_dropout")) != with_it:
        return False
    unused = () if with_it else ("direction", "position")
    return all(
        _same(value, recipe.get(name)) for name, value in asked.recipe.items() if name not in unused
    )


def _same(value: Any, there: Any) -> bool:
    """Whether a field has a value; of settings of a method those that are named."""
    if isinstance(value, Mapping):
        return value.items() <= dict(there or {}).items()
    return bool(value == there)


def _identity(number: PaperNumber, trained_on: str) -> dict[str, Any]:
    """The fields of a recipe without which a checkpoint is another cell's."""
    at = number.at
    found = {
        "dataset": trained_on,
        "arch": _arch(number.model, trained_on),
        "method": number.method,
        "position": f"layer{at.get('position', 4)}",
        "direction": at.get("direction", "both"),
        "hidden_layers": at.get("hidden_layers", 0),
    }
    if "lambda" in at:
        found |= {"sd_dropout": at["lambda"], "drop_rate": at["drop"]}
    if "epochs" in at:
        found["epochs"] = at["epochs"]
    if "variant" in at:
        found["method_options"] = {"variant": at["variant"]}
    return found


def _arch(model: str, trained_on: str) -> str:
    """The paper's name of a network as this package has it."""
    if model.startswith("faster_rcnn_"):
        return f"{DETECTOR}torchvision:{model.removeprefix('faster_rcnn_')}"
    return f"torchvision:{model}" if trained_on in LARGE else model


def _protocol(number: PaperNumber, trained_on: str) -> dict[str, tuple[Any, ...]]:
    """Accepted values of recipe fields, where they are not the defaults; λ as the authors have it.

    λ is 1 alone and 0.1 in combination; on ImageNet the paper says 0.1 and the code 1.
    """
    found = dict(_detector_protocol() if trained_on == "coco" else _PROTOCOLS.get(trained_on, {}))
    if not number.sd_dropout:
        found["sd_dropout"] = (0.0,)
    elif trained_on in ("imagenet", "coco"):
        found["sd_dropout"] = (0.1, 1.0)
    else:
        found["sd_dropout"] = (1.0,) if number.method == "ce" else (0.1,)
    return found


def _detector_protocol() -> dict[str, tuple[Any, ...]]:
    """How the paper trains a detector, and its backbone before."""
    usual = {name: (value,) for name, value in encode(Recipe()).items()}
    backbone = {**usual, **_PROTOCOLS["imagenet"], **_FREE_OF_BACKBONE}
    return {**_DETECTOR, **{f"{_BACKBONE}{name}": each for name, each in backbone.items()}}


def _axes(number: PaperNumber, evaluator: str) -> dict[str, tuple[Any, ...]]:
    """Where a row must hold: the evaluator's own axes, then those that the paper prints."""
    found = dict(_AT.get(evaluator, {}))
    for name in ("bins", "epsilon", "corruption", "epoch"):
        if name in number.at:
            found[name] = (number.at[name],)
    if "outliers" in number.at:
        name = number.at["outliers"]
        found["outliers"] = (SPELLED.get(name, name),)
        if name == "average":
            found["outliers"] = ("average:paper", "average")
    return found
