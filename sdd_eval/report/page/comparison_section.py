"""The page's section of what was compared, as it lies in the studies: nothing is computed here."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sdd_eval.comparison.families import HEADLINE
from sdd_eval.comparison.records import Compared, Row
from sdd_eval.comparison.run_statistics import untested
from sdd_eval.comparison.store import FOLDER, Kept, comparisons_of
from sdd_eval.figures.rows import in_order
from sdd_eval.report.runs import named_studies
from sdd_eval.report.tables.comparisons import lines_of, shown_rows, sizes_of, titles_of

if TYPE_CHECKING:
    import pandas

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
    found: Compared
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
    kept: Kept
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
        kept, broken = comparisons_of(folder)
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
    kept: Kept,
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


def _pair(found: Compared, labels: Mapping[str, str]) -> Pair:
    base, other = (_named(side, labels) for side in (found.base, found.others))
    if base == other:
        base, other = (", ".join(side) for side in (found.base, found.others))
    return Pair(
        base=base,
        other=other,
        found=found,
        headline=_table(found, HEADLINE, shown_rows(found)),
        further=tuple(_further(found)),
        untested=tuple(untested(found.rows)),
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


def _table(found: Compared, heading: str, rows: Sequence[Row]) -> Table:
    titles = (*titles_of(found), "test", "images")
    lines = [
        (*line, row.test, f"{row.n:,}")
        for line, row in zip(lines_of(found, rows), rows, strict=True)
    ]
    return Table(heading, titles, tuple(lines))


def _further(found: Compared) -> Iterator[Table]:
    """A table of corruptions, one of sets of outliers, then what else families hold."""
    tested = [row for row in found.rows if row.p is not None and row.family != HEADLINE]
    left = [row for row in tested if row.family and "severity" not in row.at]
    kinds: dict[str, Callable[[Row], bool]] = {
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


def _sizes(rows: Sequence[Row]) -> dict[str, int]:
    return {row.family: row.size for row in rows if row.size is not None}


def _in_order(rows: Sequence[Row]) -> list[Row]:
    """Metric by metric; corruptions as the benchmark lists them."""
    order = in_order(str(row.at["corruption"]) for row in rows if "corruption" in row.at)
    rank = {name: index for index, name in enumerate(order)}
    metrics = list(dict.fromkeys((row.evaluator, row.metric) for row in rows))
    return sorted(
        rows,
        key=lambda row: (
            metrics.index((row.evaluator, row.metric)),
            rank.get(str(row.at.get("corruption")), 0),
        ),
    )
