"""The schema of study files: tables as structs, with errors that name the file and the line.

name = "my-study"                   # name of its folder in the reports
seeds = [0, 1, 2]                   # a single value may stand for a list of one
columns = ["accuracy", "ece"]       # metrics and labels of methods in LaTeX tables; default: all
images = false                      # no pictures of test images on the page; default: true
[recipe]                            # fields of a recipe, for every training
dataset = "cifar100"
arch = "resnet18"
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
[[gate]]                            # conditions on the others of all comparisons
fail_if = ["calibration.ece > base + 0.01"]
[families]                          # families of hypotheses: EVALUATOR or EVALUATOR.METRIC
headline = ["accuracy", "calibration.ece"]
[chosen]                            # where values of a hyper-parameter come from; none is selected
weight_decay = "by accuracy on 5,000 validation images, in a study before this one"
[small]                             # what `--small` replaces in the above
seeds = [0]
recipe = { epochs = 1 }
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import re
import typing
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import GenericAlias
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import UNSET, Meta, Struct

from sdd_eval import plugins
from sdd_eval.errors import InputError, unknown_name
from sdd_eval.object_detection.recipe import DetectorRecipe
from sdd_eval.records import Recipe, former_names
from sdd_eval.studies.study import DETECTOR_FIELDS, RECIPE_FIELDS
from sdd_eval.studies.toml import Location, read_toml
from sdd_eval.type_errors import accepted, failed_value, members

#: Fields that select a side: those of a classifier, a detector, and a detector's backbone.
_BACKBONE = [f"backbone_{name}" for name in RECIPE_FIELDS]
SIDE_FIELDS = (*dict.fromkeys([*RECIPE_FIELDS, "seed", *DETECTOR_FIELDS, "backbone", *_BACKBONE]),)

Names = Annotated[tuple[str, ...], Meta(min_length=1)]
#: Fields that a study file spells with a dash; in other fields "_" may be written as "-".
_WITH_DASHES = {"train_detector": "train-detector"}


class Table(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of a study file, with its location in the file."""

    noun: ClassVar[str] = "key of a study"
    location: Any = msgspec.field(default=Location("", ""), name="")

    def given(self, names: Iterable[str]) -> dict[str, Any]:
        """Return the fields of a recipe that the table sets."""
        values = {name: getattr(self, name, UNSET) for name in names}
        return {name: value for name, value in values.items() if value is not UNSET}


def _recipe_table(
    name: str, noun: str, hints: Mapping[str, Any], names: Iterable[str], *, grid: bool = False
) -> Any:
    """Return a table with fields of a recipe, each a tuple of values if it is a `grid`."""
    types = {n: hints[n] for n in names}
    if grid:
        several = {n: GenericAlias(tuple, (hint, ...)) for n, hint in types.items()}
        types = several | {"method_options": hints.get("method_options")}
    fields = [(n, types[n], UNSET) for n in names]
    return msgspec.defstruct(
        name, fields, bases=(Table,), namespace={"noun": noun}, module=__name__, kw_only=True
    )


if TYPE_CHECKING:
    RecipeGrid: typing.TypeAlias = Table
    DetectorGrid: typing.TypeAlias = Table
    RecipeValues: typing.TypeAlias = Table
    DetectorValues: typing.TypeAlias = Table
    Side: typing.TypeAlias = Table
else:
    _HINTS = {kind: typing.get_type_hints(kind) for kind in (Recipe, DetectorRecipe)}
    _RECIPE = ("field of a recipe", _HINTS[Recipe], RECIPE_FIELDS)
    _DETECTOR = ("field of a detector's recipe", _HINTS[DetectorRecipe], DETECTOR_FIELDS)
    RecipeGrid = _recipe_table("RecipeGrid", *_RECIPE, grid=True)
    DetectorGrid = _recipe_table("DetectorGrid", *_DETECTOR, grid=True)
    RecipeValues = _recipe_table("RecipeValues", *_RECIPE)
    DetectorValues = _recipe_table("DetectorValues", *_DETECTOR)
    Side = _recipe_table("Side", _RECIPE[0], dict.fromkeys(SIDE_FIELDS, Any), SIDE_FIELDS)


