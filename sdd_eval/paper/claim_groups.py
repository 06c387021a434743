"""Short verdicts: one row for each group of claims, as a Markdown table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sdd_eval.metrics.formatting import (
    MISSING,
    format_difference,
    format_interval,
    format_number,
)
from sdd_eval.metrics.registry import metric
from sdd_eval.paper.claim_rendering import (
    failures,
    listed,
    printed_text,
    seeds_text,
    titles_of,
)
from sdd_eval.paper.verdicts import Judgement, counts
from sdd_eval.statistics.seeds import summarize_seeds

#: Titles of the columns.
HEAD = ("claim", "printed", "measured here: base → other; difference (95 %)", "verdict")


@dataclass(frozen=True)
class GroupRow:
    """A group of claims as text; if several were tested, the numbers are those of the first.

    Attributes:
        name: what the claims say, and how many of them were tested if several were.
        printed, measured: the paper's numbers; the measured ones, with difference and interval.
        verdict: the verdict, or how many claims have each, and which if they are not most of them.
        reason: the basis of the verdicts, and which baselines and checks were not measured.
    """

    name: str
    printed: str
    measured: str
    verdict: str
    reason: str


def group_rows(decided: Sequence[Judgement]) -> tuple[list[GroupRow], list[str]]:
    """Return a row for each group with a tested claim, and the names of the other groups."""
    groups: dict[str, list[Judgement]] = {}
    for one in decided:
        groups.setdefault(one.claim.group, []).append(one)
    tested = {name: [one for one in of_group if one.evidence] for name, of_group in groups.items()}
    rows = [_row(own, len(groups[name])) for name, own in tested.items() if own]
    return rows, [name for name, own in tested.items() if not own]


def groups_markdown(decided: Sequence[Judgement]) -> str:
    """Return the groups as a Markdown table, with a line for those that were not tested."""
    rows, untested = group_rows(decided)
    lines = [HEAD, ("---",) * len(HEAD)]
    for row in rows:
        reason = f" ({row.reason})" if row.reason else ""
        lines.append((row.name, row.printed, row.measured, f"**{row.verdict}**{reason}"))
    text = "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"
    names = ", ".join(f"“{name}”" for name in untested)
    return text + (
        f"\nNot tested here (`sdd-eval paper claims` names the command for each): {names}.\n"
        if untested
        else ""
    )


def _row(tested: Sequence[Judgement], claims: int) -> GroupRow:
    """Return the row of a group of `claims` claims."""
    first, several = tested[0], len(tested) > 1
    variant, printed = first.claim.variant, printed_text(first.claim)
    number_of = f"{len(tested)}" if len(tested) == claims else f"{len(tested)} of {claims}"
    what = f"{number_of} claims" if several else variant
    before = f"{variant}: " if several else ""
    return GroupRow(
        name=f"{first.claim.group} ({what})" if what else first.claim.group,
        printed=printed if printed == MISSING else before + printed,
        measured=before + _measured(first),
        verdict="; ".join(_verdicts(tested)) if several else first.verdict,
        reason="; ".join(_reasons(tested)),
    )


def _verdicts(tested: Sequence[Judgement]) -> Iterator[str]:
    """Yield how many claims have each verdict, with their names unless they are the majority."""
    for verdict, number in counts(tested).items():
        if number:
            names = (one.claim.variant for one in tested if one.verdict == verdict)
            most = 2 * number > len(tested)
            yield f"{number} {verdict}" + ("" if most else f" ({', '.join(names)})")


def _measured(judgement: Judgement) -> str:
    """Return the means of both sides, their difference and its interval."""
    evidence, change = judgement.evidence, judgement.difference
    assert evidence is not None
    entry = metric(evidence.main.metric)
    sides = (summarize_seeds(one.values).mean for one in (evidence.main.base, evidence.main.other))
    values = " → ".join(format_number(entry, mean) for mean in sides)
    interval = format_interval(entry, change.low, change.high, sign=True)
    text = f"{values}{' %' if entry.percent else ''}; {format_difference(entry, change.value)}"
    return text if interval == MISSING else f"{text} ({interval})"


def _reasons(tested: Sequence[Judgement]) -> Iterator[str]:
    """Yield how many seeds would decide, where differences vanish, and what was not checked."""
    if any(one.evidence and one.evidence.scale == "small" for one in tested):
        yield "of a small study, which says nothing about the method"
    seeds = {seeds_text(one) for one in tested if one.verdict == "not shown"}
    if len(seeds) == 1:
        mixed = any(one.verdict != "not shown" for one in tested)
        yield f"{'not shown: ' if mixed else ''}{seeds.pop()}"
    found: dict[str, Counter[str]] = {}
    for one in tested:
        for what, names in failures(one).items():
            found.setdefault(what, Counter()).update(titles_of(one, names).values())
    for what, number in found.items():
        if number:
            titles = (_of(title, many, len(tested)) for title, many in number.items())
            yield f"{what} {listed(titles)}"


def _of(title: str, many: int, of: int) -> str:
    """Return a title, with the number of claims that it applies to if not to all."""
    return title if many == of else f"{title} ({many} of {of})"
