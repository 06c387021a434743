"""Comparisons as CSV, terminal and page tables. Nothing is computed here."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdd_eval.comparison.families import HEADLINE
from sdd_eval.comparison.records import MetricDifference, PairComparison
from sdd_eval.comparison.run_statistics import untested_lines
from sdd_eval.comparison.store import FOLDER, ComparisonSet, load_comparisons
from sdd_eval.figures.selection import benchmark_order
from sdd_eval.metrics.formatting import (
    format_difference,
    format_interval,
    format_p_value,
    format_value,
    format_verdict,
)
from sdd_eval.metrics.registry import metric
from sdd_eval.protocol import text_id
from sdd_eval.report.runs import named_studies

if TYPE_CHECKING:
    import pandas

#: The columns of a comparison's CSV before the axes; `base` and `other` are numbers, means over
#: seeds if there are several.
COLUMNS = (
    *("base_checkpoints", "other_checkpoints", "evaluator", "dataset", "metric", "base", "other"),
    *("difference", "low", "high", "p", "test", "permutations", "family", "family_size"),
    *("p_adjusted", "verdict", "smallest_detectable", "low_seeds_and_images"),
    *("high_seeds_and_images", "unit", "n", "meaning", "protocol_id"),
)
TITLES = ("Metric", "Base", "Other", "Difference", "95 % interval", "p", "p, Holm", "verdict")
#: Over seeds, also the interval for new seeds and new images, and the smallest detectable change.
OVER_SEEDS = (*TITLES, "95 %, new seeds and images", "detectable")
#: The metrics of individual OOD sets that the page shows; the CSV file has all.
OOD_METRICS = ("auroc", "fpr_at_95_tpr")
#: Axes that labels omit because they rarely differ.
_HIDDEN_AXES = ("bins", "constants", "gradient")


def comparison_frame(pairs: Sequence[PairComparison]) -> pandas.DataFrame:
    """Return every row of some comparisons: `COLUMNS`, then the axes."""
    import pandas

    rows = [_cells(pair, row) for pair in pairs for row in pair.rows]
    axes = sorted({name for row in rows for name in row} - set(COLUMNS))
    table: pandas.DataFrame = pandas.DataFrame(rows, columns=[*COLUMNS, *axes], dtype=object)
    return table


def _cells(pair: PairComparison, row: MetricDifference) -> dict[str, Any]:
    at = {f"at_{name}" if name in COLUMNS else name: value for name, value in row.at.items()}
    fields = {name: getattr(row, name) for name in COLUMNS if hasattr(row, name)}
    return {
        **fields,
        "base_checkpoints": " ".join(pair.base),
        "other_checkpoints": " ".join(pair.others),
        "family_size": row.size,
        "p_adjusted": row.adjusted,
        "smallest_detectable": row.detectable,
        "low_seeds_and_images": row.both_low,
        "high_seeds_and_images": row.both_high,
        "meaning": pair.meaning,
        "protocol_id": text_id(row.protocol),
        **at,
    }


def compared_protocols(pairs: Sequence[PairComparison]) -> dict[str, str]:
    """Return the sentence of each protocol of some comparisons by its id."""
    sentences = dict.fromkeys(row.protocol for pair in pairs for row in pair.rows if row.protocol)
    return {text_id(sentence): sentence for sentence in sentences}


def family_rows(
    pair: PairComparison, family: str = HEADLINE, metrics: Sequence[str] = ()
) -> list[MetricDifference]:
    """Return the rows of a family that have a test; with `metrics`, only those metrics.

    This only filters what is shown: p-values are corrected over the whole family.
    """
    rows = [row for row in pair.rows if row.family == family and row.p is not None]
    return [row for row in rows if not metrics or row.metric in metrics]


def column_titles(pair: PairComparison) -> tuple[str, ...]:
    """Return the titles of a comparison's table."""
    return OVER_SEEDS if len(pair.base) > 1 else TITLES


