"""What comparisons found, in sentences: what can be told from chance, and how much cannot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sdd_eval.comparison.families import HEADLINE
from sdd_eval.comparison.records import Row
from sdd_eval.report.formatting import signed
from sdd_eval.report.page.comparison_section import Pair, Shown
from sdd_eval.report.tables.comparisons import p_value, places_of, shown_rows
from sdd_eval.report.text.findings import Finding
from sdd_eval.statistics.seeds import SEEDS

#: Metrics as people call them.
NAMES = {
    "accuracy": "accuracy",
    "ece": "ECE",
    "fgsm_accuracy": "accuracy under FGSM",
    "auroc": "AUROC",
    "fpr_at_95_tpr": "FPR at 95 % TPR",
    "mca": "mCA",
}


def compared_findings(found: Sequence[Shown]) -> list[Finding]:
    """The findings of each pair of comparisons that are not older than their runs."""
    return [
        Finding(_opening(pair), sentences)
        for each in found
        if not each.kept.outdated
        for pair in each.pairs
        if (sentences := tuple(_of_pair(each, pair)))
    ]


def _opening(pair: Pair) -> str:
    """Who is compared: groups over seeds, or networks by their names."""
    if len(pair.found.base) > 1:
        of = f" ({pair.of})" if pair.of else ""
        return f"{pair.other} against {pair.base}{of}, corrected for the number of tests"
    base, other = pair.found.base[0], pair.found.others[0]
    return f"The network {other} against {base}, corrected for the number of tests"


def _of_pair(shown: Shown, pair: Pair) -> Iterator[str]:
    """What the headline's family says, then how many cells of each metric differ."""
    rows = shown_rows(pair.found)
    told = [row for row in rows if row.verdict in ("higher", "lower")]
    size = shown.families.get(HEADLINE, 0)
    for row in told:
        yield f"{_who(pair)} {_difference(pair, row, size)}."
    if rows:
        yield _rest(pair, len(rows), len(told), size)
    for family, tests in shown.families.items():
        counted = list(_counted(shown_rows(pair.found, family))) if family != HEADLINE else []
        if counted:
            yield f"Cell by cell (family {family}, {tests} tests): {'; '.join(counted)}."


def _rest(pair: Pair, rows: int, told: int, size: int) -> str:
    """How many headline numbers cannot be told from chance, and what networks do not say."""
    rest = rows - told
    which = f"the other {rest}" if told else f"{rest}" if rest > 1 else "the one"
    text = (
        f"{_who(pair)} {which} headline number{'s' if rest > 1 else ''} cannot be told from chance "
    )
    every = f"That is every headline number that both sides have: {rows}, of"
    text = f"{text}(family of {size} tests)" if rest else f"{every} a family of {size} tests"
    return text + ("." if _of_a_method(pair) else "; all this says nothing of the method.")


def _of_a_method(pair: Pair) -> bool:
    return min(len(pair.found.base), len(pair.found.others)) >= SEEDS


def _who(pair: Pair) -> str:
    """Methods over seeds, or networks; these are no sentence about a method."""
    sides = len(pair.found.base), len(pair.found.others)
    if _of_a_method(pair):
        return f"Over {sides[0]} and {sides[1]} seeds"
    words = {2: "two", 3: "three", 4: "four"}
    return f"Between these {words.get(sum(sides), sum(sides))} networks"


def _difference(pair: Pair, row: Row, size: int) -> str:
    """One difference with the interval that its test goes with."""
    percent = row.unit == "fraction" and "ece" not in row.metric and row.metric != "mce"
    low, high = (signed(each or 0.0, percent) for each in (row.low, row.high))
    unit = " points" if percent else ""
    about = "over seeds" if len(pair.found.base) > 1 else "same networks, new images"
    return (
        f"{_called(row)} is {row.verdict} by {signed(abs(row.difference), percent)[1:]}{unit} "
        f"[95 % interval, {about}: {low} to {high}; p = {p_value(row.adjusted)} after Holm's "
        f"correction over {size} tests]"
    )


def _called(row: Row) -> str:
    """A metric in words, and where it holds."""
    name = NAMES.get(row.metric, row.metric.replace("_", " "))
    if row.metric.startswith("mca"):
        name = row.metric.replace("mca", "mCA").replace("_15_", " with ").replace("_", " ")
    places = places_of(row)
    return f"{name} ({', '.join(places)})" if places else name


def _counted(rows: Sequence[Row]) -> Iterator[str]:
    """For each metric of an evaluator, how many of its cells are higher and lower."""
    found: dict[str, list[str]] = {}
    for row in rows:
        name = NAMES.get(row.metric, row.metric.replace("_", " "))
        found.setdefault(f"{name} ({row.evaluator})", []).append(row.verdict)
    for name, verdicts in found.items():
        higher, lower = verdicts.count("higher"), verdicts.count("lower")
        told = (
            f"higher in {higher} and lower in {lower}" if higher + lower else "told apart in none"
        )
        yield f"{name} {told} of {len(verdicts)}"
