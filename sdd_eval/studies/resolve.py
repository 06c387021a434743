"""Study files, resolved to studies: which checkpoints are trained, evaluated and compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from sdd_eval import comparison, plugins
from sdd_eval.checkpoints.folder import find_folder
from sdd_eval.errors import unknown_name
from sdd_eval.evaluators.settings import loaded_names, settings_that_load
from sdd_eval.former_names import renamed_selector
from sdd_eval.metrics import registry
from sdd_eval.object_detection.recipe import DetectorRecipe
from sdd_eval.records import CLASSIFICATION, OBJECT_DETECTION, Recipe, Task
from sdd_eval.store import folder_name
from sdd_eval.studies.checks import Lookup, absent_sets, check_evaluation
from sdd_eval.studies.comparisons import comparisons_of
from sdd_eval.studies.grid import Ids, detectors_of, selection, trainings_of
from sdd_eval.studies.schema import Evaluate, Small, StudyFile, read_study_file
from sdd_eval.studies.selection import HYPER_PARAMETERS, varied
from sdd_eval.studies.study import Evaluation, Gate, Study, Training, configured, settings_by_field


def read_study(
    path: Path,
    *,
    small: bool = False,
    seeds: Sequence[int] | None = None,
    lookup: Lookup | None = None,
) -> Study:
    """Read a study file, with its table `[small]` if `small`, and with other seeds if given.

    With `lookup`, the data sets, checkpoints and mask positions that it names are looked up as
    well. Raise InputError, with the line and the most similar valid name, if the file is not a
    valid study. The values of `[small]` are always checked, but what they name only if `small`.
    """
    file = read_study_file(path)
    _check_names(file)
    if lookup is not None:
        _check_checkpoints(file, lookup)
    if small and file.small is None:
        raise file.location.error("the study has no [small] table, which --small needs")
    name = path.stem if file.name is None else file.name
    if small and file.small:
        return _study(file, name, file.small, seeds, lookup)
    study = _study(file, name, Small(), seeds, lookup)
    if file.small:
        _study(file, name, file.small, seeds, None)
    return study


def _study(
    file: StudyFile,
    name: str,
    stand_in: Small,
    seeds: Sequence[int] | None,
    lookup: Lookup | None,
) -> Study:
    """Return the study, which is small if `stand_in` is the file's own."""
    small = stand_in is file.small
    families, gates, chosen = _families(file), tuple(_gates(file)), _chosen(file)
    trainings, ids = trainings_of(file, stand_in, seeds, lookup)
    detectors, ids = detectors_of(file, stand_in, trainings, ids, lookup)
    networks = {**trainings, **detectors}
    evaluations, left_out = _evaluations(file, stand_in, networks, ids, lookup)
    with file.location.errors_at("name"):
        name = folder_name("name", name)
    return Study(
        name=name + ("-small" if small else ""),
        title=file.title,
        tables=file.tables,
        figures=file.figures,
        notes=(*file.notes, *stand_in.notes, *left_out),
        small=small,
        names=stand_in.names,
        trainings=tuple(trainings.values()),
        detectors=tuple(detectors.values()),
        evaluations=evaluations,
        compare=comparisons_of(file, [*trainings.values(), *detectors.values()]),
        families=families,
        gates=gates,
        labels=(labels := _labels(file, [*trainings.values(), *detectors.values()])),
        columns=_columns(file, labels),
        images=file.images,
        varied=varied((full for one in trainings.values() for full in one.stands_for), chosen),
        varied_of_detectors=varied((network.fields for network in detectors.values()), chosen),
        chosen=chosen,
    )


def _labels(file: StudyFile, trained: Sequence[Training]) -> dict[str, str]:
    """Return the labels of checkpoints; those of `[labels]` take precedence over training runs'."""
    known = {*(training.name for training in trained), *file.checkpoints, *file.detectors}
    for name in file.labels:
        if name not in known:
            with file.location.errors_at("labels", name):
                raise unknown_name("checkpoint of the study", name, known)
    return {**{one.name: one.label for one in trained if one.label}, **file.labels}


