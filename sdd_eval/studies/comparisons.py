"""Tables `[[compare]]` of a study: recipes to compare, resolved to pairs of checkpoints."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sdd_eval.studies.schema import SIDE_FIELDS, Compare, StudyFile
from sdd_eval.studies.study import Comparison, Pairing, Training


@dataclass(frozen=True)
class _Group:
    """The fields of a recipe except the seed, and the checkpoint of each seed."""

    fields: Mapping[str, Any]
    seeds: Mapping[int, str]

    def names(self, seed: int | None) -> tuple[str, ...]:
        """Return all checkpoints, or only that of one seed."""
        return tuple(name for number, name in self.seeds.items() if seed in (None, number))


def comparisons_of(file: StudyFile, networks: Sequence[Training]) -> tuple[Comparison, ...]:
    """Return a study's comparisons; raise InputError, with the line, if a side matches none."""
    groups = _groups(networks)
    return tuple(_comparison(table, groups) for table in file.compare)


def _comparison(table: Compare, groups: Sequence[_Group]) -> Comparison:
    """Return a comparison, in which every side must match a network."""
    base, *others = (side.given(SIDE_FIELDS) for side in (table.base, *table.others))
    for values in others:
        if not any(True for _ in matches(base, values, groups)):
            fields = ", ".join(f"{name} = {value!r}" for name, value in values.items())
            message = f"no training with {fields} equals a training of base in all other fields"
            raise table.location.error(message, "others")
    return Comparison(base, tuple(others))


def pairings_of(
    comparisons: Iterable[Comparison], networks: Iterable[Training]
) -> tuple[Pairing, ...]:
    """Return all pairs of groups, each once; a group is the seeds of one recipe.

    Both sides of a pair have checkpoints, and none in common (two small-study recipes may have).
    """
    groups = _groups(networks)
    pairings = dict.fromkeys(
        Pairing(base.names(comparison.base.get("seed")), other.names(values.get("seed")))
        for comparison in comparisons
        for values in comparison.others
        for base, other in matches(comparison.base, values, groups)
    )
    return tuple(p for p in pairings if p.base and p.other and not {*p.base} & {*p.other})


def _groups(networks: Iterable[Training]) -> list[_Group]:
    """Return the recipes that networks stand for, with the seeds of each."""
    groups: dict[str, tuple[Mapping[str, Any], dict[int, str]]] = {}
    for network in networks:
        for recipe in network.stands_for or (network.fields,):
            fields = {name: value for name, value in recipe.items() if name != "seed"}
            _, seeds = groups.setdefault(json.dumps(fields, sort_keys=True), (fields, {}))
            seeds[recipe["seed"] or 0] = network.name
    return [_Group(fields, dict(sorted(seeds.items()))) for fields, seeds in groups.values()]


def matches(
    base: Mapping[str, Any], other: Mapping[str, Any], groups: Sequence[_Group]
) -> Iterator[tuple[_Group, _Group]]:
    """Yield each group with the base's values, and the groups with which it is compared.

    The latter have the other's values and equal the base in all fields that neither side names; if
    a method is named, its options may differ, too. If there are several, those that share most of
    the base's values are used.
    """
    named = {*base, *other, *(["method_options"] if "method" in {*base, *other} else [])}
    for one in (group for group in groups if _has(group, base)):
        similar = [two for two in groups if two is not one and _has(two, other)]
        similar = [two for two in similar if _differences(one, two, set(one.fields) - named) == 0]
        counts = [_differences(one, two, set(base) - {*other, "seed"}) for two in similar]
        for two, count in zip(similar, counts, strict=True):
            if count == min(counts):
                yield one, two


def _has(group: _Group, fields: Mapping[str, Any]) -> bool:
    """Return whether a recipe has these values; only the given method options are compared."""
    return all(_equal(group.fields.get(name), v) for name, v in fields.items() if name != "seed")


def _equal(value: Any, selected: Any) -> bool:
    if isinstance(selected, Mapping) and isinstance(value, Mapping):
        return all(_equal(value.get(name), item) for name, item in selected.items())
    if isinstance(selected, str) and isinstance(value, str):
        return value.replace("-", "_") == selected.replace("-", "_")
    return bool(value == selected)


def _differences(one: _Group, two: _Group, names: Iterable[str]) -> int:
    return sum(one.fields.get(name) != two.fields.get(name) for name in names)
