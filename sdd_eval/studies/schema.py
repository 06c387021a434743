"""A study file → a study; what is wrong in it is named with its line.

name = "my-study"                   # the folder below reports
seeds = [0, 1, 2]
[recipe]                            # fields of a recipe, for every training
epochs = 200
[[train]]                           # lists are grids: every combination, every seed
sd_dropout = [0.0, 1.0]
[[train-detector]]                  # on the backbone of every checkpoint, with its seed
dataset = "coco"
epochs = [7, 12]
[[evaluate]]                        # of every checkpoint; `of` = ["ID"] of those with that `id`
evaluator = "fgsm"
settings = { epsilon = 0.2 }
[[evaluate]]                        # detection is of detectors, all other questions of classifiers
evaluator = "detection"
[[compare]]                         # recipes told by values of their fields, of detectors too
base = { sd_dropout = 0.0 }
others = [{ sd_dropout = 1.0 }]
[families]                          # families of hypotheses: EVALUATOR or EVALUATOR.METRIC
headline = ["accuracy", "calibration.ece"]
[small]                             # what `--small` has in place of the above
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sdd_eval.errors import unknown_name
from sdd_eval.records import encode
from sdd_eval.store import folder_name
from sdd_eval.studies.comparisons import comparisons_of
from sdd_eval.studies.detectors import detectors_of
from sdd_eval.studies.evaluations import evaluations_of
from sdd_eval.studies.grid import (
    FIELDS,
    checkpoint_name,
    combinations,
    recipe_of,
    refuse_position,
    with_present_keys,
)
from sdd_eval.studies.recipe_groups import varied
from sdd_eval.studies.smoke import Small, small_of
from sdd_eval.studies.study import Study, Training, evaluators
from sdd_eval.studies.toml import Node, read_tables

TOP = (
    *("name", "title", "tables", "figures", "notes", "seeds", "checkpoints", "recipe", "train"),
    *("train-detector", "detectors", "evaluate", "compare", "families", "small"),
)
#: The numbers of the paper's last table and figure.
TABLES, FIGURES = 14, 4
TRAIN = (*FIELDS, "seeds", "id")


def read_study(
    path: Path,
    *,
    small: bool = False,
    seeds: Sequence[int] | None = None,
    networks: bool = False,
) -> Study:
    """The study of a file, at full size or in small, with other seeds if asked for.

    With `networks` those with masks elsewhere than on the feature are built, to see whether they
    have that place.

    Raises:
        InputError: one line with the file's line, the field, and what may have been meant.
    """
    top = read_tables(path).only(TOP, "key of a study")
    own = small_of(top)
    if small and own is None:
        raise top.wrong("the study has no [small], so no --small")
    size = own if small and own is not None else Small()
    name = _name(top, path) + ("-small" if small else "")
    trainings, ids = _trainings(top, size, seeds, networks)
    detectors, ids = detectors_of(top, size, trainings, ids)
    study = Study(
        name=name,
        title=top.get("title", str, ""),
        tables=_of_paper(top, "tables", TABLES),
        figures=_of_paper(top, "figures", FIGURES),
        notes=(*top.all("notes", str), *size.notes),
        small=small,
        names=size.names,
        trainings=tuple(trainings.values()),
        detectors=detectors,
        compare=comparisons_of(top, [*trainings.values(), *detectors]),
        families=_families(top.table("families")),
        varied=varied(encode(meant) for each in trainings.values() for meant in each.meant),
        varied_of_detectors=varied(each.fields for each in detectors),
    )
    return dataclasses.replace(study, evaluations=evaluations_of(top, size, study, ids))


def _of_paper(top: Node, name: str, last: int) -> tuple[int, ...]:
    """Numbers of the paper's tables or figures."""
    found = top.all(name, int)
    for each in found:
        if not 1 <= each <= last:
            raise top.wrong(f"{name} has {each}; the paper has {name} 1 to {last}", name)
    return found


def _name(top: Node, path: Path) -> str:
    with top.at("name"):
        return folder_name("name", top.get("name", str, path.stem))


def _trainings(
    top: Node, size: Small, seeds: Sequence[int] | None, networks: bool
) -> tuple[dict[str, Training], dict[str, set[str]]]:
    """The trainings by checkpoint, seed by seed, and for each id its checkpoints."""
    shared = with_present_keys(top.table("recipe")).only(FIELDS, "field of a recipe")
    common = _common(shared)
    usual = tuple(seeds or size.seeds or top.all("seeds", int, [0]))
    planned: list[tuple[int, Training, str]] = []
    for node in map(with_present_keys, top.tables("train")):
        node.only(TRAIN, "field of a training")
        own = tuple(seeds or size.seeds or node.all("seeds", int, usual))
        for fields in combinations(node, common):
            for seed in own:
                meant = recipe_of(node, fields, seed)
                recipe = recipe_of(node, size.fields(fields), seed) if size else meant
                if networks:
                    refuse_position(node, recipe)
                training = Training(checkpoint_name(recipe), recipe, (meant,))
                planned.append((own.index(seed), training, node.get("id", str, "")))
    return _merged(sorted(planned, key=lambda each: each[0]))


def _merged(
    planned: Sequence[tuple[int, Training, str]],
) -> tuple[dict[str, Training], dict[str, set[str]]]:
    """Each checkpoint once, with all that it stands for; seeds in turn, so that halves compare."""
    found: dict[str, Training] = {}
    ids: dict[str, set[str]] = {}
    for _, training, named in planned:
        there = found.setdefault(training.name, training)
        if training.meant[0] not in there.meant:
            meant = (*there.meant, *training.meant)
            found[training.name] = dataclasses.replace(there, meant=meant)
        ids.setdefault(named, set()).add(training.name)
    return found, ids


def _common(shared: Node) -> dict[str, Any]:
    """The fields that all trainings share, which can be no grid."""
    found = list(combinations(shared, {}))
    if len(found) != 1:
        raise shared.wrong("[recipe] has a list of values; grids belong into [[train]]")
    return found[0]


def _families(node: Node) -> dict[str, tuple[str, ...]]:
    """Families of hypotheses, each with the evaluators or metrics whose numbers it holds."""
    found = {}
    for name in node.data:
        found[name] = node.all(name, str)
        for each in found[name]:
            with node.at(name):
                if each.partition(".")[0] not in evaluators():
                    raise unknown_name("evaluator", each, evaluators())
    return found