def _columns(file: StudyFile, labels: Mapping[str, str]) -> tuple[str, ...]:
    """Return the columns of LaTeX tables; raise InputError if one is neither metric nor label."""
    others = (one.name for metrics in registry.registered().values() for one in metrics)
    known = {*registry.built_in(), *others, *labels.values(), *file.checkpoints}
    for name in file.columns:
        if name not in known:
            with file.location.errors_at("columns"):
                raise unknown_name("metric, label or checkpoint", name, known)
    return file.columns


def _families(file: StudyFile) -> dict[str, tuple[str, ...]]:
    """Return the families with current names of metrics; raise InputError for unknown names."""
    families = {}
    for name, selectors in file.families.items():
        with file.location.errors_at("families", name):
            families[name] = tuple(map(_selector, selectors))
    return families


def _chosen(file: StudyFile) -> Mapping[str, str]:
    """Return how hyper-parameters were chosen; raise InputError if a name is not one of them."""
    for name in file.chosen:
        if name not in HYPER_PARAMETERS:
            with file.location.errors_at("chosen", name):
                raise unknown_name("hyper-parameter", name, HYPER_PARAMETERS)
    return file.chosen


def _gates(file: StudyFile) -> Iterator[Gate]:
    """Yield the gates; raise InputError for an invalid condition or without a comparison."""
    for table in file.gate:
        if not file.compare:
            raise table.location.error("a gate needs a comparison; add [[compare]]")
        for text in table.fail_if:
            with table.location.errors_at("fail_if"):
                condition = comparison.parse_condition(text)
                _selector(f"{condition.evaluator}.{condition.metric}")
        yield Gate(table.fail_if, table.undecided)


def _selector(given: str) -> str:
    """Return a selector EVALUATOR or EVALUATOR.METRIC under its current name, if it is known.

    Evaluators of other packages may have metrics that they do not register.
    """
    selector, names = renamed_selector(given), plugins.names("evaluators")
    evaluators = [name for name in names if f"{selector}.".startswith(f"{name}.")]
    if not evaluators:
        raise unknown_name("evaluator", selector, names)
    evaluator = max(evaluators, key=len)  # names of evaluators may contain dots
    metric = selector.removeprefix(evaluator).removeprefix(".")
    built_in = plugins.points("evaluators")[evaluator].value.startswith("sdd_eval.")
    reported = [one.name for one in registry.built_in().values() if evaluator in one.evaluators]
    if metric and built_in and metric not in reported:
        raise unknown_name("metric", selector, (f"{evaluator}.{name}" for name in reported))
    return selector


def _check_checkpoints(file: StudyFile, lookup: Lookup) -> None:
    """Raise InputError for an unknown checkpoint."""
    for key in ("checkpoints", "detectors"):
        with file.location.errors_at(key):
            for name in getattr(file, key):
                find_folder(name, lookup.checkpoints)


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
    file: StudyFile,
    small: Small,
    networks: Mapping[str, Training],
    ids: Ids,
    lookup: Lookup | None,
) -> tuple[tuple[Evaluation, ...], tuple[str, ...]]:
    """Return the evaluations, checkpoint by checkpoint, classifiers first.

    The second value is a note for each optional one whose data are absent.
    """
    names: dict[Task, list[str]] = {CLASSIFICATION: [], OBJECT_DETECTION: []}
    for name, network in networks.items():
        names[network.recipe.task].append(name)
    names[CLASSIFICATION] += file.checkpoints
    names[OBJECT_DETECTION] += file.detectors
    selected: dict[str, list[Evaluation]] = {n: [] for group in names.values() for n in group}
    if not selected:
        raise file.location.error("there is nothing to evaluate; add [[train]] or `checkpoints`")
    notes: list[str] = []
    for table in file.evaluate:
        for evaluation in _of_table(table, small):
            evaluated = _evaluated(evaluation, table, names[evaluation.task], ids)
            absent = _absent(evaluation, evaluated, networks, lookup) if table.optional else ""
            if absent:
                notes.append(f"{evaluation.evaluator} is left out: without {absent}")
                continue
            if lookup is not None:
                _check(evaluation, table, evaluated, networks, ids, lookup)
            for name in evaluated:
                settings = _with_partners(evaluation, name, networks, ids)
                named = dataclasses.replace(evaluation, checkpoint=name, settings=settings)
                selected[name].append(named)
    return tuple(one for group in selected.values() for one in group), tuple(notes)