class Train(RecipeGrid, frozen=True, kw_only=True):
    """Training runs: every combination of the values, with every seed."""

    noun: ClassVar[str] = "field of a training"
    seeds: tuple[int, ...] = ()
    id: str = ""
    label: str = ""


class TrainDetector(DetectorGrid, frozen=True, kw_only=True):
    """Training runs of detectors: every combination of the values, on every backbone."""

    noun: ClassVar[str] = "field of a detector's training"
    of: Names | None = None
    id: str = ""
    label: str = ""


class Evaluate(Table, frozen=True, kw_only=True):
    """Evaluations by one or several evaluators with the same settings."""

    noun: ClassVar[str] = "field of an evaluation"
    evaluator: Names
    settings: dict[str, Any] = {}
    dataset: tuple[str, ...] = ()
    limit: Annotated[int, Meta(ge=1)] | None = None
    of: Names | None = None
    optional: bool = False


class Compare(Table, frozen=True, kw_only=True):
    """A base and the recipes to compare with it."""

    noun: ClassVar[str] = "key of a comparison"
    base: Side = Side()
    others: Annotated[tuple[Side, ...], Meta(min_length=1)]


class Gate(Table, frozen=True, kw_only=True):
    """Conditions on the second sides of all comparisons."""

    noun: ClassVar[str] = "key of a gate"
    fail_if: Names
    undecided: Literal["pass", "fail"] | None = None


