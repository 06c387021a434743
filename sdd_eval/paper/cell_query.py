"""The measurements that correspond to a cell of the paper's tables, as a query over results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sdd_eval.data.catalogue import canonical_name, dataset
from sdd_eval.paper.tables import PaperNumber
from sdd_eval.records import CLASSIFICATION, DETECTOR, Recipe, Task, encode

#: Accepted values of each axis, the paper's own first; None is a row without the axis.
Axes = Mapping[str, tuple[Any, ...]]


@dataclass(frozen=True)
class CellQuery:
    """The checkpoints and rows with which a cell can be compared.

    `recipe` identifies the cell's checkpoints and `protocol` is how the paper trains them.
    `metrics[0]` is the paper's metric; the others are related ones that are never comparable.
    """

    recipe: Mapping[str, Any]
    protocol: Mapping[str, tuple[Any, ...]]
    evaluator: str
    metrics: tuple[str, ...]
    at: Axes


#: The evaluator that measures each metric.
EVALUATORS = {
    **{"ece": "calibration", "fgsm_accuracy": "fgsm", "mca": "corruption"},
    **dict.fromkeys(("accuracy", "accuracy_top5"), "accuracy"),
    **dict.fromkeys(("fpr_at_95_tpr", "detection_error", "auroc", "aupr_in", "aupr_out"), "odin"),
    **dict.fromkeys(("map", "map50"), "detection"),
    **dict.fromkeys(("p_assumption_1", "assumption_2_r", "assumption_2_r1"), "history"),
}
#: The same mean, over corrupted images other than those of the CIFAR-100-C archive.
RELATED_METRICS = {
    "mca": ("mca_15_synthetic_frost", "mca_15_photographed_frost", "mca_15_unknown_frost"),
}
#: The axes of the paper's numbers, by evaluator.
_AXES: Mapping[str, Axes] = {
    "fgsm": {
        "variant": ("authors",),
        "gradient": ("float32",),
        "temperature": (1.0,),
        "constants": ("paper", "own"),
    },
    "odin": {"detector": ("odin",), "temperature": (1000.0,), "epsilon": (0.0028,)},
}
#: Data sets of 224 × 224 pixels, on which the paper trains torchvision's networks.
LARGE_IMAGES = frozenset({"cub200", "stanford_dogs", "imagenet"})
#: The network of BYOT's ResNet-18 on such images; it has another stem in the authors' code.
BYOT_NETWORK = "resnet18_maxpool"
_LARGE_IMAGE_PROTOCOL = {
    "batch_size": (32,),
    "image_size": (None, 224),
    "init": ("authors", "auto"),
    "standardisation": ("imagenet", "authors"),
    "augmentation": ("resized_crop_flip", "auto"),
}
#: Accepted values of recipe fields that differ from the defaults, by training set.
_PROTOCOLS: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
    "cifar100": {
        "milestones": (None, (100, 150)),
        "augmentation": ("crop_flip", "auto"),
        "init": ("authors", "auto"),
    },
    "cub200": {**_LARGE_IMAGE_PROTOCOL, "milestones": (None, (100, 150))},
    "stanford_dogs": {**_LARGE_IMAGE_PROTOCOL, "milestones": (None, (100, 150))},
    "imagenet": {
        **_LARGE_IMAGE_PROTOCOL,
        **{"batch_size": (32, 256), "epochs": (90,), "milestones": ((30, 60),)},
    },
}
#: Prefix of the backbone's fields in the recipe of an object detector.
_BACKBONE = "backbone_"
#: torchvision's reference on Detectron's schedules; the paper states only their lengths.
_DETECTOR: Mapping[str, tuple[Any, ...]] = {
    **{"batch_size": (16,), "lr": (0.02,), "milestones": ((8, 11), (5, 6))},
    **{"min_size": (800,), "max_size": (1333,)},
    **{"trainable_layers": (3,), "channels": (256,), "regions": (512,)},
}
#: Fields of a backbone's recipe that may differ without it ceasing to be the paper's.
_BACKBONE_CHOICES: Mapping[str, tuple[Any, ...]] = {
    **{"dataset": ("imagenet",), "precision": ("float32", "bf16")},
    **dict.fromkeys(("channels_last", "compile", "deterministic"), (False, True)),
}


def query_for(number: PaperNumber) -> CellQuery:
    """Return the query for the measurements that correspond to a printed number."""
    corrupted = number.dataset == "cifar100_c"
    training_set = "cifar100" if corrupted else number.dataset
    evaluator = "corruption" if corrupted else EVALUATORS[number.metric]
    task = dataset(training_set).task
    return CellQuery(
        recipe=_recipe(number, training_set, task),
        protocol=_protocol(number, training_set, task),
        evaluator=evaluator,
        metrics=(number.metric, *RELATED_METRICS.get(number.metric, ())),
        at=_axes(number, evaluator),
    )


def paper_protocol(training_set: str) -> dict[str, tuple[Any, ...]]:
    """Return the values of recipe fields with which the paper trains, where not the defaults.

    Those in which its tables differ, such as the method, are not included.
    """
    if dataset(training_set).task == CLASSIFICATION:
        return dict(_PROTOCOLS.get(training_set, {}))
    return _detector_protocol()


def matches_recipe(query: CellQuery, recipe: Mapping[str, Any]) -> bool:
    """Return whether a checkpoint with this recipe belongs to the cell, ignoring its protocol."""
    with_sd_dropout = query.protocol["sd_dropout"] != (0.0,)
    if bool(recipe.get("sd_dropout")) != with_sd_dropout:
        return False
    unused = () if with_sd_dropout else ("direction", "position")
    return all(
        _matches(value, recipe.get(name))
        for name, value in query.recipe.items()
        if name not in unused
    )


def _matches(expected: Any, value: Any) -> bool:
    """Return whether a field has the expected value; mappings may have additional keys."""
    if isinstance(expected, Mapping):
        return expected.items() <= dict(value or {}).items()
    return bool(expected == value)


def _recipe(number: PaperNumber, training_set: str, task: Task) -> dict[str, Any]:
    at, arch = number.at, number.model
    if task != CLASSIFICATION:
        arch = f"{DETECTOR}torchvision:{arch.removeprefix('faster_rcnn_')}"
    elif training_set in LARGE_IMAGES and number.method == "byot":
        arch = BYOT_NETWORK
    elif training_set in LARGE_IMAGES:
        arch = f"torchvision:{arch}"
    recipe = {
        "dataset": training_set,
        "arch": arch,
        "method": number.method,
        "position": f"layer{at.get('position', 4)}",
        "direction": at.get("direction", "both"),
        "hidden_layers": at.get("hidden_layers", 0),
    }
    if "lambda" in at:
        recipe |= {"sd_dropout": at["lambda"], "drop_rate": at["drop"]}
    if "epochs" in at:
        recipe["epochs"] = at["epochs"]
    if "variant" in at:
        recipe["method_options"] = {"variant": at["variant"]}
    return recipe


def _protocol(number: PaperNumber, training_set: str, task: Task) -> dict[str, tuple[Any, ...]]:
    """Return the accepted values of recipe fields that differ from the defaults."""
    # λ is 1 alone and 0.1 in combination; on ImageNet the paper says 0.1 and the code 1.
    of_classifier = task == CLASSIFICATION
    protocol = paper_protocol(training_set)
    if not number.sd_dropout:
        protocol["sd_dropout"] = (0.0,)
    elif training_set == "imagenet" or not of_classifier:
        protocol["sd_dropout"] = (0.1, 1.0)
    else:
        protocol["sd_dropout"] = (1.0,) if number.method == "ce" else (0.1,)
    return protocol


def _detector_protocol() -> dict[str, tuple[Any, ...]]:
    """Return how the paper trains a detector, and before that its backbone."""
    defaults = {name: (value,) for name, value in encode(Recipe()).items()}
    backbone = {**defaults, **_PROTOCOLS["imagenet"], **_BACKBONE_CHOICES}
    return {**_DETECTOR, **{f"{_BACKBONE}{name}": value for name, value in backbone.items()}}


def _axes(number: PaperNumber, evaluator: str) -> dict[str, tuple[Any, ...]]:
    """Return the axes of a matching row: the evaluator's own and those that the paper prints."""
    axes = dict(_AXES.get(evaluator, {}))
    for name in ("bins", "epsilon", "corruption", "epoch"):
        if name in number.at:
            axes[name] = (number.at[name],)
    if "outliers" in number.at:
        name = number.at["outliers"]
        average = ("average:paper", "average")
        axes["outliers"] = average if name == "average" else (canonical_name(name),)
    return axes
