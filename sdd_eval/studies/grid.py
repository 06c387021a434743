"""Tables of training runs: lists are grids, so a table means all combinations and seeds."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sdd_eval import plugins
from sdd_eval.errors import unknown_name
from sdd_eval.object_detection.recipe import DetectorRecipe, detector_name, flatten, with_defaults
from sdd_eval.records import DETECTOR, Recipe, decode, encode
from sdd_eval.store import key_of
from sdd_eval.studies.checks import Lookup, check_recipe
from sdd_eval.studies.schema import Evaluate, Small, StudyFile, Table, TrainDetector
from sdd_eval.studies.study import DETECTOR_FIELDS, RECIPE_FIELDS, Training
from sdd_eval.training.recipe import NAME_FIELDS, validated
from sdd_eval.training.recipe import checkpoint_name as short_name

#: Fields that a checkpoint's short name mentions; the others are hashed.
_NAMED = ("dataset", "arch", "method", "method_options", "sd_dropout", *NAME_FIELDS)

#: Maximum number of combinations per table: 10,000 files are slow in any folder.
MOST_TRAININGS = 10_000

#: Checkpoints by the id of their table.
Ids = dict[str, set[str]]


def trainings_of(
    file: StudyFile, small: Small, seeds: Sequence[int] | None, lookup: Lookup | None
) -> tuple[dict[str, Training], Ids]:
    """Return the training runs by checkpoint, and checkpoints by id; errors name the line."""
    common = list(combinations(file.recipe, RECIPE_FIELDS))
    if len(common) != 1:
        raise file.recipe.location.error("[recipe] has a list of values; put a grid into [[train]]")
    name = short_name if file.short_names else checkpoint_name
    planned: list[tuple[int, Training, str]] = []
    for table in file.train:
        table_seeds = seeds or small.seeds or table.seeds or file.seeds
        grid = combinations(table, RECIPE_FIELDS, common[0])
        for fields, seed in itertools.product(grid, table_seeds):
            full = _recipe_of(file, table, {**fields, "seed": seed}, None)
            small_fields = {**small.recipe_fields(fields), "seed": seed}
            recipe = _recipe_of(file, table, small_fields, lookup)
            fields_of = encode(recipe), (encode(full),)
            training = Training(name(recipe), recipe, *fields_of, label=table.label)
            planned.append((table_seeds.index(seed), training, table.id))
    trainings: dict[str, Training] = {}
    ids: Ids = {}
    for _, training, table_id in sorted(planned, key=lambda item: item[0]):
        _add(training, trainings, ids.setdefault(table_id, set()))
    return trainings, ids


def _add(network: Training, networks: dict[str, Training], names: set[str]) -> None:
    """Add a training run, or merge its recipes into the existing one of that name."""
    present = networks.setdefault(network.name, network)
    stands_for = [*present.stands_for, *network.stands_for]
    unique = tuple(r for n, r in enumerate(stands_for) if r not in stands_for[:n])
    networks[network.name] = dataclasses.replace(present, stands_for=unique)
    names.add(network.name)


def detectors_of(
    file: StudyFile,
    small: Small,
    trainings: Mapping[str, Training],
    ids: Ids,
    lookup: Lookup | None,
) -> tuple[dict[str, Training], Ids]:
    """Return the detectors by name, backbone by backbone, and the checkpoints of each id.

    A backbone is a checkpoint of the study or one in `checkpoints`; its detectors have its seed.
    Raise InputError, with the line, if a value is invalid or there is no backbone.
    """
    detectors: dict[str, Training] = {}
    all_ids = {name: set(names) for name, names in ids.items()}
    for table in file.train_detector:
        selected = selection(table, ids)
        names = [*trainings, *file.checkpoints]
        for backbone in (name for name in names if selected is None or name in selected):
            for fields in combinations(table, DETECTOR_FIELDS):
                full = DetectorRecipe(**fields)
                recipe = DetectorRecipe(**small.detector_fields(fields))
                with table.location.errors_in(table.given(DETECTOR_FIELDS)):
                    if lookup is not None:
                        check_recipe(recipe, lookup)
                    detector = _detector(full, recipe, backbone, trainings.get(backbone))
                    detector = dataclasses.replace(detector, label=table.label)
                _add(detector, detectors, all_ids.setdefault(table.id, set()))
    if file.train_detector and not detectors:
        message = "there is no backbone for the detectors; add [[train]] or `checkpoints`"
        raise file.location.error(message, "train-detector")
    return detectors, all_ids


def _detector(
    full: DetectorRecipe, recipe: DetectorRecipe, backbone: str, training: Training | None
) -> Training:
    name = _detector_checkpoint_name(recipe, backbone)
    if training is None:
        with_defaults(recipe, None)  # checks its values
        fields = {**flatten(recipe, None, DETECTOR), "backbone": backbone}
        return Training(name, recipe, fields, (), backbone)
    of_backbone = decode(Recipe, training.fields)
    with_defaults(recipe, of_backbone)
    fields = dict(flatten(recipe, of_backbone, DETECTOR + of_backbone.arch))
    represented = [decode(Recipe, values) for values in training.stands_for]
    stands_for = (flatten(with_defaults(full, r), r, DETECTOR + r.arch) for r in represented)
    return Training(name, recipe, fields, tuple(stands_for), backbone)


def _detector_checkpoint_name(recipe: DetectorRecipe, backbone: str) -> str:
    """Return the short name, plus a hash of the settings that it does not mention."""
    default = DetectorRecipe(dataset=recipe.dataset, epochs=recipe.epochs)
    pairs = {name: value for name, value in vars(recipe).items() if value != getattr(default, name)}
    key = f"{key_of(pairs)[:6]}-" if pairs else ""
    return detector_name(dataclasses.replace(recipe, backbone=f"{key}{backbone}"))


def selection(table: TrainDetector | Evaluate, ids: Ids) -> set[str] | None:
    """Return the checkpoints that a table selects by `of`, None for all; errors name the line."""
    if table.of is None:
        return None
    with table.location.errors_at("of"):
        for name in table.of:
            if name not in ids:
                raise unknown_name("id of a training", name, filter(None, ids))
    return set().union(*(ids[name] for name in table.of))


def combinations(
    table: Table, names: Sequence[str], shared: Mapping[str, Any] = MappingProxyType({})
) -> Iterator[dict[str, Any]]:
    """Yield the fields of each recipe of a table, without seeds, added to the `shared` ones."""
    grid = table.given(names)
    options = grid.pop("method_options", {})
    option_grid = {name: v if isinstance(v, list) else [v] for name, v in options.items()}
    count = math.prod(map(len, (*grid.values(), *option_grid.values())))
    if count > MOST_TRAININGS:
        message = f"the table has {count:,} combinations; it must have at most {MOST_TRAININGS:,}"
        raise table.location.error(f"{message}: each is a training, and a file of its own")
    for chosen, option in itertools.product(_product(grid), list(_product(option_grid))):
        merged = {**shared, **chosen}
        if option:
            merged["method_options"] = {**merged.get("method_options", {}), **option}
        yield merged


def _product(grid: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


def _recipe_of(
    file: StudyFile, table: Table, fields: Mapping[str, Any], lookup: Lookup | None
) -> Recipe:
    """Return the recipe of a combination, validated; errors name the line."""
    values = {**table.given(RECIPE_FIELDS), "seeds": fields["seed"]}
    shared = file.recipe.location, file.recipe.given(RECIPE_FIELDS)
    with table.location.errors_in(values, shared=shared):
        recipe = validated(Recipe(**fields))
        if ":" not in recipe.arch and recipe.arch not in plugins.names("models"):
            raise unknown_name("arch", recipe.arch, plugins.names("models"))
        if lookup is not None:
            check_recipe(recipe, lookup)
    return recipe


def checkpoint_name(recipe: Recipe) -> str:
    """Return a unique name: the short name, plus a hash of the settings that it does not mention.

    >>> checkpoint_name(Recipe(sd_dropout=1.0, drop_rate=0.3, seed=2))
    'cifar100-resnet18-ce-sdd1-drop0.3-seed2'
    """
    default = Recipe()
    values = {name: getattr(recipe, name) for name in RECIPE_FIELDS if name not in _NAMED}
    pairs = {name: value for name, value in values.items() if value != getattr(default, name)}
    begin, seed = short_name(recipe).rsplit("-", 1)
    return "-".join([begin, *([key_of(pairs)[:6]] if pairs else []), seed])