def _evaluated(
    evaluation: Evaluation, table: Evaluate, candidates: Sequence[str], ids: Ids
) -> list[str]:
    """Return the checkpoints that a table evaluates; raise InputError if there are none."""
    of = selection(table, ids)
    evaluated = [name for name in dict.fromkeys(candidates) if of is None or name in of]
    if not evaluated:
        message = f"{evaluation.evaluator} evaluates {_NONE[evaluation.task]} here"
        raise table.location.error(message, "of" if candidates else "evaluator")
    return evaluated


def _absent(
    evaluation: Evaluation,
    names: Sequence[str],
    networks: Mapping[str, Training],
    lookup: Lookup | None,
) -> str:
    """Return the absent data sets of an evaluation in words; none without a lookup."""
    if lookup is None:
        return ""
    evaluator = configured(evaluation.evaluator, evaluation.settings)
    recipes = {r.dataset: r for name in names if name in networks for r in [networks[name].recipe]}
    absent = [
        name
        for recipe in recipes.values()
        for name in absent_sets(evaluator, evaluation.dataset, recipe, lookup.data_root)
    ]
    return ", ".join(dict.fromkeys(absent))


def _with_partners(
    evaluation: Evaluation, name: str, networks: Mapping[str, Training], ids: Ids
) -> Mapping[str, Any]:
    """Return the settings of an evaluation, with a checkpoint in place of an `id`.

    It is the id's first checkpoint with the seed of the evaluated one, or else its first one.
    """
    evaluator, settings = configured(evaluation.evaluator, evaluation.settings), {}
    for setting, kind in settings_that_load(evaluator).items():
        given = getattr(evaluator, setting)
        partners = ids.get(given) if kind == "checkpoint" and given else None
        if partners:
            members = [one for one in networks if one in partners]
            seed = networks[name].recipe.seed if name in networks else None
            same = [one for one in members if networks[one].recipe.seed == seed]
            settings[setting] = (same or members)[0]
    return {**evaluation.settings, **settings}


_NONE: Mapping[Task, str] = {
    CLASSIFICATION: "classifiers, but there are none",
    OBJECT_DETECTION: "detectors, made by [[train-detector]], but there are none",
}


def _check(
    evaluation: Evaluation,
    table: Evaluate,
    names: Sequence[str],
    networks: Mapping[str, Training],
    ids: Ids,
    lookup: Lookup,
) -> None:
    """Raise InputError, with the line, if these networks cannot be evaluated in this way."""
    evaluator = configured(evaluation.evaluator, evaluation.settings)
    recipes = [networks[name].recipe for name in names if name in networks]
    distinct = {(r.dataset, getattr(r, "validation", 0) > 0): r for r in recipes}
    with table.location.errors_in({"dataset": table.dataset, "settings": table.settings}):
        for recipe in distinct.values():
            check_evaluation(evaluator, evaluation.dataset, recipe, lookup)
        for name, kind in loaded_names(evaluator).items():
            known = name in networks or (kind == "checkpoint" and name in ids)
            if kind in ("checkpoint", "run") and name and not known:
                find_folder(name, lookup.checkpoints)


def _of_table(table: Evaluate, small: Small) -> Iterator[Evaluation]:
    """Yield the evaluations of a table, without their checkpoints."""
    for given in table.evaluator:
        name = given.replace("-", "_")
        with table.location.errors_at("evaluator"):
            _require_evaluator(name, given)
        with table.location.errors_in({"settings": table.settings}, "settings"):
            settings = settings_by_field(name, small.replaced(table.settings))
            configured(name, settings)
        replacing = {"settings": {name: small.settings.get(name, {})}}
        with small.location.errors_in(replacing, "settings", name):
            settings |= settings_by_field(name, small.settings.get(name, {}))
            configured(name, settings)
        for dataset in table.dataset or (None,):
            used = small.name(dataset) if dataset else None
            yield Evaluation("", name, settings, used, table.limit)
