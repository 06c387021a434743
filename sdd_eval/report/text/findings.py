"""Findings: sentences about differences that claim no more than the numbers support."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sdd_eval.comparison.families import HEADLINE
from sdd_eval.comparison.records import MetricDifference
from sdd_eval.comparison.store import ComparisonSet
from sdd_eval.metrics.formatting import (
    format_difference,
    format_interval,
    format_mean,
    format_p_value,
)
from sdd_eval.metrics.registry import Metric, metric
from sdd_eval.report.tables.comparisons import (
    ComparisonSection,
    PairSection,
    axis_labels,
    family_rows,
)
from sdd_eval.report.tables.headline import (
    Headline,
    HeadlineCell,
    HeadlineColumn,
    HeadlineRow,
    verdict,
)
from sdd_eval.report.text.robustness import audit_sentences
from sdd_eval.statistics.seeds import MIN_SEEDS, Difference, minimum_detectable_difference

#: Introduces sentences about networks with too few seeds to judge a method.
FEW_SEEDS = (
    f"The following is based on fewer than {MIN_SEEDS} seeds per side, so it describes these "
    "networks and is no evidence about the method; intervals are for new images, not new seeds."
)
_COUNTS = {2: "two", 3: "three", 4: "four"}


@dataclass(frozen=True)
class Finding:
    """The findings about one pair of networks or groups: a title and a sentence per number."""

    title: str
    sentences: tuple[str, ...]


def findings(table: Headline) -> list[Finding]:
    """Return the findings about each pair of groups with and without SD-Dropout."""
    statements = []
    for _, part in itertools.groupby(table.rows, lambda row: id(row.comparison)):
        rows = {row.group: row for row in part}
        pairs = [(rows[row.base], row) for row in rows.values() if row.base]
        names = [(base.group, other.group) for base, other in pairs]
        audits = audit_sentences(next(iter(rows.values())).comparison.results, names)
        for (base, other), audit in zip(pairs, audits, strict=True):
            sentences = (*_column_sentences(table, base, other), *([audit] if audit else []))
            if sentences:
                title = f"{other.group} compared with {base.group} ({other.comparison.title})"
                statements.append(Finding(title, sentences))
    return statements


def _column_sentences(table: Headline, base: HeadlineRow, other: HeadlineRow) -> list[str]:
    """Return a sentence per column; those about too few seeds come last."""
    sentences: list[str] = []
    few: list[str] = []
    stored = table.comparisons.get(base.comparison.study, ())
    cells = zip(table.columns, base.cells, other.cells, other.changes, strict=True)
    for column, first, second, change in cells:
        if not (first.values and second.values):
            continue
        if first.conditions != second.conditions:
            sentences.append(
                f"{column.title} is not compared: images, data or protocol differ between the two "
                "sides."
            )
        elif change is None or min(len(first.values), len(second.values)) < MIN_SEEDS:
            few.append(_network_sentence(column, first, second))
        else:
            sentences.append(sentence(column, first, second, change, stored))
    return sentences + ([FEW_SEEDS, *few] if few else [])


def sentence(
    column: HeadlineColumn,
    base: HeadlineCell,
    other: HeadlineCell,
    change: Difference,
    stored: Sequence[ComparisonSet] = (),
) -> str:
    """Return how one number changes with SD-Dropout, and whether seed noise could explain it."""
    entry = column.entry
    text = (
        f"With {_seeds(base, other)}, SD-Dropout changes {column.phrase} from "
        f"{format_mean(entry, base.summary, unit=True)} to "
        f"{format_mean(entry, other.summary, unit=True)}"
    )
    if math.isnan(change.low):
        return (
            f"{text}. All seeds of a side give the same value, so there is no interval over seeds."
        )
    text += f", by {_format_change(entry, change)}"
    if change.value == 0:
        return f"{text}: no change."
    outcome = verdict(column, base, other, change, stored)
    if outcome in ("higher", "lower"):
        return f"{text}: {'better' if outcome == entry.better else 'worse'}."
    reason = "not significant after the correction" if change.excludes_zero else "within seed noise"
    if change.verdict != outcome:
        reason = "not significant in the comparison below, which corrects for more tests"
    smallest = minimum_detectable_difference(base.values, other.values)
    return (
        f"{text}. This is {reason}; the smallest difference detectable with a power of "
        f"80 % is {format_difference(entry, smallest, sign=False)}."
    )


def _seeds(base: HeadlineCell, other: HeadlineCell) -> str:
    counts = len(base.values), len(other.values)
    if counts[0] == counts[1]:
        return f"{counts[0]} seeds per side"
    return f"{counts[0]} seeds without and {counts[1]} with it"


def _format_change(entry: Metric, change: Difference) -> str:
    interval = format_interval(entry, change.low, change.high, sign=True)
    p = f"p = {format_p_value(change.adjusted)}{_correction(change.family)}"
    level = f"{100 * change.level:g} % interval over seeds"
    return f"{format_difference(entry, change.value)} [{level}: {interval}; {p}]"


def _correction(tests: int) -> str:
    """Return over how many tests a p-value is corrected; empty for a single one."""
    return f" after Holm–Bonferroni correction over {tests} tests" if tests > 1 else ""


def _network_sentence(column: HeadlineColumn, base: HeadlineCell, other: HeadlineCell) -> str:
    """Return the numbers of single networks, without a statement about the method."""
    count = len(base.values) + len(other.values)
    sides = " and ".join(
        f"{format_mean(column.entry, cell.summary, unit=True)}"
        f"{_image_interval(column.entry, cell)} {side}"
        for cell, side in ((base, "without"), (other, "with"))
    )
    return f"For these {_COUNTS.get(count, count)} networks, {column.phrase} is {sides} SD-Dropout."


def _image_interval(entry: Metric, cell: HeadlineCell) -> str:
    """Return a single network's interval over images; empty for several networks or no interval."""
    if len(cell.values) != 1 or math.isnan(cell.intervals[0][0]):
        return ""
    low, high, level = cell.intervals[0]
    return f" [{100 * level:g} %: {format_interval(entry, low, high)}]"


