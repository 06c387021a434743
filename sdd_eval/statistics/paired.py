"""How many permutations a family of paired permutation tests needs."""

from __future__ import annotations

import math

from sdd_eval.errors import InputError


def permutations_for(family: int, level: float = 0.05, room: int = 50) -> int:
    """How many permutations a family of so many tests needs under Holm's adjustment.

    Holm rejects the first where p ≤ level / family; with B permutations p is at least 1 / (B + 1).
    With `room` = 50, as many as 50 multiples of that lie below the threshold, where p is known to
    about 1 part in 7 (1 / √50).

    Raises:
        InputError: no tests, a level that is not within (0, 1), or no room.

    >>> permutations_for(1), permutations_for(20)
    (999, 19999)
    """
    if family < 1 or not 0 < level < 1 or room < 1:
        raise InputError(f"a family of {family} tests at level {level:g} with room {room}")
    return math.ceil(round(room * family / level, 6)) - 1
