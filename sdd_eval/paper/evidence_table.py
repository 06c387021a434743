"""The evidence as a table: written, read again, and completed from an earlier one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sdd_eval.errors import InputError
from sdd_eval.paper.claims import Claim
from sdd_eval.paper.comparison import Row
from sdd_eval.paper.evidence import Contrast, Evidence, Kind, Side

if TYPE_CHECKING:
    import pandas

#: The columns of the table of evidence.
COLUMNS = (
    *("claim", "study", "scale", "setting", "kind", "name", "metric", "side", "label"),
    *("checkpoint", "value"),
)


def evidence_frame(evidence: Sequence[Evidence]) -> pandas.DataFrame:
    """Return the evidence as a table, one row per value."""
    import pandas

    rows = [
        (
            *(one.claim, one.study, one.scale, one.setting),
            *(contrast.kind, contrast.name, contrast.metric, name, side.label),
            *(checkpoint, value),
        )
        for one in evidence
        for contrast in one.contrasts
        for name, side in (("base", contrast.base), ("other", contrast.other))
        for checkpoint, value in itertools.zip_longest(side.checkpoints, side.values, fillvalue="")
    ]
    frame: pandas.DataFrame = pandas.DataFrame(rows, columns=COLUMNS, dtype=object)
    return frame


def with_earlier(
    claims: Sequence[Claim], evidence: Sequence[Evidence], earlier: Sequence[Evidence]
) -> list[Evidence]:
    """Add the checks at equal mean confidence that only earlier evidence has.

    They need logits, which the runs of a published study lack. A check is added if the numbers of
    the claim itself, and thus the networks, are the same.
    """
    of_logits = {
        claim.id: {
            n for n, numbers in claim.checks.items() if any(k.equal_confidence for k in numbers)
        }
        for claim in claims
    }
    known = {(one.claim, one.study): one for one in earlier}
    found = []
    for one in evidence:
        other = known.get((one.claim, one.study))
        if other is not None and _same_numbers(one.main, other.main):
            names = of_logits[one.claim] - {each.name for each in one.contrasts}
            more = [each for each in other.contrasts if each.name in names]
            one = replace(one, contrasts=(*one.contrasts, *more))
        found.append(one)
    return found


def _same_numbers(one: Contrast, other: Contrast) -> bool:
    """Return whether two contrasts are of the same networks, up to the digits of a CSV file."""
    return all(
        first.checkpoints == second.checkpoints
        and len(first.values) == len(second.values)
        and np.allclose(first.values, second.values, rtol=1e-8, atol=0)
        for first, second in ((one.base, other.base), (one.other, other.other))
    )


def read_evidence(frame: pandas.DataFrame) -> list[Evidence]:
    """Return the evidence in a table of `evidence_frame`; raise InputError for other tables."""
    if tuple(frame.columns) != COLUMNS:
        raise InputError(f"the columns of the evidence must be {', '.join(COLUMNS)}")
    rows = frame.astype(object).fillna("").to_dict("records")
    found = []
    for (claim, study, scale, setting), members in itertools.groupby(
        rows, lambda row: tuple(row[column] for column in COLUMNS[:4])
    ):
        contrasts = [
            _read_contrast(list(of_contrast), *names)
            for names, of_contrast in itertools.groupby(
                members, lambda row: (row["kind"], row["name"], row["metric"])
            )
        ]
        found.append(Evidence(claim, study, scale, setting, tuple(contrasts)))
    return found


def _read_contrast(rows: Sequence[Row], kind: Kind, name: str, metric: str) -> Contrast:
    sides = []
    for side in ("base", "other"):
        own = [row for row in rows if row["side"] == side]
        names = tuple(str(row["checkpoint"]) for row in own if row["checkpoint"])
        values = tuple(float(row["value"]) for row in own)
        sides.append(Side(str(own[0]["label"]) if own else "", names, values))
    return Contrast(kind, name, metric, *sides)
