"""Which number of a table is really the best of those that stand against each other."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from sdd_eval.paper.tables import PaperNumber

#: Axes that tell the rivals of a comparison apart; all others they share.
_RIVAL_AXES = frozenset({"direction", "position", "variant", "lambda", "drop"})
#: Tables in which each method stands only against itself with SD-Dropout.
_BY_METHOD = frozenset({1, 2})
#: The table whose bold type is known: SD-Dropout's in every cell.
BOLD_TABLE = 7


def contest(number: PaperNumber) -> str:
    """What a number's rivals share: the table, the data set, the metric, the place."""
    shared = {name: value for name, value in number.at.items() if name not in _RIVAL_AXES}
    method = number.method if number.table in _BY_METHOD else ""
    place = (number.table, number.dataset, number.model, number.metric, method, shared)
    return json.dumps(place, sort_keys=True)


def leaders(numbers: Sequence[PaperNumber], values: Mapping[int, float]) -> set[int]:
    """The indices of the numbers whose value is the best of its contest; equal ones share it.

    `values` gives for indices the value to go by, the paper's or the measured; a contest needs two
    of them, and a metric of which one way is better.
    """
    contests: dict[str, list[int]] = {}
    for index in values:
        if numbers[index].higher_is_better is not None:
            contests.setdefault(contest(numbers[index]), []).append(index)
    found: set[int] = set()
    for indices in contests.values():
        if len(indices) > 1:
            pick = max if numbers[indices[0]].higher_is_better else min
            best = pick(values[index] for index in indices)
            found |= {index for index in indices if values[index] == best}
    return found


def wrongly_bold(numbers: Sequence[PaperNumber]) -> tuple[PaperNumber, ...]:
    """The numbers that Table 7 prints in bold though their rival is better."""
    best = leaders(numbers, {index: number.value for index, number in enumerate(numbers)})
    return tuple(
        number
        for index, number in enumerate(numbers)
        if number.table == BOLD_TABLE and number.sd_dropout and index not in best
    )
