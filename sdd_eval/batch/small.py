"""A study in small: other names, fewer epochs and seeds; minutes on two cores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sdd_eval.batch.grids import FIELDS
from sdd_eval.batch.node import Node
from sdd_eval.detection.recipe import DetectorRecipe

SMALL = ("seeds", "notes", "names", "recipe", "detector", "settings")
#: What a table of detectors may say: seed and backbone are those of the checkpoint it stands on.
DETECTOR_FIELDS = tuple(
    name for name in vars(DetectorRecipe()) if name not in ("seed", "backbone", "backbone_sha256")
)


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


def small_of(top: Node) -> Small:
    """The table `[small]` of a study.

    Raises:
        InputError: the study has none, or one with an unknown key.
    """
    if "small" not in top:
        raise top.wrong("the study has no [small], so no --small")
    node = top.table("small").only(SMALL, "key of [small]")
    names = node.table("names")
    return Small(
        seeds=node.all("seeds", int),
        notes=node.all("notes", str),
        names={name: names.get(name, str, "") for name in names.data},
        recipe=node.table("recipe").only(FIELDS, "field of a recipe").data,
        detector=node.table("detector").only(DETECTOR_FIELDS, "field of a detector's recipe").data,
        given={n: node.table("settings").get(n, dict, {}) for n in node.table("settings").data},
    )
