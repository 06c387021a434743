"""Tables of trainings: lists are grids, so a table means every combination and every seed."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sdd_eval import models, plugins
from sdd_eval.errors import unknown_name
from sdd_eval.object_detection.recipe import DetectorRecipe, detector_name, flatten, with_defaults
from sdd_eval.records import DETECTOR, ModelSpec, Recipe, decode, former_names
from sdd_eval.store import key_of
from sdd_eval.studies.smoke import Smoke
from sdd_eval.studies.study import DETECTOR_FIELDS, RECIPE_FIELDS, DetectorTraining, Training
from sdd_eval.studies.toml import Table
from sdd_eval.training.recipe import NAME_FIELDS, method_of, validated
from sdd_eval.training.recipe import checkpoint_name as short_name

#: Fields whose values are lists; a grid of them is a list of lists.
LISTS = ("milestones", "probe_epochs")
#: Fields that a checkpoint's short name mentions; the others are hashed.
_NAMED = ("dataset", "arch", "method", "method_options", "sd_dropout", *NAME_FIELDS)

#: Checkpoints by the id of their table.
Ids = dict[str, set[str]]


def trainings_of(
    top: Table, smoke: Smoke, seeds: Sequence[int] | None = None, *, check_positions: bool = False
) -> tuple[dict[str, Training], Ids]:
    """Return trainings by checkpoint, seed by seed, and checkpoints by id; errors name the line."""
    shared = top.table("recipe").with_present_keys(former_names(Recipe))
    common = list(combinations(shared.require_keys(RECIPE_FIELDS, "field of a recipe"), {}))
    if len(common) != 1:
        raise shared.error("[recipe] has a list of values; put a grid into [[train]]")
    default_seeds = tuple(seeds or smoke.seeds or top.get_list("seeds", int, [0]))
    name = short_name if top.get("short_names", bool, False) else checkpoint_name
    planned: list[tuple[int, Training, str]] = []
    for table in top.tables("train"):
        table = table.with_present_keys(former_names(Recipe))
        table.require_keys((*RECIPE_FIELDS, "seeds", "id"), "field of a training")
        table_seeds = tuple(seeds or smoke.seeds or table.get_list("seeds", int, default_seeds))
        for fields, seed in itertools.product(combinations(table, common[0]), table_seeds):
            full = recipe_of(table, fields, seed)
            recipe = recipe_of(table, smoke.recipe_fields(fields), seed) if smoke else full
            if check_positions:
                with table.errors_at(*(["position"] if "position" in table else [])):
                    _refuse_position(recipe.arch, recipe.position)
            training = Training(name(recipe), recipe, (full,))
            planned.append((table_seeds.index(seed), training, table.get("id", str, "")))
    return _merged(sorted(planned, key=lambda item: item[0]))


def _merged(planned: Sequence[tuple[int, Training, str]]) -> tuple[dict[str, Training], Ids]:
    trainings: dict[str, Training] = {}
    ids: Ids = {}
    for _, training, table_id in planned:
        present = trainings.setdefault(training.name, training)
        if training.stands_for[0] not in present.stands_for:
            recipes = (*present.stands_for, *training.stands_for)
            trainings[training.name] = dataclasses.replace(present, stands_for=recipes)
        ids.setdefault(table_id, set()).add(training.name)
    return trainings, ids


def detectors_of(
    top: Table, smoke: Smoke, trainings: Mapping[str, Training], ids: Ids
) -> tuple[tuple[DetectorTraining, ...], Ids]:
    """Return the detectors, backbone by backbone, and the checkpoints of each id.

    A backbone is a checkpoint of the study or one in `checkpoints`; its detectors have its seed.
    Raise InputError, with the line, if a field is unknown or a value invalid.
    """
    detectors: dict[str, DetectorTraining] = {}
    all_ids = {name: set(names) for name, names in ids.items()}
    for table in top.tables("train-detector"):
        table.require_keys((*DETECTOR_FIELDS, "of", "id"), "field of a detector's training")
        selected = selection(table, ids)
        names = [*trainings, *top.get_list("checkpoints", str)]
        for backbone in (name for name in names if selected is None or name in selected):
            for fields in combinations(table, {}, DetectorRecipe):
                detector = _detector(table, smoke, backbone, trainings.get(backbone), fields)
                _add(detectors, detector)
                all_ids.setdefault(table.get("id", str, ""), set()).add(detector.name)
    if top.tables("train-detector") and not detectors:
        raise top.error(
            "there is no backbone for the detectors; add [[train]] or `checkpoints`",
            "train-detector",
        )
    return tuple(detectors.values()), all_ids


def _detector(
    table: Table, smoke: Smoke, backbone: str, training: Training | None, fields: Mapping[str, Any]
) -> DetectorTraining:
    full = decode(DetectorRecipe, fields)
    recipe = decode(DetectorRecipe, smoke.detector_fields(fields)) if smoke else full
    with table.errors_at():
        with_defaults(recipe, training.recipe if training else None)
    name = _detector_checkpoint_name(recipe, backbone)
    if training is None:
        recorded = {**flatten(recipe, None, DETECTOR), "backbone": backbone}
        return DetectorTraining(name, backbone, recipe, (), recorded)
    stands_for = tuple(
        flatten(with_defaults(full, each), each, DETECTOR + each.arch)
        for each in training.stands_for
    )
    recorded = dict(flatten(recipe, training.recipe, DETECTOR + training.recipe.arch))
    return DetectorTraining(name, backbone, recipe, stands_for, recorded)


def _detector_checkpoint_name(recipe: DetectorRecipe, backbone: str) -> str:
    """Return the short name, with a hash of the settings that it does not mention."""
    default = DetectorRecipe(dataset=recipe.dataset, epochs=recipe.epochs)
    pairs = {name: value for name, value in vars(recipe).items() if value != getattr(default, name)}
    key = f"{key_of(pairs)[:6]}-" if pairs else ""
    return detector_name(dataclasses.replace(recipe, backbone=f"{key}{backbone}"))


def _add(detectors: dict[str, DetectorTraining], detector: DetectorTraining) -> None:
    present = detectors.setdefault(detector.name, detector)
    further = tuple(each for each in detector.stands_for if each not in present.stands_for)
    stands_for = (*present.stands_for, *further)
    detectors[detector.name] = dataclasses.replace(present, stands_for=stands_for)


def selection(table: Table, ids: Mapping[str, set[str]]) -> set[str] | None:
    """Return the checkpoints that a table selects by `of`, None for all; errors name the line."""
    if "of" not in table:
        return None
    with table.errors_at("of"):
        names: set[str] = set()
        for table_id in table.get_list("of", str):
            if table_id not in ids:
                raise unknown_name("id of a training", table_id, filter(None, ids))
            names |= ids[table_id]
        return names


def combinations(
    table: Table, shared: Mapping[str, Any], kind: type[Any] = Recipe
) -> Iterator[dict[str, Any]]:
    """Yield the fields of each recipe of a table, without seeds; errors name the line."""
    fields = [field.name for field in dataclasses.fields(kind) if field.name != "seed"]
    values = {name: value for name, value in table.values.items() if name in fields}
    with table.errors_at("method_options"):
        options = decode(_Options, {"values": values.pop("method_options", {})}).values
    grid = {name: _choices(name, value) for name, value in values.items()}
    option_grid = {name: _choices(name, value) for name, value in options.items()}
    for name, choices in grid.items():
        for value in choices:
            with table.errors_at(name):
                decode(kind, {name: value})
    for chosen, option in itertools.product(_product(grid), list(_product(option_grid))):
        merged = {**shared, **chosen}
        if option:
            merged["method_options"] = {**merged.get("method_options", {}), **option}
        yield merged


@dataclasses.dataclass(frozen=True)
class _Options:
    values: Mapping[str, Any]


def _choices(name: str, value: Any) -> list[Any]:
    several = isinstance(value, list)
    if name in LISTS:
        several = several and value != [] and isinstance(value[0], list)
    return list(value) if several else [value]


def _product(grid: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


def recipe_of(table: Table, fields: Mapping[str, Any], seed: int) -> Recipe:
    """Return the recipe of a combination, validated; errors name the line."""
    options = "method_options" in table and "method_options" in fields
    with table.errors_at(*(["method_options"] if options else [])):
        recipe = validated(decode(Recipe, {**fields, "seed": seed}))
        method_of(recipe)
    with table.errors_at(*(["arch"] if "arch" in table else [])):
        if ":" not in recipe.arch and recipe.arch not in plugins.names("models"):
            raise unknown_name("arch", recipe.arch, plugins.names("models"))
    return recipe


@functools.cache
def _refuse_position(arch: str, position: str) -> None:
    """Raise InputError if the network, built on torch's meta device, lacks the position."""
    if position == Recipe.position or ":" in arch:
        return
    import torch

    with torch.device("meta"):
        models.build(ModelSpec(arch, 10, (0.5,) * 3, (0.5,) * 3, 32)).stage_of(position)


def checkpoint_name(recipe: Recipe) -> str:
    """Return a unique name: the short name, with a hash of the settings that it does not mention.

    >>> checkpoint_name(Recipe(sd_dropout=1.0, drop_rate=0.3, seed=2))
    'cifar100-resnet18-ce-sdd1-drop0.3-seed2'
    """
    default = Recipe()
    values = {name: getattr(recipe, name) for name in RECIPE_FIELDS if name not in _NAMED}
    pairs = {name: value for name, value in values.items() if value != getattr(default, name)}
    begin, seed = short_name(recipe).rsplit("-", 1)
    return "-".join([begin, *([key_of(pairs)[:6]] if pairs else []), seed])
