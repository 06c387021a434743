"""Tables `[[compare]]` of a study: what is compared, each side told by values of its fields."""

from __future__ import annotations

from collections.abc import Sequence

from sdd_eval.batch.grids import FIELDS
from sdd_eval.batch.node import Node
from sdd_eval.batch.pairing import Network, answered
from sdd_eval.batch.small import DETECTOR_FIELDS
from sdd_eval.batch.study import Comparison

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
    base = node.table("base").only(COMPARED, "field of a recipe")
    others = node.tables("others")
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
