"""A study in small: other names, fewer epochs and seeds; minutes on two cores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sdd_eval.object_detection.recipe import DetectorRecipe
from sdd_eval.studies.grid import FIELDS, with_present_keys
from sdd_eval.studies.study import evaluators
from sdd_eval.studies.toml import Node

SMALL = ("seeds", "notes", "names", "recipe", "detector", "settings")
#: What a table of detectors may say: seed and backbone are those of the checkpoint it stands on.
DETECTOR_FIELDS = tuple(
    name for name in vars(DetectorRecipe()) if name not in ("seed", "backbone", "backbone_sha256")
)


def _used(top: Node) -> set[str]:
    """All words of a study outside of `[small]`, and the names that it uses without saying so."""
    from sdd_eval.records import Recipe

    usual = {Recipe.dataset, Recipe.arch, DetectorRecipe.dataset}
    return usual | {*_words({key: v for key, v in top.data.items() if key != "small"})}


def _is_mean(name: str) -> bool:
    """Whether a name is of the mean over a group of sets of outliers, which no study names."""
    return name.startswith("average:")


def _words(value: Any) -> Iterator[str]:
    """The words in a value, at whatever depth."""
    if isinstance(value, str):
        yield from [value] if " " not in value else []
    elif isinstance(value, Mapping | list):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _words(each)


@dataclass(frozen=True)
class Small:
    """What a small study has in place of the full one's; false where there is nothing."""

    seeds: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    detector: Mapping[str, Any] = field(default_factory=dict)
    given: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether anything is otherwise."""
        return bool(self.names or self.recipe or self.detector)

    def name(self, name: str) -> str:
        """What stands for a data set or a network."""
        return self.names.get(name, name)

    def fields(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a recipe, in small."""
        from sdd_eval.records import Recipe

        usual = {"dataset": Recipe.dataset, "arch": Recipe.arch, **fields}
        named = {name: self.name(usual[name]) for name in ("dataset", "arch")}
        return {**fields, **named, **self.recipe}

    def detector_fields(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a detector's recipe, in small."""
        dataset = self.name(fields.get("dataset", DetectorRecipe.dataset))
        return {**fields, "dataset": dataset, **self.detector}

    def settings(self, evaluator: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """An evaluator's settings, in small; of names that fall together one stays."""
        return {
            **{n: self._renamed(v) for n, v in settings.items()},
            **self.given.get(evaluator, {}),
        }

    def _renamed(self, value: Any) -> Any:
        if isinstance(value, list):
            return list(dict.fromkeys(self._renamed(each) for each in value))
        return self.name(value) if isinstance(value, str) else value


def small_of(top: Node) -> Small | None:
    """The table `[small]` of a study, if it has one.

    Raises:
        InputError: it has an unknown key, or a name that the study does not use.
    """
    if "small" not in top:
        return None
    node = top.table("small").only(SMALL, "key of [small]")
    names = node.table("names")
    names.only(_used(top) | {name for name in names.data if _is_mean(name)}, "name in this study")
    node.table("settings").only(evaluators(), "evaluator")
    return Small(
        seeds=node.all("seeds", int),
        notes=node.all("notes", str),
        names={name: names.get(name, str, "") for name in names.data},
        recipe=with_present_keys(node.table("recipe")).only(FIELDS, "field of a recipe").data,
        detector=node.table("detector").only(DETECTOR_FIELDS, "field of a detector's recipe").data,
        given={n: node.table("settings").get(n, dict, {}) for n in node.table("settings").data},
    )