class Small(Table, frozen=True, kw_only=True):
    """A smoke test of the study: stand-ins for data sets and networks, fewer epochs and seeds."""

    noun: ClassVar[str] = "key of [small]"
    seeds: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    names: dict[str, str] = {}
    recipe: RecipeValues = RecipeValues()
    detector: DetectorValues = DetectorValues()
    settings: dict[str, dict[str, Any]] = {}

    def name(self, name: str) -> str:
        """Return the stand-in for a data set or a network."""
        return self.names.get(name, name)

    def recipe_fields(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of a recipe with their replacements."""
        full = {"dataset": Recipe.dataset, "arch": Recipe.arch, **fields}
        names = {name: self.name(full[name]) for name in ("dataset", "arch")}
        return {**fields, **names, **self.recipe.given(RECIPE_FIELDS)}

    def detector_fields(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of a detector's recipe with their replacements."""
        dataset = self.name(fields.get("dataset", DetectorRecipe.dataset))
        return {**fields, "dataset": dataset, **self.detector.given(DETECTOR_FIELDS)}

    def replaced(self, value: Any) -> Any:
        """Return an evaluator's settings with stand-ins; equal ones in a list are merged."""
        if isinstance(value, dict):
            return {name: self.replaced(item) for name, item in value.items()}
        if isinstance(value, list):
            items = [self.replaced(item) for item in value]
            return [item for index, item in enumerate(items) if item not in items[:index]]
        return self.name(value) if isinstance(value, str) else value


class StudyFile(Table, frozen=True, kw_only=True, rename=_WITH_DASHES):
    """A study file; `tables` and `figures` are the numbers of those in the paper."""

    name: str | None = None
    title: str = ""
    tables: tuple[Annotated[int, Meta(ge=1, le=14)], ...] = ()
    figures: tuple[Annotated[int, Meta(ge=1, le=4)], ...] = ()
    notes: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    short_names: bool = False
    checkpoints: tuple[str, ...] = ()
    detectors: tuple[str, ...] = ()
    recipe: RecipeGrid = RecipeGrid()
    train: tuple[Train, ...] = ()
    train_detector: tuple[TrainDetector, ...] = ()
    evaluate: tuple[Evaluate, ...] = ()
    compare: tuple[Compare, ...] = ()
    gate: tuple[Gate, ...] = ()
    families: dict[str, tuple[str, ...]] = {}
    chosen: dict[str, str] = {}
    labels: dict[str, str] = {}
    columns: tuple[str, ...] = ()
    images: bool = True
    small: Small | None = None


def read_study_file(path: Path) -> StudyFile:
    """Read a study file.

    Raise InputError, with the line and the most similar valid name, if a name or type is wrong.
    """
    values, location = read_toml(path)
    data = _normalised(StudyFile, values, location)
    try:
        return msgspec.convert(data, StudyFile)
    except msgspec.ValidationError as error:
        raise _error(str(error), data, location) from None


def _normalised(kind: Any, value: Any, location: Location) -> Any:
    """Normalise a value to its type: tables get a location, single values become lists of one.

    A grid of lists is a list of lists.
    """
    kind = members(kind)[0]
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        of_lists = typing.get_origin(members(arguments[0])[0]) is tuple
        several = isinstance(value, list) and (
            not of_lists or any(isinstance(v, list) for v in value)
        )
        items = enumerate(value if several else [value])
        return [_normalised(arguments[0], item, location.at(index)) for index, item in items]
    if isinstance(value, dict) and origin is dict:
        return {
            key: _normalised(arguments[1], item, location.at(key)) for key, item in value.items()
        }
    if isinstance(value, dict) and kind is not Any and origin is None:
        return _table(kind, value, location)
    return value


def _table(kind: type[Table], values: Mapping[str, Any], location: Location) -> dict[str, Any]:
    """Return a table with its location; renamed fields get their current names, with a warning."""
    hints = typing.get_type_hints(kind)
    former = {old: new for old, new in former_names(Recipe).items() if new in hints}
    table: dict[str, Any] = {"": location}
    for key, value in values.items():
        name = key.replace("-", "_")
        present = former.get(name, name)
        if present != name:
            message = location.error(f"{key} is now called {present}; rename it", key)
            warnings.warn(str(message), DeprecationWarning, stacklevel=2)
        if present not in hints and "method_options" in hints and present in _method_options():
            table.setdefault("method_options", {})[present] = value
            location.renamed[location.at("method_options").at(present).path] = location.at(key).path
            continue
        written = _WITH_DASHES.get(present, present) if present in hints else key
        location.renamed[location.at(written).path] = location.at(key).path
        table[written] = _normalised(hints.get(present, Any), value, location.at(written))
    return table


@functools.cache
def _method_options() -> frozenset[str]:
    """Return the names of the options of all methods, which are flags of `train`."""
    options: set[str] = set()
    for name in plugins.names("methods"):
        with contextlib.suppress(InputError):  # a plugin that cannot be imported
            options |= {field.name for field in dataclasses.fields(plugins.load("methods", name))}
    return frozenset(options)


def _error(error: str, data: Any, location: Location) -> InputError:
    """Convert an error of msgspec: add its line, the wrong value and the accepted ones."""
    path, kind, value = failed_value(error, StudyFile, data)
    name = re.search(r"(?:unknown|required) field `(.+?)`", error)
    if name and error.startswith("Object contains unknown"):
        known = {name for name in kind.__struct_encode_fields__ if name}
        known |= _method_options() if "method_options" in known else set()
        return location.error(str(unknown_name(kind.noun, name[1], known)), *path, name[1])
    if name:
        return location.error(f"{name[1]} is missing; add {name[1]} = …", *path)
    key = next((part for part in reversed(path) if isinstance(part, str)), "")
    limit = re.search(r"(of length )?([<>])= (\d+)", error)
    if limit and limit[1]:
        return location.error(f"{key} is empty; add a value or omit it", *path)
    wrong = f"not {accepted(error, kind)}"
    if limit:
        wrong = f"it must be at {'least' if limit[2] == '>' else 'most'} {limit[3]}"
    return location.error(f"{key} is {value!r}{'; ' if limit else ', '}{wrong}", *path)