def comparison_findings(sections: Sequence[ComparisonSection]) -> list[Finding]:
    """Return the findings about each pair of the comparisons that are up to date."""
    return [
        Finding(_pair_title(pair), sentences)
        for section in sections
        if not section.stored.outdated
        for pair in section.pairs
        if (sentences := tuple(_pair_sentences(section, pair)))
    ]


def _pair_title(pair: PairSection) -> str:
    if len(pair.compared.base) > 1:
        arch = f" ({pair.arch})" if pair.arch else ""
        return f"{pair.other} compared with {pair.base}{arch}, corrected for multiple testing"
    base, other = pair.compared.base[0], pair.compared.others[0]
    return f"Network {other} compared with {base}, corrected for multiple testing"


def _pair_sentences(section: ComparisonSection, pair: PairSection) -> Iterator[str]:
    """Yield each significant headline difference, then counts for the rest and for each family."""
    rows = family_rows(pair.compared)
    significant = [row for row in rows if row.verdict in ("higher", "lower")]
    size = section.families.get(HEADLINE, 0)
    for row in significant:
        yield f"{_scope(pair)}, {_row_sentence(pair, row, size)}."
    if rows:
        yield _remaining(pair, len(rows), len(significant), size)
    for family, tests in section.families.items():
        rows = family_rows(pair.compared, family) if family != HEADLINE else []
        if rows:
            yield f"Family {family} ({tests} tests): {'; '.join(_verdict_counts(rows))}."


def _remaining(pair: PairSection, total: int, significant: int, size: int) -> str:
    remaining = total - significant
    family = f"family of {size} test{'s' if size != 1 else ''}"
    if remaining:
        numbers = "headline number" if remaining == 1 else "headline numbers"
        verb = "shows" if remaining == 1 else "show"
        count = f"the other {remaining}" if significant else f"{remaining}"
        text = f"{_scope(pair)}, {count} {numbers} {verb} no significant difference ({family})."
    else:
        numbers = "the only headline number" if total == 1 else f"all {total} headline numbers"
        verb = "differs" if total == 1 else "differ"
        text = f"{_scope(pair)}, {numbers} measured on both sides {verb} significantly ({family})."
    return text if _is_about_method(pair) else f"{text} This is no evidence about the method."


def _is_about_method(pair: PairSection) -> bool:
    return min(len(pair.compared.base), len(pair.compared.others)) >= MIN_SEEDS


def _scope(pair: PairSection) -> str:
    """Return whether a sentence is about a method (enough seeds) or about single networks."""
    base, other = len(pair.compared.base), len(pair.compared.others)
    if _is_about_method(pair):
        return f"With {base} seeds per side" if base == other else f"With {base} and {other} seeds"
    return f"For these {_COUNTS.get(base + other, base + other)} networks"


def _row_sentence(pair: PairSection, row: MetricDifference, size: int) -> str:
    entry = metric(row.metric, row.unit)
    interval = format_interval(entry, row.low, row.high, sign=True)
    kind = "over seeds" if len(pair.compared.base) > 1 else "same networks, new images"
    labels = f" ({', '.join(axis_labels(row))})" if axis_labels(row) else ""
    return (
        f"{entry.phrase}{labels} is {row.verdict} by "
        f"{format_difference(entry, abs(row.difference), sign=False)} "
        f"[95 % interval, {kind}: {interval}; p = {format_p_value(row.adjusted)}"
        f"{_correction(size)}]"
    )


def _verdict_counts(rows: Sequence[MetricDifference]) -> Iterator[str]:
    verdicts: dict[str, list[str]] = {}
    for row in rows:
        title = f"{metric(row.metric).phrase} ({row.evaluator})"
        verdicts.setdefault(title, []).append(row.verdict)
    for title, outcomes in verdicts.items():
        higher, lower = outcomes.count("higher"), outcomes.count("lower")
        counts = (
            f"significantly higher in {higher} and lower in {lower}"
            if higher + lower
            else "no significant difference in any"
        )
        yield f"{title}: {counts} of {len(outcomes)}"
