"""A study: its training runs, evaluations and comparisons, and its record among the runs."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from sdd_eval import plugins, store
from sdd_eval.errors import unknown_name
from sdd_eval.evaluators.evaluator import check, task_of
from sdd_eval.former_names import current_settings
from sdd_eval.object_detection.recipe import DetectorRecipe
from sdd_eval.records import Recipe, Task, decode, encode, with_present_names

#: The file in a study's folder that describes the study: a `StudyRecord`.
RECORD = "study.json"

#: Fields of a recipe that a study file may set; seeds have a separate key.
RECIPE_FIELDS = tuple(
    f.name for f in dataclasses.fields(Recipe) if f.name not in ("seed", "start_sha256")
)
#: Fields of a detector's recipe that a study file may set; the backbone determines the others.
DETECTOR_FIELDS = tuple(
    f.name
    for f in dataclasses.fields(DetectorRecipe)
    if f.name not in ("seed", "backbone", "backbone_sha256")
)


@dataclass(frozen=True)
class Training:
    """A checkpoint to train: a classifier, or a detector on a `backbone`, a checkpoint's name.

    `fields` is its recipe as runs record it, for a detector together with that of its backbone, or
    with the backbone's name if the study does not train the backbone. `label` names its group in
    reports. `stands_for` are the full-size recipes that it represents, in the same form; none if
    the study does not train the backbone.
    """

    name: str
    recipe: Recipe | DetectorRecipe
    fields: Mapping[str, Any]
    stands_for: tuple[Mapping[str, Any], ...]
    backbone: str = ""
    label: str = ""


@dataclass(frozen=True)
class Evaluation:
    """An evaluator with settings, applied to a checkpoint; by default on its own test set."""

    checkpoint: str
    evaluator: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    dataset: str | None = None
    limit: int | None = None

    @property
    def task(self) -> Task:
        """The task of the networks to which it is applied."""
        return task_of(plugins.load("evaluators", self.evaluator))


@dataclass(frozen=True)
class Comparison:
    """A base and the others compared with it, each selected by values of recipe fields."""

    base: Mapping[str, Any]
    others: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Gate:
    """Conditions under which the second sides of a study's comparisons fail.

    `undecided` says how undecided conditions count: "pass", "fail", or None for neither.
    """

    fail_if: tuple[str, ...]
    undecided: Literal["pass", "fail"] | None = None


@dataclass(frozen=True)
class Pairing:
    """Checkpoints of one recipe, seed by seed, against those of another."""

    base: tuple[str, ...]
    other: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Description:
    """The description that a study and its record share.

    `names` are the small study's stand-ins for data sets and networks; `families` the families of
    hypotheses, each a list of EVALUATOR or EVALUATOR.METRIC; `labels` the names of checkpoints, or
    of the methods they are seeds of, in reports; `columns` the metrics and methods of LaTeX tables;
    `images` whether the page shows pictures of test images.
    """

    name: str
    title: str
    tables: tuple[int, ...]
    figures: tuple[int, ...]
    notes: tuple[str, ...]
    small: bool
    names: Mapping[str, str]
    compare: tuple[Comparison, ...]
    families: Mapping[str, tuple[str, ...]]
    gates: tuple[Gate, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    images: bool = True


@dataclass(frozen=True, kw_only=True)
class Study(Description):
    """A study file, resolved.

    `varied` are the hyper-parameters of which several values are trained for one kind of
    classifier, `varied_of_detectors` those for one kind of detector and its backbone. `chosen`
    says how values of a hyper-parameter were chosen before the study; it is not among the varied.
    """

    trainings: tuple[Training, ...]
    detectors: tuple[Training, ...]
    evaluations: tuple[Evaluation, ...]
    varied: tuple[str, ...]
    varied_of_detectors: tuple[str, ...]
    chosen: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StudyRecord(Description):
    """The content of `study.json`, which reports and comparisons read.

    `stands_for` gives the recipes that each checkpoint represents; `pairs` the checkpoints that
    `compare` selects.
    """

    stands_for: Mapping[str, Any]
    warnings: tuple[str, ...]
    pairs: tuple[Pairing, ...] = ()


def warnings(study: Study) -> tuple[str, ...]:
    """Return the caveats of a study's numbers: stand-ins, and selection on the test set."""
    lines = [*study.notes]
    if study.names:
        pairs = ", ".join(f"{used} stands for {name}" for name, used in study.names.items())
        lines.append(f"small: {pairs}; these numbers only show that the software works")
    for name, how in study.chosen.items():
        lines.append(f"{name.replace('_', ' ')} was chosen before this study: {how}")
    if study.varied and not all(training.fields["validation"] for training in study.trainings):
        lines.append(_selected_on_test("", study.varied, "accuracy"))
    if study.varied_of_detectors:
        lines.append(_selected_on_test("detectors: ", study.varied_of_detectors, "mAP"))
    return tuple(lines)


def _selected_on_test(prefix: str, varied: tuple[str, ...], metric: str) -> str:
    """Return the caveat that hyper-parameters are selected on the images used for measurement."""
    fields = " and ".join(name.replace("_", " ") for name in varied)
    return (
        f"{prefix}several values of {fields} are compared by {metric} on the test images, without "
        "a validation set: the best of them is selected on the test set, so its result is biased"
    )


def read_study_record(folder: Path) -> StudyRecord | None:
    """Read `study.json`, None without a file; raise InputError if it is not such a record."""
    path = folder / RECORD
    if not path.is_file():
        return None
    record = store.read_record(path, StudyRecord)
    recipes = {
        name: [with_present_names(Recipe, recipe) for recipe in recipes]
        for name, recipes in record.stands_for.items()
    }
    return replace(record, stands_for=recipes)


def configured(evaluator: str, settings: Mapping[str, Any]) -> Any:
    """Return an evaluator with settings; raise InputError if a name, type or value is wrong."""
    kind = plugins.load("evaluators", evaluator)
    configured = decode(kind, encode(settings), f"settings of {evaluator}")
    check(configured)
    return configured


def settings_by_field(evaluator: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Convert settings, named by flags or fields, to settings by the fields of an evaluator.

    Raise InputError for an unknown name.

    >>> settings_by_field("calibration", {"validation-set": "none", "level": 0.9})
    {'validation_set': 'none', 'intervals': {'level': 0.9}}
    """
    kind = plugins.load("evaluators", evaluator)
    paths = dict(_flags(kind))
    named = {name.replace("-", "_"): value for name, value in given.items()}
    settings: dict[str, Any] = {}
    for name, value in current_settings(evaluator, named).items():
        if name not in paths:
            raise unknown_name(f"setting of {kind.name}", name, paths)
        *outer, field = paths[name]
        target = settings.setdefault(outer[0], {}) if outer else settings
        target[field] = {**value} if isinstance(value, Mapping) else value
    return settings


def _flags(kind: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the name of each flag and field of an evaluator, with its path of fields."""
    hints = typing.get_type_hints(kind, include_extras=True)
    for item in dataclasses.fields(kind):
        yield item.name, (item.name,)
        for annotation in getattr(hints[item.name], "__metadata__", ()):
            if getattr(annotation, "name", None):
                yield annotation.name, (item.name,)
        if dataclasses.is_dataclass(item.default):
            yield from ((inner.name, (item.name, inner.name)) for inner in fields(item.default))
