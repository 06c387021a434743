"""Findings: sentences about differences that claim no more than the numbers support."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sdd_eval.comparison.families import HEADLINE
from sdd_eval.comparison.records import MetricDifference
from sdd_eval.figures.selection import baselines
from sdd_eval.report.formatting import format_difference, format_mean
from sdd_eval.report.tables.comparisons import (
    ComparisonSection,
    PairSection,
    axis_labels,
    family_rows,
    format_p_value,
)
from sdd_eval.report.tables.headline import Headline, HeadlineCell, HeadlineColumn, HeadlineRow
from sdd_eval.report.text.robustness import audit_sentences
from sdd_eval.statistics.seeds import (
    MIN_SEEDS,
    Difference,
    difference,
    minimum_detectable_difference,
)

#: Introduces sentences about networks with too few seeds to judge a method.
FEW_SEEDS = (
    f"The following is based on fewer than {MIN_SEEDS} seeds per side, so it describes these "
    "networks and is no evidence about the method; intervals are for new images, not new seeds."
)
#: Titles of metrics in sentences.
METRIC_TITLES = {
    "accuracy": "accuracy",
    "ece": "ECE",
    "fgsm_accuracy": "accuracy under FGSM",
    "auroc": "AUROC",
    "fpr_at_95_tpr": "FPR at 95 % TPR",
    "mca": "mCA",
}
_COUNTS = {2: "two", 3: "three", 4: "four"}


@dataclass(frozen=True)
class Finding:
    """The findings about one pair of networks or groups: a title and a sentence per number."""

    title: str
    sentences: tuple[str, ...]


def findings(table: Headline) -> list[Finding]:
    """Return the findings about each pair of groups with and without SD-Dropout."""
    found = []
    for base, other in pairs(table):
        sentences = (
            *_column_sentences(table.columns, base, other),
            *audit_sentences(other.comparison.results, base.group, other.group),
        )
        if sentences:
            title = f"{other.group} compared with {base.group} ({other.comparison.title})"
            found.append(Finding(title, sentences))
    return found


def pairs(table: Headline) -> list[tuple[HeadlineRow, HeadlineRow]]:
    """Return pairs of rows (without, with SD-Dropout) that differ in nothing else."""
    parts = {id(row.comparison): row.comparison for row in table.rows}
    plain = {key: baselines(part.results) for key, part in parts.items()}
    return [
        (base, row)
        for row in table.rows
        for base in table.rows
        if base.comparison is row.comparison
        and base.group == plain[id(row.comparison)].get(row.group)
    ]


def _column_sentences(
    columns: tuple[HeadlineColumn, ...], base: HeadlineRow, other: HeadlineRow
) -> list[str]:
    """Return a sentence per column; those about too few seeds come last."""
    sentences: list[str] = []
    few: list[str] = []
    for column, first, second in zip(columns, base.cells, other.cells, strict=True):
        if not (first.values and second.values):
            continue
        if first.conditions != second.conditions:
            sentences.append(
                f"{column.title} is not compared: images, data or protocol differ between the two "
                "sides."
            )
            continue
        target = few if _too_few_seeds(first, second) else sentences
        target.append(sentence(column, first, second))
    return sentences + ([FEW_SEEDS, *few] if few else [])


def sentence(column: HeadlineColumn, base: HeadlineCell, other: HeadlineCell) -> str:
    """Return how one number changes with SD-Dropout, and whether seed noise could explain it."""
    if _too_few_seeds(base, other):
        return _network_sentence(column, base, other)
    change = difference(base.values, other.values)
    unit = " %" if column.percent else ""
    text = (
        f"With {_seeds(base, other)}, SD-Dropout changes {column.title} from "
        f"{format_mean(base.summary, column.percent)}{unit} to "
        f"{format_mean(other.summary, column.percent)}{unit}"
    )
    if math.isnan(change.low):
        return (
            f"{text}. All seeds of a side give the same value, so there is no interval over seeds."
        )
    text += f", by {_format_change(column, change)}"
    if change.value == 0:
        return f"{text}: no change."
    if change.excludes_zero:
        return f"{text}: {_direction(column, change)}."
    smallest = minimum_detectable_difference(base.values, other.values)
    return (
        f"{text}. This is within seed noise; the smallest difference detectable with a power of "
        f"80 % is {_amount(column, smallest)}."
    )


def _too_few_seeds(base: HeadlineCell, other: HeadlineCell) -> bool:
    return min(len(base.values), len(other.values)) < MIN_SEEDS


def _seeds(base: HeadlineCell, other: HeadlineCell) -> str:
    counts = len(base.values), len(other.values)
    if counts[0] == counts[1]:
        return f"{counts[0]} seeds per side"
    return f"{counts[0]} seeds without and {counts[1]} with it"


def _format_change(column: HeadlineColumn, change: Difference) -> str:
    low, high = (format_difference(end, column.percent) for end in (change.low, change.high))
    unit = " points" if column.percent else ""
    level = f"{100 * change.level:g} % interval over seeds"
    return f"{format_difference(change.value, column.percent)}{unit} [{level}: {low} to {high}]"


def _amount(column: HeadlineColumn, value: float) -> str:
    return format_difference(value, column.percent)[1:] + (" points" if column.percent else "")


def _direction(column: HeadlineColumn, change: Difference) -> str:
    return "better" if (change.value > 0) == column.higher else "worse"


def _network_sentence(column: HeadlineColumn, base: HeadlineCell, other: HeadlineCell) -> str:
    """Return the numbers of single networks, without a statement about the method."""
    unit = " %" if column.percent else ""
    count = len(base.values) + len(other.values)
    sides = " and ".join(
        f"{format_mean(cell.summary, column.percent)}{unit}{_image_interval(column, cell)} {side}"
        for cell, side in ((base, "without"), (other, "with"))
    )
    return f"For these {_COUNTS.get(count, count)} networks, {column.title} is {sides} SD-Dropout."


def _image_interval(column: HeadlineColumn, cell: HeadlineCell) -> str:
    """Return a single network's interval over images; empty for several networks or no interval."""
    if len(cell.values) != 1 or math.isnan(cell.intervals[0][0]):
        return ""
    factor, digits = (100, 1) if column.percent else (1, 3)
    *ends, level = cell.intervals[0]
    low, high = (f"{factor * end:.{digits}f}" for end in ends)
    return f" [{100 * level:g} %: {low} to {high}]"


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
    percent = row.unit == "fraction" and "ece" not in row.metric and row.metric != "mce"
    low, high = (format_difference(end or 0.0, percent) for end in (row.low, row.high))
    unit = " points" if percent else ""
    kind = "over seeds" if len(pair.compared.base) > 1 else "same networks, new images"
    tests = f"{size} test{'s' if size != 1 else ''}"
    return (
        f"{_row_title(row)} is {row.verdict} by "
        f"{format_difference(abs(row.difference), percent)[1:]}{unit} "
        f"[95 % interval, {kind}: {low} to {high}; p = {format_p_value(row.adjusted)} "
        f"after Holm–Bonferroni correction over {tests}]"
    )


def _row_title(row: MetricDifference) -> str:
    title = METRIC_TITLES.get(row.metric, row.metric.replace("_", " "))
    if row.metric.startswith("mca"):
        title = row.metric.replace("mca", "mCA").replace("_15_", " with ").replace("_", " ")
    labels = axis_labels(row)
    return f"{title} ({', '.join(labels)})" if labels else title


def _verdict_counts(rows: Sequence[MetricDifference]) -> Iterator[str]:
    verdicts: dict[str, list[str]] = {}
    for row in rows:
        title = METRIC_TITLES.get(row.metric, row.metric.replace("_", " "))
        verdicts.setdefault(f"{title} ({row.evaluator})", []).append(row.verdict)
    for title, found in verdicts.items():
        higher, lower = found.count("higher"), found.count("lower")
        counts = (
            f"significantly higher in {higher} and lower in {lower}"
            if higher + lower
            else "no significant difference in any"
        )
        yield f"{title}: {counts} of {len(found)}"
