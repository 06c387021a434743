"""The verdicts in few words: one row for each group of claims, as a table in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sdd_eval.metrics.formatting import (
    MISSING,
    format_difference,
    format_interval,
    format_number,
)
from sdd_eval.metrics.registry import metric
from sdd_eval.paper.claim_rendering import gone_titles, printed_text
from sdd_eval.paper.verdicts import Judgement, counts
from sdd_eval.statistics.seeds import summarize_seeds

#: Titles of the columns.
HEAD = ("claim", "printed", "measured here: base → other; difference (95 %)", "verdict")


def groups_markdown(decided: Sequence[Judgement]) -> str:
    """Return a row for each group of which a claim was tested, and the names of the others.

    Of several tested claims of a group the row has the numbers of the first one, and how many have
    each verdict.
    """
    groups: dict[str, list[Judgement]] = {}
    for one in decided:
        groups.setdefault(one.claim.group, []).append(one)
    tested = {name: [one for one in of_group if one.evidence] for name, of_group in groups.items()}
    lines = [HEAD, ("---",) * len(HEAD), *(_row(own) for own in tested.values() if own)]
    text = "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"
    untested = [f"“{name}”" for name, own in tested.items() if not own]
    return text + (f"\nNot tested here: {', '.join(untested)}.\n" if untested else "")


def _row(tested: Sequence[Judgement]) -> tuple[str, ...]:
    first, several = tested[0], len(tested) > 1
    variant = first.claim.variant
    what = f"{len(tested)} claims" if several else variant
    name = f"{first.claim.group} ({what})" if what else first.claim.group
    before = f"{variant}: " if several else ""
    printed = printed_text(first.claim)
    printed = printed if printed == MISSING else before + printed
    return name, printed, before + _measured(first), "; ".join(_verdicts(tested))


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


def _verdicts(tested: Sequence[Judgement]) -> Iterator[str]:
    """Yield each verdict, with its number of several claims, and of a single claim its reason."""
    if len(tested) > 1:
        number = counts(tested)
        yield from (f"{count} {verdict}" for verdict, count in number.items() if count)
    else:
        (one,) = tested
        gone = f": gone {', '.join(gone_titles(one))}" if one.gone else ""
        yield f"**{one.verdict}**{gone}"
        if one.missing:
            yield f"not measured: {', '.join(one.missing)}"
