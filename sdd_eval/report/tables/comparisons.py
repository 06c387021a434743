"""Comparisons as tables: CSV with every row, LaTeX and a terminal with those of the families."""

from __future__ import annotations

import hashlib
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
from sdd_eval.report.runs import named_studies
from sdd_eval.report.tables.latex import escaped, tabular

if TYPE_CHECKING:
    import pandas

#: The columns of a comparison's CSV before the axes; `base` and `other` are numbers, means over
#: seeds where there are several.
COLUMNS = (
    *("base_checkpoints", "other_checkpoints", "evaluator", "dataset", "metric", "base", "other"),
    *("difference", "low", "high", "p", "test", "permutations", "family", "family_size"),
    *("p_adjusted", "verdict", "smallest_detectable", "low_seeds_and_images"),
    *("high_seeds_and_images", "unit", "n", "meaning", "protocol"),
)
TITLES = ("Metric", "Base", "Other", "Difference", "95 % interval", "p", "p, Holm", "verdict")
#: Over seeds also what holds for new images at once, and what could have been found.
OVER_SEEDS = (*TITLES, "new seeds and images", "detectable")


def compared_frame(found: Sequence[PairComparison]) -> pandas.DataFrame:
    """Every row of some comparisons, tidy: the documented columns, then the axes."""
    import pandas

    rows = [_cells(each, row) for each in found for row in each.rows]
    axes = sorted({name for row in rows for name in row} - set(COLUMNS))
    table: pandas.DataFrame = pandas.DataFrame(rows, columns=[*COLUMNS, *axes], dtype=object)
    return table


def _cells(found: PairComparison, row: MetricDifference) -> dict[str, Any]:
    at = {f"at_{name}" if name in COLUMNS else name: value for name, value in row.at.items()}
    plain = {name: getattr(row, name) for name in COLUMNS if hasattr(row, name)}
    return {
        **plain,
        "base_checkpoints": " ".join(found.base),
        "other_checkpoints": " ".join(found.others),
        "family_size": row.size,
        "p_adjusted": row.adjusted,
        "smallest_detectable": row.detectable,
        "low_seeds_and_images": row.both_low,
        "high_seeds_and_images": row.both_high,
        "meaning": found.meaning,
        **at,
    }


def shown_rows(
    found: PairComparison, family: str = HEADLINE, metrics: Sequence[str] = ()
) -> list[MetricDifference]:
    """The rows of a family that have a test; with `metrics`, only those named.

    What is left out here was tested and corrected with the rest: sizes and p-values stay.
    """
    rows = [row for row in found.rows if row.family == family and row.p is not None]
    return [row for row in rows if not metrics or row.metric in metrics]


def titles_of(found: PairComparison) -> tuple[str, ...]:
    """The titles of a comparison's table."""
    return OVER_SEEDS if len(found.base) > 1 else TITLES


def lines_of(found: PairComparison, rows: Iterable[MetricDifference]) -> list[tuple[str, ...]]:
    """Rows as people read them, a cell for each title."""
    return [
        (
            place_of(row),
            f"{row.base:.4f}",
            f"{row.other:.4f}",
            _signed(row.difference),
            _interval(row.low, row.high),
            p_value(row.p),
            p_value(row.adjusted),
            row.verdict,
            _interval(row.both_low, row.both_high),
            "—" if row.detectable is None else f"{row.detectable:.4f}",
        )[: len(titles_of(found))]
        for row in rows
    ]


def place_of(row: MetricDifference) -> str:
    """The metric and where it holds, in words; the evaluator where these do not say it."""
    named = row.metric.startswith(row.evaluator) or row.evaluator in (*row.at, *row.at.values())
    return ", ".join([row.metric if named else f"{row.evaluator} {row.metric}", *places_of(row)])


def places_of(row: MetricDifference) -> list[str]:
    """Where a number holds, in words, without what hardly anybody asks for."""
    hidden = ("bins", "constants", "gradient")
    return [
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in row.at.items()
        if name not in hidden and (name, value) != ("temperature", 1.0)
    ]


