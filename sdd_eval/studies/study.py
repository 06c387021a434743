"""What a study is once its file is read: every training, every evaluation, what is compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sdd_eval import plugins, store
from sdd_eval.object_detection.recipe import DetectorRecipe
from sdd_eval.records import Recipe, with_present_names

#: The file of a study's folder that says what the study is: a `StudyRecord`.
RECORD = "study.json"


@dataclass(frozen=True)
class Training:
    """A checkpoint to train; `meant` is the recipe that it stands for, itself at full size."""

    name: str
    recipe: Recipe
    meant: tuple[Recipe, ...]


@dataclass(frozen=True)
class DetectorTraining:
    """A detector to train on a backbone, a checkpoint's name.

    `meant` is what runs would tell of the detectors that it stands for, itself at full size; empty
    where the backbone is not trained in the study. `fields` are what the study's file says of it:
    of its own recipe, and of its backbone's or, where that is not trained in the study, its name.
    """

    name: str
    backbone: str
    recipe: DetectorRecipe
    meant: tuple[Mapping[str, Any], ...]
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """An evaluator with settings over a checkpoint, by default on the set it was trained for."""

    checkpoint: str
    evaluator: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    dataset: str | None = None
    limit: int | None = None


@dataclass(frozen=True)
class Comparison:
    """Recipes of a kind against others of a kind, each told by values of its fields.

    Of classifiers and of detectors; the fields of a detector are those that its runs tell.
    """

    base: Mapping[str, Any]
    others: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Pairing:
    """Checkpoints of one recipe, seed by seed, against those of another."""

    base: tuple[str, ...]
    other: tuple[str, ...]


@dataclass(frozen=True)
class Study:
    """A study file, read; `names` is what stands for the paper's sets and networks in small."""

    name: str
    title: str = ""
    tables: tuple[int, ...] = ()
    figures: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    small: bool = False
    names: Mapping[str, str] = field(default_factory=dict)
    trainings: tuple[Training, ...] = ()
    detectors: tuple[DetectorTraining, ...] = ()
    evaluations: tuple[Evaluation, ...] = ()
    compare: tuple[Comparison, ...] = ()
    families: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    varied: tuple[str, ...] = ()
    """Hyper-parameters of which several values are trained of one kind of classifier."""
    varied_of_detectors: tuple[str, ...] = ()
    """And of one kind of detector, its backbone's hyper-parameters among them."""


@dataclass(frozen=True)
class StudyRecord:
    """What `study.json` beside the runs says: reports and comparisons read it, nothing runs it.

    `stands_for` gives for each checkpoint the recipes that it stands for; `families` names the
    families of hypotheses, each a list of EVALUATOR or EVALUATOR.METRIC; `pairs` are the
    checkpoints that `compare` comes down to.
    """

    name: str
    title: str
    tables: tuple[int, ...]
    figures: tuple[int, ...]
    notes: tuple[str, ...]
    small: bool
    names: Mapping[str, str]
    stands_for: Mapping[str, Any]
    compare: tuple[Comparison, ...]
    families: Mapping[str, Any]
    warnings: tuple[str, ...]
    pairs: tuple[Pairing, ...] = ()


def warnings(study: Study) -> tuple[str, ...]:
    """What a reader of the study's numbers must know: stand-ins, and a choice on the test set."""
    said = [*study.notes]
    if study.names:
        pairs = ", ".join(f"{used} stands for {name}" for name, used in study.names.items())
        said.append(f"small: {pairs}; these numbers say that the machinery works, and no more")
    held_out = [getattr(each.recipe, "validation", 0) for each in study.trainings]
    if study.varied and not all(held_out):
        said.append(_chosen_on_test("", study.varied, "accuracy"))
    if study.varied_of_detectors:
        said.append(_chosen_on_test("detectors: ", study.varied_of_detectors, "mAP"))
    return tuple(said)


def _chosen_on_test(of: str, varied: tuple[str, ...], number: str) -> str:
    """That the best values are the best on the very images that they are measured on."""
    fields = " and ".join(name.replace("_", " ") for name in varied)
    return (
        f"{of}the values of {fields} are told apart by {number} on the test images, without "
        "a validation set: the best of them is chosen on the test set, and is no fair result"
    )


def read_study_record(folder: Path) -> StudyRecord | None:
    """What `study.json` says; None for a study that no file describes.

    Raises:
        InputError: the file is not such a record.
    """
    path = folder / RECORD
    if not path.is_file():
        return None
    record = store.read_record(path, StudyRecord)
    present = {
        name: [with_present_names(Recipe, recipe) for recipe in recipes]
        for name, recipes in record.stands_for.items()
    }
    return replace(record, stands_for=present)


#: The one evaluator that measures detectors; all others measure classifiers.
DETECTION = "detection"


def evaluators() -> tuple[str, ...]:
    """The names of all that can be asked."""
    return (*plugins.names("evaluators"), DETECTION)