def formatted_rows(pair: PairComparison, rows: Iterable[MetricDifference]) -> list[tuple[str, ...]]:
    """Return rows as text, one cell for each of `column_titles`."""
    return [_formatted(row)[: len(column_titles(pair))] for row in rows]


def _formatted(row: MetricDifference) -> tuple[str, ...]:
    entry = metric(row.metric, row.unit)
    return (
        _row_label(row),
        format_value(entry, row.base),
        format_value(entry, row.other),
        format_difference(entry, row.difference),
        format_interval(entry, row.low, row.high, sign=True),
        format_p_value(row.p),
        format_p_value(row.adjusted),
        format_verdict(entry, row.verdict),
        format_interval(entry, row.both_low, row.both_high, sign=True),
        format_difference(entry, row.detectable, sign=False),
    )


def _row_label(row: MetricDifference) -> str:
    """Return the metric and its axes, with the evaluator's name unless these contain it."""
    named = row.metric.startswith(row.evaluator) or row.evaluator in (*row.at, *row.at.values())
    return ", ".join([row.metric if named else f"{row.evaluator} {row.metric}", *axis_labels(row)])


def axis_labels(row: MetricDifference) -> list[str]:
    """Return the axes of a number as text, without those that rarely differ."""
    return [
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in row.at.items()
        if name not in _HIDDEN_AXES and (name, value) != ("temperature", 1.0)
    ]


def comparison_title(pair: PairComparison) -> str:
    """Return which networks are compared, and what the intervals refer to."""
    return f"{_networks(pair)} ({pair.meaning})"


def _networks(pair: PairComparison) -> str:
    return f"{', '.join(pair.others)} compared with {', '.join(pair.base)}"


def family_sizes(pair: PairComparison) -> dict[str, int]:
    """Return the number of tests in each family of a comparison."""
    return {row.family: row.size for row in pair.rows if row.family and row.size is not None}