def p_value(p: float | None) -> str:
    """A p-value in three digits.

    >>> p_value(0.04217), p_value(2e-7), p_value(None)
    ('0.0422', '2e-07', '—')
    """
    return "—" if p is None else f"{p:.3g}"


def _interval(low: float | None, high: float | None) -> str:
    return "—" if low is None or high is None else f"{_signed(low)} to {_signed(high)}"


def _signed(value: float) -> str:
    return f"{value:+.4f}".replace("-", "−")


def title_of(found: PairComparison) -> str:
    """Who is compared with whom, and what the intervals are about."""
    return f"{', '.join(found.others)} less {', '.join(found.base)} ({found.meaning})"


def sizes_of(found: PairComparison) -> dict[str, int]:
    """The families of a comparison with how many tests each holds."""
    return {row.family: row.size for row in found.rows if row.family and row.size is not None}


def compared_tex(found: PairComparison, family: str = HEADLINE) -> str:
    """A family as LaTeX (booktabs)."""
    lines = [
        [escaped(cell) for cell in line] for line in lines_of(found, shown_rows(found, family))
    ]
    size = sizes_of(found).get(family, 0)
    caption = (
        f"{title_of(found)}. Fractions; p adjusted by Holm's method within the family {family} of "
        f"{size} tests; a direction is told where it is at most .05 and the interval excludes 0."
    )
    # A paper has several of these tables, and each has a label of its own.
    label = f"compared-{family}-{hashlib.sha256(title_of(found).encode()).hexdigest()[:6]}"
    return tabular([escaped(each) for each in titles_of(found)], lines, caption, label, 1)


#: The metrics of single sets of outliers that have a place on the page; all are in the CSV.
OF_OUTLIERS = ("auroc", "fpr_at_95_tpr")


@dataclass(frozen=True)
class Table:
    """Rows of a comparison with their titles, a word each for what they are of and how many."""

    heading: str
    titles: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Pair:
    """Two sides: who they are, the headline's table, further ones, and what has none.

    `of` is their architecture, said where another pair's sides have the same names: a method's
    classifiers and its detectors.
    """

    base: str
    other: str
    found: PairComparison
    headline: Table
    further: tuple[Table, ...]
    untested: tuple[str, ...]
    of: str = ""

    @property
    def title(self) -> str:
        """Who is compared with whom."""
        return f"{self.other} less {self.base}{self.of and f' ({self.of})'}"

    @property
    def networks(self) -> str:
        """The checkpoints of both sides."""
        return f"{', '.join(self.found.others)} less {', '.join(self.found.base)}"


@dataclass(frozen=True)
class Shown:
    """Pairs that were compared together in a study; `files` are their CSV and LaTeX, as links."""

    study: str
    kept: ComparisonSet
    families: Mapping[str, int]
    pairs: tuple[Pair, ...]
    files: tuple[tuple[str, str], ...]

    @property
    def title(self) -> str:
        """Who asked for it."""
        if self.kept.planned:
            return "As the study's file asks"
        several = f", {len(self.pairs)} pairs" if len(self.pairs) > 1 else ""
        return f"As sdd-eval compare was asked{several}"


def compared_of(
    studies: Sequence[Path], results: pandas.DataFrame, page: Path
) -> tuple[list[Shown], list[str]]:
    """What was compared in some studies, and lines on what is outdated or cannot be read.

    `page` is the folder of the page, from which links lead.
    """
    found, said = [], []
    for study, folder in named_studies(studies):
        kept, broken = load_comparisons(folder)
        of_study = results[results["study"] == study]
        labels, archs = (_told(of_study, what) for what in ("group", "arch"))
        found += [_shown(each, study, folder, labels, archs, page) for each in kept if each.pairs]
        said += [f"A comparison cannot be read and was skipped: {line}" for line in broken]
    for each in found:
        if each.kept.outdated:
            said.append(
                f"A comparison ({each.title}) is older than the runs of {each.study}: "
                f"{each.kept.outdated}. `sdd-eval compare` makes it again."
            )
    return found, said


