"""Tables `[[compare]]` of a study: what is compared, each side told by values of its fields."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sdd_eval.records import encode
from sdd_eval.studies.grid import FIELDS, with_present_keys
from sdd_eval.studies.smoke import DETECTOR_FIELDS
from sdd_eval.studies.study import Comparison, DetectorTraining, Pairing, Training
from sdd_eval.studies.toml import Node

#: What a side may name: of a classifier, of a detector, and of the backbone under it.
COMPARED = tuple(
    dict.fromkeys(
        (*FIELDS, "seed", *DETECTOR_FIELDS, "backbone", *(f"backbone_{name}" for name in FIELDS))
    )
)


def comparisons_of(top: Node, networks: Sequence[Network]) -> tuple[Comparison, ...]:
    """The comparisons of a study of these networks.

    Raises:
        InputError: a field is unknown, or no network of the study is a side; with the line.
    """
    return tuple(_comparison(node, networks) for node in top.tables("compare"))


def _comparison(node: Node, networks: Sequence[Network]) -> Comparison:
    """What is compared: fields of recipes with values, to each of which some network answers."""
    node.only(("base", "others"), "key of a comparison")
    base = with_present_keys(node.table("base")).only(COMPARED, "field of a recipe")
    others = [with_present_keys(each) for each in node.tables("others")]
    if not others:
        raise node.wrong("others is empty: with what is base compared?", "others")
    for each in others:
        each.only(COMPARED, "field of a recipe")
    found = Comparison(base.data, tuple(each.data for each in others))
    for values, known in zip(found.others, answered(found, networks), strict=True):
        if not known:
            told = ", ".join(f"{name} = {value!r}" for name, value in values.items())
            raise node.wrong(
                f"no training with {told} stands beside one of the base's, alike in all that "
                "neither names",
                "others",
            )
    return found


#: What a study trains and may compare; never a classifier with a detector.
Network = Training | DetectorTraining


@dataclass(frozen=True)
class Kind:
    """Fields of a recipe but its seed, and the checkpoint of each seed."""

    fields: Mapping[str, Any]
    seeds: Mapping[int, str]

    def names(self, seed: int | None) -> tuple[str, ...]:
        """The checkpoints, or that of one seed."""
        return tuple(name for each, name in self.seeds.items() if seed in (None, each))


def pairings_of(
    comparisons: Iterable[Comparison], networks: Iterable[Network]
) -> tuple[Pairing, ...]:
    """All pairs of groups, each once; a group is the seeds of one recipe."""
    kinds = _kinds(networks)
    found = dict.fromkeys(
        Pairing(base.names(_seed(comparison.base)), partner.names(_seed(other)))
        for comparison in comparisons
        for other in comparison.others
        for base, partner in partners(comparison.base, other, kinds)
    )
    return tuple(each for each in found if _is_pair(each))


def answered(comparison: Comparison, networks: Iterable[Network]) -> list[bool]:
    """Of each of the others, whether any network answers to it beside one of the base's."""
    kinds = _kinds(networks)
    return [any(True for _ in partners(comparison.base, o, kinds)) for o in comparison.others]


def _is_pair(found: Pairing) -> bool:
    """Whether both sides have checkpoints, and none in common, as in small they may."""
    return bool(found.base and found.other) and not set(found.base) & set(found.other)


def _kinds(networks: Iterable[Network]) -> list[Kind]:
    """The recipes that networks stand for, seeds of one together."""
    found: dict[str, tuple[Mapping[str, Any], dict[int, str]]] = {}
    for network in networks:
        for recipe in map(encode, _recipes(network)):
            fields = {name: each for name, each in recipe.items() if name != "seed"}
            _, seeds = found.setdefault(json.dumps(fields, sort_keys=True), (fields, {}))
            seeds[recipe["seed"] or 0] = network.name
    return [Kind(fields, dict(sorted(seeds.items()))) for fields, seeds in found.values()]


def _recipes(network: Network) -> tuple[Any, ...]:
    """What a network stands for; a detector on somebody else's backbone for itself."""
    if isinstance(network, DetectorTraining) and not network.meant:
        return (network.fields,)
    return network.meant


def partners(
    base: Mapping[str, Any], other: Mapping[str, Any], kinds: Sequence[Kind]
) -> Iterator[tuple[Kind, Kind]]:
    """Each recipe with the base's values, and those with the other's that it is compared with.

    These are alike in all fields that neither side names, a method's own settings aside where
    methods are named; of several those that keep most of the base's values.
    """
    named = {*base, *other, *(["method_options"] if "method" in {*base, *other} else [])}
    for one in (kind for kind in kinds if _answers(kind, base)):
        alike = [two for two in kinds if two is not one and _answers(two, other)]
        alike = [two for two in alike if _differing(one, two, set(one.fields) - named) == 0]
        differing = [_differing(one, two, set(base) - {*other, "seed"}) for two in alike]
        for two, count in zip(alike, differing, strict=True):
            if count == min(differing):
                yield one, two


def _answers(kind: Kind, fields: Mapping[str, Any]) -> bool:
    """Whether a recipe has these values; of a method's settings only those that are named count."""
    return all(_same(kind.fields.get(name), v) for name, v in fields.items() if name != "seed")


def _same(there: Any, value: Any) -> bool:
    if isinstance(value, Mapping) and isinstance(there, Mapping):
        return all(_same(there.get(name), each) for name, each in value.items())
    if isinstance(value, str) and isinstance(there, str):
        return there.replace("-", "_") == value.replace("-", "_")
    return bool(there == value)


def _differing(one: Kind, two: Kind, names: Iterable[str]) -> int:
    """In how many of some fields two recipes differ."""
    return sum(one.fields.get(name) != two.fields.get(name) for name in names)


def _seed(fields: Mapping[str, Any]) -> int | None:
    seed: int | None = fields.get("seed")
    return seed