@dataclass(frozen=True)
class PairTable:
    """Rows of a comparison as text."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class PairSection:
    """Two sides: their names, the tables of their differences, untested numbers.

    `arch` is their architecture, set only if another pair's sides have the same names, like the
    classifiers and the detectors of one method.
    """

    base: str
    other: str
    compared: PairComparison
    tables: tuple[PairTable, ...]
    untested: tuple[str, ...]
    arch: str = ""

    @property
    def title(self) -> str:
        """The names of the compared sides."""
        return f"{self.other} compared with {self.base}{self.arch and f' ({self.arch})'}"

    @property
    def networks(self) -> str:
        """The checkpoints of both sides."""
        return _networks(self.compared)


@dataclass(frozen=True)
class ComparisonSection:
    """Pairs of a study that were compared together; `files` links their CSV and LaTeX files."""

    study: str
    stored: ComparisonSet
    families: Mapping[str, int]
    pairs: tuple[PairSection, ...]
    files: tuple[tuple[str, str], ...]

    @property
    def title(self) -> str:
        """The origin of the comparison."""
        if self.stored.planned:
            return "Comparison planned in the study's file"
        several = f", {len(self.pairs)} pairs" if len(self.pairs) > 1 else ""
        return f"Comparison by sdd-eval compare{several}"


def comparison_sections(
    studies: Sequence[Path], results: pandas.DataFrame, page: Path
) -> tuple[list[ComparisonSection], list[str]]:
    """Return stored comparisons, with links relative to the folder `page`, and warnings."""
    sections, warnings = [], []
    for study, folder in named_studies(studies):
        stored, errors = load_comparisons(folder)
        rows = results[results["study"] == study]
        groups, archs = (_by_checkpoint(rows, column) for column in ("group", "arch"))
        for comparison in stored:
            if comparison.pairs:
                pairs = [_pair_section(pair, groups) for pair in comparison.pairs]
                distinct = _distinct_titles(pairs, archs)
                sections.append(_section(comparison, study, folder, distinct, page))
        warnings += [f"A comparison could not be read and was skipped: {e}" for e in errors]
    warnings += [
        f"A comparison of study {section.study} ({section.title}) is outdated: "
        f"{section.stored.outdated}. Run `sdd-eval compare` again to update it."
        for section in sections
        if section.stored.outdated
    ]
    return sections, warnings


def _section(
    stored: ComparisonSet, study: str, folder: Path, pairs: tuple[PairSection, ...], page: Path
) -> ComparisonSection:
    sizes: dict[str, int] = {}
    for pair in stored.pairs:
        sizes |= family_sizes(pair)
    ordered = dict(sorted(sizes.items(), key=lambda item: (item[0] != HEADLINE, item[0])))
    files = {kind: folder / FOLDER / f"{stored.name}.{kind.lower()}" for kind in ("CSV", "TeX")}
    links = tuple(
        (kind, Path(os.path.relpath(path, page)).as_posix())
        for kind, path in files.items()
        if path.is_file()
    )
    return ComparisonSection(study, stored, ordered, pairs, links)


def _pair_section(pair: PairComparison, groups: Mapping[str, str]) -> PairSection:
    base, other = (_side_name(side, groups) for side in (pair.base, pair.others))
    if base == other:
        base, other = (", ".join(side) for side in (pair.base, pair.others))
    return PairSection(
        base=base,
        other=other,
        compared=pair,
        tables=tuple(_pair_tables(pair)),
        untested=tuple(untested_lines(pair.rows)),
    )


def _by_checkpoint(results: pandas.DataFrame, column: str) -> dict[str, str]:
    known = results[results[column].notna()]
    return dict(zip(known["checkpoint"], known[column], strict=True))


def _distinct_titles(
    pairs: Sequence[PairSection], archs: Mapping[str, str]
) -> tuple[PairSection, ...]:
    """Distinguish pairs with equal titles: networks by checkpoint, groups by architecture."""
    counts = Counter(pair.title for pair in pairs)
    distinct = []
    for pair in pairs:
        networks = (*pair.compared.base, *pair.compared.others)
        if counts[pair.title] > 1 and len(networks) == 2:
            pair = replace(pair, base=networks[0], other=networks[1])
        elif counts[pair.title] > 1:
            pair = replace(pair, arch=_side_name(networks, archs))
        distinct.append(pair)
    return tuple(distinct)


def _side_name(side: Sequence[str], labels: Mapping[str, str]) -> str:
    return ", ".join(dict.fromkeys(labels.get(name, name) for name in side))


def _pair_tables(pair: PairComparison) -> Iterator[PairTable]:
    """Yield the table of the headline family, then those of other tested numbers by kind."""
    remaining = [row for row in pair.rows if row.p is not None and row.family]
    remaining = [row for row in remaining if "severity" not in row.at]
    kinds: dict[str, Callable[[MetricDifference], bool]] = {
        "Summaries of the networks": lambda row: row.family == HEADLINE,
        "Individual corruptions": lambda row: "corruption" in row.at,
        "Individual OOD sets": lambda row: "outliers" in row.at and row.metric in OOD_METRICS,
        "Other tested numbers": lambda row: True,
    }
    columns = (*column_titles(pair), "test", "images")
    for title, belongs in kinds.items():
        rows = _in_order([row for row in remaining if belongs(row)])
        remaining = [row for row in remaining if not belongs(row)]
        if rows:
            sizes = {row.family: row.size for row in rows if row.size is not None}
            families = " and ".join(f"{name}, {size} tests" for name, size in sizes.items())
            cells = zip(formatted_rows(pair, rows), rows, strict=True)
            lines = tuple((*line, row.test, f"{row.n:,}") for line, row in cells)
            yield PairTable(f"{title} (family {families})", columns, lines)


def _in_order(rows: Sequence[MetricDifference]) -> list[MetricDifference]:
    order = benchmark_order(str(row.at["corruption"]) for row in rows if "corruption" in row.at)
    rank = {name: index for index, name in enumerate(order)}
    metrics = list(dict.fromkeys((row.evaluator, row.metric) for row in rows))
    return sorted(
        rows,
        key=lambda row: (
            metrics.index((row.evaluator, row.metric)),
            rank.get(str(row.at.get("corruption")), 0),
        ),
    )
