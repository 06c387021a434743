"""Tables `[[train-detector]]` of a study: detectors on the backbones of its checkpoints."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from sdd_eval.object_detection.recipe import DetectorRecipe, detector_name, flatten, with_defaults
from sdd_eval.records import DETECTOR, Recipe, decode
from sdd_eval.store import key_of
from sdd_eval.studies.evaluations import chosen
from sdd_eval.studies.grid import combinations
from sdd_eval.studies.smoke import DETECTOR_FIELDS, Small
from sdd_eval.studies.study import DetectorTraining, Training
from sdd_eval.studies.toml import Node

TABLE = (*DETECTOR_FIELDS, "of", "id")


def detectors_of(
    top: Node, size: Small, trainings: Mapping[str, Training], ids: Mapping[str, set[str]]
) -> tuple[tuple[DetectorTraining, ...], dict[str, set[str]]]:
    """The detectors, backbone by backbone, and the ids of all trainings, these among them.

    Each is trained with the seed of its backbone: a checkpoint of the study's, or one of those that
    `checkpoints` names.

    Raises:
        InputError: a field is unknown or a value impossible; with the line.
    """
    found: dict[str, DetectorTraining] = {}
    every = {name: set(names) for name, names in ids.items()}
    for node in top.tables("train-detector"):
        node.only(TABLE, "field of a detector's training")
        of = chosen(node, ids)
        names = [*trainings, *top.all("checkpoints", str)]
        for backbone in (name for name in names if of is None or name in of):
            for fields in combinations(node, {}, DetectorRecipe):
                made = _training(node, size, backbone, trainings.get(backbone), fields)
                _add(found, made)
                every.setdefault(node.get("id", str, ""), set()).add(made.name)
    if top.tables("train-detector") and not found:
        raise top.wrong("there is no backbone: no [[train]] and no checkpoints", "train-detector")
    return tuple(found.values()), every


def _training(
    node: Node, size: Small, backbone: str, trained: Training | None, fields: Mapping[str, Any]
) -> DetectorTraining:
    """A detector on a backbone, and what it stands for."""
    full = decode(DetectorRecipe, fields)
    recipe = decode(DetectorRecipe, size.detector_fields(fields)) if size else full
    with node.at():
        with_defaults(recipe, trained.recipe if trained else None)
    meant = tuple(_meant(full, each) for each in trained.meant) if trained else ()
    under = (
        flatten(recipe, trained.recipe, DETECTOR + trained.recipe.arch)
        if trained
        else {**flatten(recipe, None, DETECTOR), "backbone": backbone}
    )
    return DetectorTraining(_name(recipe, backbone), backbone, recipe, meant, under)


def _meant(recipe: DetectorRecipe, backbone: Recipe) -> Mapping[str, Any]:
    """What a run would tell of such a detector on such a backbone."""
    return flatten(with_defaults(recipe, backbone), backbone, DETECTOR + backbone.arch)


def _name(recipe: DetectorRecipe, backbone: str) -> str:
    """A name that no other recipe has: as usual, with a key where further settings are not."""
    usual = DetectorRecipe(dataset=recipe.dataset, epochs=recipe.epochs)
    pairs = {name: value for name, value in vars(recipe).items() if value != getattr(usual, name)}
    key = f"{key_of(pairs)[:6]}-" if pairs else ""
    return detector_name(dataclasses.replace(recipe, backbone=f"{key}{backbone}"))


def _add(found: dict[str, DetectorTraining], made: DetectorTraining) -> None:
    """Each checkpoint once, with all that it stands for."""
    there = found.setdefault(made.name, made)
    further = tuple(each for each in made.meant if each not in there.meant)
    found[made.name] = dataclasses.replace(there, meant=(*there.meant, *further))
