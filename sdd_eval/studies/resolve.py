"""Study files, resolved to studies: which checkpoints are trained, evaluated and compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from sdd_eval import plugins
from sdd_eval.errors import unknown_name
from sdd_eval.former_names import current_settings, renamed_selector
from sdd_eval.metrics import registry
from sdd_eval.object_detection.recipe import DetectorRecipe
from sdd_eval.records import OBJECT_DETECTION, Recipe
from sdd_eval.store import folder_name
from sdd_eval.studies.comparisons import comparisons_of
from sdd_eval.studies.grid import Ids, detectors_of, selection, trainings_of
from sdd_eval.studies.schema import Evaluate, Small, StudyFile, read_study_file
from sdd_eval.studies.selection import varied
from sdd_eval.studies.study import Evaluation, Study, configured


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
    file = read_study_file(path)
    families = _families(file)
    _check_names(file)
    if small and file.small is None:
        raise file.location.error("the study has no [small] table, which --small needs")
    stand_in = file.small if small and file.small else Small()
    trainings, ids = trainings_of(file, stand_in, seeds, check_positions=check_positions)
    detectors, ids = detectors_of(file, stand_in, trainings, ids)
    with file.location.errors_at("name"):
        name = folder_name("name", path.stem if file.name is None else file.name)
    return Study(
        name=name + ("-small" if small else ""),
        title=file.title,
        tables=file.tables,
        figures=file.figures,
        notes=(*file.notes, *stand_in.notes),
        small=small,
        names=stand_in.names,
        trainings=tuple(trainings.values()),
        detectors=tuple(detectors.values()),
        evaluations=_evaluations(file, stand_in, [*trainings], [*detectors], ids),
        compare=comparisons_of(file, [*trainings.values(), *detectors.values()]),
        families=families,
        varied=varied(full for network in trainings.values() for full in network.stands_for),
        varied_of_detectors=varied(network.fields for network in detectors.values()),
    )


def _families(file: StudyFile) -> dict[str, tuple[str, ...]]:
    """Return the families with the present names of metrics; raise InputError for unknown names."""
    families = {}
    for name, selectors in file.families.items():
        with file.location.errors_at("families", name):
            families[name] = tuple(map(_selector, selectors))
    return families


def _selector(given: str) -> str:
    """Return a selector EVALUATOR or EVALUATOR.METRIC under its present name, if it is known.

    Evaluators of other packages may have metrics that they do not register.
    """
    selector = renamed_selector(given)
    evaluator, _, metric = selector.partition(".")
    _require_evaluator(evaluator, selector)
    built_in = plugins.points("evaluators")[evaluator].value.startswith("sdd_eval.")
    if metric and built_in and metric not in registry.built_in():
        known = (f"{evaluator}.{name}" for name in registry.built_in())
        raise unknown_name("metric", selector, known)
    return selector


def _check_names(file: StudyFile) -> None:
    """Raise InputError for an unknown name that `[small]` replaces."""
    small = file.small or Small()
    for name in small.settings:
        with small.location.errors_at("settings", name):
            _require_evaluator(name)
    used = {Recipe.dataset, Recipe.arch, DetectorRecipe.dataset, *_words(file)}
    for name in small.names:
        if name not in used and not name.startswith("average:"):
            with small.location.errors_at("names", name):
                raise unknown_name("name in this study", name, used)


def _require_evaluator(name: str, given: str = "") -> None:
    if name not in plugins.names("evaluators"):
        raise unknown_name("evaluator", given or name, plugins.names("evaluators"))


def _words(value: Any) -> Iterator[str]:
    """Yield the words in a value, except those in `[small]`."""
    if isinstance(value, str):
        yield from [value] if " " not in value else []
    elif isinstance(value, Mapping | tuple | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _words(item)
    elif isinstance(value, msgspec.Struct) and not isinstance(value, Small):
        yield from _words(msgspec.structs.asdict(value))


def _evaluations(
    file: StudyFile, small: Small, trained: Sequence[str], fine_tuned: Sequence[str], ids: Ids
) -> tuple[Evaluation, ...]:
    """Return the evaluations, checkpoint by checkpoint, classifiers first."""
    classifiers, detectors = [*trained, *file.checkpoints], [*fine_tuned, *file.detectors]
    if not classifiers and not detectors:
        raise file.location.error("there is nothing to evaluate; add [[train]] or `checkpoints`")
    selected: dict[str, list[Evaluation]] = {name: [] for name in (*classifiers, *detectors)}
    for table in file.evaluate:
        of = selection(table, ids)
        for evaluation in _of_table(table, small):
            detect = evaluation.task == OBJECT_DETECTION
            names = detectors if detect else classifiers
            evaluated = [name for name in dict.fromkeys(names) if of is None or name in of]
            if not evaluated:
                kind = "detectors, made by [[train-detector]]" if detect else "classifiers"
                message = f"{evaluation.evaluator} evaluates {kind}, but there are none here"
                raise table.location.error(message, "of" if names else "evaluator")
            for name in evaluated:
                selected[name].append(dataclasses.replace(evaluation, checkpoint=name))
    return tuple(evaluation for group in selected.values() for evaluation in group)


def _of_table(table: Evaluate, small: Small) -> Iterator[Evaluation]:
    """Yield the evaluations of a table, without their checkpoints."""
    for given in table.evaluator:
        name = given.replace("-", "_")
        with table.location.errors_at("evaluator"):
            _require_evaluator(name, given)
        settings = current_settings(name, small.settings_of(name, table.settings))
        with table.location.errors_at("settings"):
            configured(name, settings)
        for dataset in table.dataset or (None,):
            used = small.name(dataset) if dataset else None
            yield Evaluation("", name, settings, used, table.limit)