def _shown(
    kept: ComparisonSet,
    study: str,
    folder: Path,
    labels: Mapping[str, str],
    archs: Mapping[str, str],
    page: Path,
) -> Shown:
    sizes: dict[str, int] = {}
    for each in kept.pairs:
        sizes |= sizes_of(each)
    files = {kind: folder / FOLDER / f"{kept.name}.{kind.lower()[:3]}" for kind in ("CSV", "TeX")}
    links = tuple(
        (kind, Path(os.path.relpath(path, page)).as_posix())
        for kind, path in files.items()
        if path.is_file()
    )
    pairs = _told_apart([_pair(each, labels) for each in kept.pairs], archs)
    return Shown(study, kept, dict(sorted(sizes.items(), key=_headline_first)), pairs, links)


def _headline_first(family: tuple[str, int]) -> tuple[bool, str]:
    return family[0] != HEADLINE, family[0]


def _pair(found: PairComparison, labels: Mapping[str, str]) -> Pair:
    base, other = (_named(side, labels) for side in (found.base, found.others))
    if base == other:
        base, other = (", ".join(side) for side in (found.base, found.others))
    return Pair(
        base=base,
        other=other,
        found=found,
        headline=_table(found, HEADLINE, shown_rows(found)),
        further=tuple(_further(found)),
        untested=tuple(untested_lines(found.rows)),
    )


def _told(results: pandas.DataFrame, what: str) -> dict[str, str]:
    """What a column says of each checkpoint; nothing of those of which it says nothing."""
    known = results[results[what].notna()]
    return dict(zip(known["checkpoint"], known[what], strict=True))


def _told_apart(pairs: Sequence[Pair], archs: Mapping[str, str]) -> tuple[Pair, ...]:
    """The pairs; those with one title are told by their checkpoints, groups by architecture."""
    counts = Counter(pair.title for pair in pairs)
    return tuple(each if counts[each.title] == 1 else _spelled_out(each, archs) for each in pairs)


def _spelled_out(pair: Pair, archs: Mapping[str, str]) -> Pair:
    networks = (*pair.found.base, *pair.found.others)
    if len(networks) == 2:
        return replace(pair, base=networks[0], other=networks[1])
    return replace(pair, of=_named(networks, archs))


def _named(side: Sequence[str], labels: Mapping[str, str]) -> str:
    """Networks by what they share; by their checkpoints where the report has none of them."""
    return ", ".join(dict.fromkeys(labels.get(name, name) for name in side))


def _table(found: PairComparison, heading: str, rows: Sequence[MetricDifference]) -> Table:
    titles = (*titles_of(found), "test", "images")
    lines = [
        (*line, row.test, f"{row.n:,}")
        for line, row in zip(lines_of(found, rows), rows, strict=True)
    ]
    return Table(heading, titles, tuple(lines))


def _further(found: PairComparison) -> Iterator[Table]:
    """A table of corruptions, one of sets of outliers, then what else families hold."""
    tested = [row for row in found.rows if row.p is not None and row.family != HEADLINE]
    left = [row for row in tested if row.family and "severity" not in row.at]
    kinds: dict[str, Callable[[MetricDifference], bool]] = {
        "Each corruption": lambda row: "corruption" in row.at,
        "Each set of outliers": lambda row: "outliers" in row.at and row.metric in OF_OUTLIERS,
        "Further numbers of families": lambda row: True,
    }
    for heading, belongs in kinds.items():
        rows = [row for row in left if belongs(row)]
        left = [row for row in left if not belongs(row)]
        if rows:
            families = " and ".join(f"{name}, {size} tests" for name, size in _sizes(rows).items())
            yield _table(found, f"{heading} (family {families})", _in_order(rows))


def _sizes(rows: Sequence[MetricDifference]) -> dict[str, int]:
    return {row.family: row.size for row in rows if row.size is not None}


def _in_order(rows: Sequence[MetricDifference]) -> list[MetricDifference]:
    """Metric by metric; corruptions as the benchmark lists them."""
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
