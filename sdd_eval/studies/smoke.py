"""The table `[small]`: a smoke test of a study with other names, fewer epochs and seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sdd_eval.object_detection.recipe import DetectorRecipe
from sdd_eval.records import Recipe, former_names
from sdd_eval.studies.study import DETECTOR_FIELDS, RECIPE_FIELDS, evaluators
from sdd_eval.studies.toml import Table

KEYS = ("seeds", "notes", "names", "recipe", "detector", "settings")


@dataclass(frozen=True)
class Smoke:
    """What replaces the full study's values; false if nothing does."""

    seeds: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    detector: Mapping[str, Any] = field(default_factory=dict)
    evaluators: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.names or self.recipe or self.detector)

    def name(self, name: str) -> str:
        """Return the stand-in for a data set or a network."""
        return self.names.get(name, name)

    def recipe_fields(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of a recipe with their replacements."""
        full = {"dataset": Recipe.dataset, "arch": Recipe.arch, **fields}
        names = {name: self.name(full[name]) for name in ("dataset", "arch")}
        return {**fields, **names, **self.recipe}

    def detector_fields(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of a detector's recipe with their replacements."""
        dataset = self.name(fields.get("dataset", DetectorRecipe.dataset))
        return {**fields, "dataset": dataset, **self.detector}

    def settings(self, evaluator: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return an evaluator's settings with their replacements; equal stand-ins are merged."""
        return {
            **{name: self._replaced(value) for name, value in settings.items()},
            **self.evaluators.get(evaluator, {}),
        }

    def _replaced(self, value: Any) -> Any:
        if isinstance(value, list):
            return list(dict.fromkeys(self._replaced(item) for item in value))
        return self.name(value) if isinstance(value, str) else value


def read_smoke(top: Table) -> Smoke | None:
    """Read a study's table `[small]` if there is one; raise InputError for an unused name."""
    if "small" not in top:
        return None
    table = top.table("small").require_keys(KEYS, "key of [small]")
    names, settings = table.table("names"), table.table("settings")
    means = {name for name in names.values if name.startswith("average:")}
    names.require_keys(_used_names(top) | means, "name in this study")
    settings.require_keys(evaluators(), "evaluator")
    recipe = table.table("recipe").with_present_keys(former_names(Recipe))
    detector = table.table("detector")
    return Smoke(
        seeds=table.get_list("seeds", int),
        notes=table.get_list("notes", str),
        names={name: names.get(name, str, "") for name in names.values},
        recipe=recipe.require_keys(RECIPE_FIELDS, "field of a recipe").values,
        detector=detector.require_keys(DETECTOR_FIELDS, "field of a detector's recipe").values,
        evaluators={name: settings.get(name, dict, {}) for name in settings.values},
    )


def _used_names(top: Table) -> set[str]:
    """Return all words of a study outside of `[small]`, and the default names."""
    default = {Recipe.dataset, Recipe.arch, DetectorRecipe.dataset}
    return default | set(_words({k: v for k, v in top.values.items() if k != "small"}))


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from [value] if " " not in value else []
    elif isinstance(value, Mapping | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _words(item)
