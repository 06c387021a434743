"""Study files: read, validated and resolved to a study; errors name the line.

name = "my-study"                   # name of its folder in the reports
seeds = [0, 1, 2]
[recipe]                            # fields of a recipe, for every training
epochs = 200
[[train]]                           # lists are grids: every combination, every seed
sd_dropout = [0.0, 1.0]
[[train-detector]]                  # on the backbone of every checkpoint, with its seed
dataset = "coco"
epochs = [7, 12]
[[evaluate]]                        # every checkpoint; with `of = ["ID"]` those of tables with `id`
evaluator = "fgsm"
settings = { epsilon = 0.2 }
[[evaluate]]                        # `detection` evaluates detectors, all others classifiers
evaluator = "detection"
[[compare]]                         # recipes, selected by values of their fields
base = { sd_dropout = 0.0 }
others = [{ sd_dropout = 1.0 }]
[families]                          # families of hypotheses: EVALUATOR or EVALUATOR.METRIC
headline = ["accuracy", "calibration.ece"]
[small]                             # what `--small` replaces in the above
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from sdd_eval.errors import unknown_name
from sdd_eval.former_names import current_settings
from sdd_eval.records import encode
from sdd_eval.store import folder_name
from sdd_eval.studies.comparisons import comparisons_of
from sdd_eval.studies.grid import detectors_of, selection, trainings_of
from sdd_eval.studies.recipe_groups import varied
from sdd_eval.studies.smoke import Smoke, read_smoke
from sdd_eval.studies.study import DETECTION, Evaluation, Study, configured, evaluators
from sdd_eval.studies.toml import Table, read_toml

KEYS = (
    *("name", "title", "tables", "figures", "notes", "seeds", "checkpoints", "recipe", "train"),
    *("train-detector", "detectors", "evaluate", "compare", "families", "small", "short_names"),
)
#: The numbers of the paper's last table and figure.
TABLES, FIGURES = 14, 4


def read_study(
    path: Path,
    *,
    small: bool = False,
    seeds: Sequence[int] | None = None,
    check_positions: bool = False,
) -> Study:
    """Read a study file, with its table `[small]` if `small`, and with other seeds if given.

    With `check_positions`, networks whose masks are at another position than the default are built,
    to see whether they have it. Raise InputError, with the line and the most similar valid name,
    if the file is not a valid study.
    """
    top = read_toml(path).require_keys(KEYS, "key of a study")
    replaced = read_smoke(top)
    if small and replaced is None:
        raise top.error("the study has no [small] table, which --small needs")
    smoke = replaced if small and replaced is not None else Smoke()
    trainings, ids = trainings_of(top, smoke, seeds, check_positions=check_positions)
    detectors, ids = detectors_of(top, smoke, trainings, ids)
    with top.errors_at("name"):
        name = folder_name("name", top.get("name", str, path.stem))
    study = Study(
        name=name + ("-small" if small else ""),
        title=top.get("title", str, ""),
        tables=_numbers_of_paper(top, "tables", TABLES),
        figures=_numbers_of_paper(top, "figures", FIGURES),
        notes=(*top.get_list("notes", str), *smoke.notes),
        small=small,
        names=smoke.names,
        trainings=tuple(trainings.values()),
        detectors=detectors,
        compare=comparisons_of(top, [*trainings.values(), *detectors]),
        families=_families(top.table("families")),
        varied=varied(encode(full) for each in trainings.values() for full in each.stands_for),
        varied_of_detectors=varied(each.fields for each in detectors),
    )
    return dataclasses.replace(study, evaluations=_evaluations(top, smoke, study, ids))


def _numbers_of_paper(top: Table, key: str, last: int) -> tuple[int, ...]:
    numbers = top.get_list(key, int)
    for number in numbers:
        if not 1 <= number <= last:
            raise top.error(f"{key} has {number}; the paper has {key} 1 to {last}", key)
    return numbers


def _families(table: Table) -> dict[str, tuple[str, ...]]:
    families = {name: table.get_list(name, str) for name in table.values}
    for name, selectors in families.items():
        for selector in selectors:
            with table.errors_at(name):
                if selector.partition(".")[0] not in evaluators():
                    raise unknown_name("evaluator", selector, evaluators())
    return families


@dataclasses.dataclass(frozen=True)
class _Requested:
    """An evaluation without its checkpoint, the checkpoints it is for (None: all), its table."""

    evaluation: Evaluation
    of: set[str] | None
    table: Table

    def checkpoints(self, study: Study, top: Table) -> list[str]:
        """Return the checkpoints of the right kind; raise InputError if there are none."""
        detect = self.evaluation.evaluator == DETECTION
        trained = study.detectors if detect else study.trainings
        further = top.get_list("detectors" if detect else "checkpoints", str)
        names = [*(training.name for training in trained), *further]
        selected = [name for name in names if self.of is None or name in self.of]
        if not selected:
            kind = "detectors, made by [[train-detector]]" if detect else "classifiers"
            message = f"{self.evaluation.evaluator} evaluates {kind}, but there are none here"
            raise self.table.error(message, "of" if names else "evaluator")
        return selected


def _evaluations(
    top: Table, smoke: Smoke, study: Study, ids: Mapping[str, set[str]]
) -> tuple[Evaluation, ...]:
    """Return the evaluations, checkpoint by checkpoint, classifiers first."""
    checkpoints = [
        *(each.name for each in study.trainings),
        *top.get_list("checkpoints", str),
        *(each.name for each in study.detectors),
        *top.get_list("detectors", str),
    ]
    if not checkpoints:
        raise top.error("there is nothing to evaluate; add [[train]] or `checkpoints`")
    requested = [each for table in top.tables("evaluate") for each in _read(table, smoke, ids)]
    selected = [(each.evaluation, set(each.checkpoints(study, top))) for each in requested]
    return tuple(
        dataclasses.replace(evaluation, checkpoint=name)
        for name in dict.fromkeys(checkpoints)
        for evaluation, names in selected
        if name in names
    )


def _read(table: Table, smoke: Smoke, ids: Mapping[str, set[str]]) -> list[_Requested]:
    keys = ("evaluator", "settings", "dataset", "limit", "of")
    table.require_keys(keys, "field of an evaluation")
    if not table.get_list("evaluator", str):
        raise table.error('evaluator is missing; add evaluator = "NAME"')
    of = selection(table, ids)
    limit = table.get("limit", (int, type(None)), None)
    if limit is not None and limit < 1:
        raise table.error(f"limit is {limit}; it must be at least 1 image", "limit")
    requested = []
    for given in table.get_list("evaluator", str):
        name = given.replace("-", "_")
        with table.errors_at("evaluator"):
            if name not in evaluators():
                raise unknown_name("evaluator", given, evaluators())
        settings = current_settings(name, smoke.settings(name, table.get("settings", dict, {})))
        with table.errors_at("settings"):
            configured(name, settings)
        for dataset in table.get_list("dataset", str) or (None,):
            used = smoke.name(dataset) if dataset else None
            requested.append(_Requested(Evaluation("", name, settings, used, limit), of, table))
    return requested
