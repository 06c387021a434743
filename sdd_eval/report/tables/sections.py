"""The tables of the page: for each evaluator and comparison, places down and groups across."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from sdd_eval.comparison.matching import comparable_protocol
from sdd_eval.figures.selection import group_names, where
from sdd_eval.metrics.corruption import NINETEEN
from sdd_eval.report.formatting import exact, setting
from sdd_eval.report.tables.summary import SUMMARY, Comparison

if TYPE_CHECKING:
    import pandas

#: Evaluators of this package in the order of the page, with their headings.
HEADINGS = {
    "accuracy": "Accuracy",
    "calibration": "Calibration",
    "selective": "Selective prediction",
    "fgsm": "Adversarial robustness: FGSM",
    "attack": "Adversarial robustness: attacks and their audit",
    "corruption": "Robustness to corruption",
    "odin": "Out-of-distribution detection: ODIN",
    "ood": "Out-of-distribution detection",
    "history": "Gradients during training",
}


@dataclass(frozen=True)
class Line:
    """One number at one place: metric, axes, a cell a group, and how it was measured."""

    metric: str
    unit: str
    places: tuple[str, ...]
    cells: tuple[str, ...]
    images: str
    protocol: str
    data: str
    official: bool


@dataclass(frozen=True)
class Grid:
    """A table: the axes that occur, the groups, and the lines.

    `seeds` is the number of networks behind every cell, None where cells have their own.
    """

    axes: tuple[str, ...]
    groups: tuple[str, ...]
    lines: tuple[Line, ...]
    seeds: int | None = None

    @property
    def told(self) -> str:
        """What the cells are, in words."""
        if self.seeds == 1:
            return "of one network each"
        over = "(number of seeds)" if self.seeds is None else f"over {self.seeds} seeds"
        return f"mean ± standard deviation {over}"


def evaluators(results: pd.DataFrame) -> list[str]:
    """The evaluators of a table: this package's in their order, then strangers' by name."""
    rank = {name: index for index, name in enumerate(HEADINGS)}
    names = [str(name) for name in results["evaluator"].unique()]
    return sorted(names, key=lambda name: (rank.get(name, len(rank)), name))


def heading(evaluator: str) -> str:
    """What a section is called."""
    return HEADINGS.get(evaluator, evaluator)


#: What a line shows of each mean, besides where it holds.
_SHOWN = ["group", "mean", "std", "n", "images", "limited", "data", "protocol"]


def grid(summary: pd.DataFrame, protocols: Protocols) -> Grid:
    """The table of some rows of a summary."""
    if summary.empty:
        return Grid((), (), ())
    groups = group_names(summary)
    axes = [str(name) for name in summary.columns if name not in SUMMARY]
    axes = [name for name in axes if summary[name].notna().any()]
    if summary["dataset"].nunique() > 1:
        axes = ["dataset", *axes]
    keys = ["metric", "unit", *axes]
    counts = {int(n) for n in summary["n"]}
    seeds = counts.pop() if len(counts) == 1 else None
    lines = [
        _line(dict(zip(keys, key, strict=True)), alike, axes, groups, protocols, seeds)
        for key, alike in _alike(summary[[*keys, *_SHOWN]], keys).items()
    ]
    lines.sort(key=_corruption_order(axes))
    return Grid(tuple(axes), tuple(groups), tuple(lines), seeds)


def _corruption_order(axes: Sequence[str]) -> Any:
    """Corruptions as the benchmark lists them; every other row stays where it is."""
    rank = {name: index for index, name in enumerate(NINETEEN)}
    place = axes.index("corruption") if "corruption" in axes else None

    def key(line: Line) -> int:
        return -1 if place is None else rank.get(line.places[place], -1)

    return key


def _alike(summary: pd.DataFrame, keys: Sequence[str]) -> dict[Any, list[dict[str, Any]]]:
    """The rows of a summary by their place, as plain dictionaries: much quicker than groupby."""
    found: dict[Any, list[dict[str, Any]]] = {}
    for row in summary.to_dict("records"):
        place = tuple(None if row[key] != row[key] else row[key] for key in keys)
        found.setdefault(place, []).append({str(name): value for name, value in row.items()})
    return found


def _line(
    place: Mapping[str, Any],
    alike: Sequence[Mapping[str, Any]],
    axes: Sequence[str],
    groups: Sequence[str],
    protocols: Protocols,
    seeds: int | None,
) -> Line:
    """One line: the cell of each group, several values where protocols or images differ."""
    cells = []
    for group in groups:
        own = [row for row in alike if row["group"] == group]
        texts = [exact(row["mean"], row["std"], row["n"] if seeds is None else None) for row in own]
        cells.append(" | ".join(texts) or "—")
    images = sorted({_images(row) for row in alike})
    data = sorted({str(row["data"]) for row in alike})
    return Line(
        metric=str(place["metric"]),
        unit=str(place["unit"]),
        places=tuple(setting(place[axis]) for axis in axes),
        cells=tuple(cells),
        images=" | ".join(images),
        protocol=" ".join(
            protocols.mark(str(each)) for each in dict.fromkeys(row["protocol"] for row in alike)
        ),
        data=" | ".join(data),
        official=not any(flagged(each) for each in data)
        and not any(row["limited"] for row in alike),
    )


def _images(row: Mapping[str, Any]) -> str:
    return f"{row['images']:,}{' (limited)' if row['limited'] else ''}"


def flagged(data: str) -> list[str]:
    """The parts of "NAME: origin; …" that are not their publisher's own, complete and verified.

    "made here" (noise, patches) is what such a set is by definition, so it is not flagged.
    """
    return [part for part in data.split("; ") if not part.endswith((": official", ": made here"))]


def by_origin(parts: Sequence[str]) -> list[str]:
    """The same parts, those of one origin together: "NAME, NAME: origin".

    >>> by_origin(["a: user's folder", "b: regenerated", "c: user's folder"])
    ["a, c: user's folder", 'b: regenerated']
    """
    named: dict[str, list[str]] = {}
    for part in parts:
        name, _, origin = part.partition(": ")
        named.setdefault(origin, []).append(name)
    return [f"{', '.join(names)}: {origin}" for origin, names in named.items()]


def overall(summary: pd.DataFrame) -> pd.DataFrame:
    """The rows of a summary that are not of a single bin or severity."""
    single = [name for name in ("bin", "severity") if name in summary]
    chosen: pd.DataFrame = summary[summary[single].isna().all(axis=1)]
    return chosen


@dataclass(frozen=True)
class Section:
    """What the page says of one evaluator in one comparison."""

    comparison: Comparison
    grid: Grid


def sections(
    compared: Sequence[Comparison],
    evaluator: str,
    protocols: Protocols,
    without: Mapping[int, Collection[str]] | None = None,
) -> list[Section]:
    """The tables of an evaluator, one a comparison that has rows of it.

    `without` names, by the place of a comparison, metrics that are shown elsewhere.
    """
    found = []
    for index, comparison in enumerate(compared):
        if (comparison.results["evaluator"] == evaluator).any():
            rows = where(comparison.summary, evaluator=evaluator)
            shown = rows["metric"].isin((without or {}).get(index, ()))
            found.append(Section(comparison, grid(rows[~shown], protocols)))
    return found


#: So many protocols of an evaluator are written out.
FEW = 12


def _letter(index: int) -> str:
    """a to z, then aa, ab …

    >>> _letter(1), _letter(26), _letter(53)
    ('b', 'aa', 'bb')
    """
    before, last = divmod(index, 26)
    return (_letter(before - 1) if before else "") + chr(ord("a") + last)


class Protocols:
    """The protocols of a table, numbered P1, P2 … evaluator by evaluator."""

    def __init__(self, results: pandas.DataFrame, evaluators: list[str]) -> None:
        """Number the protocols in the order of the page's sections."""
        self.of_evaluator: dict[str, dict[str, list[str]]] = {name: {} for name in evaluators}
        pairs = results[["evaluator", "protocol", "metric"]].drop_duplicates()
        for evaluator, protocol, metric in pairs.itertuples(index=False, name=None):
            metrics = self.of_evaluator[str(evaluator)].setdefault(
                comparable_protocol(str(protocol)), []
            )
            if metric not in metrics:
                metrics.append(str(metric))
        every = [text for texts in self.of_evaluator.values() for text in texts]
        self.number = {text: index + 1 for index, text in enumerate(dict.fromkeys(every))}

    def mark(self, protocol: str) -> str:
        """The number of a protocol, e.g. "P3"; empty where there is none."""
        kind = comparable_protocol(protocol)
        return f"P{self.number[kind]}" if kind and kind in self.number else ""

    def parts(self, evaluator: str) -> dict[str, str]:
        """The parts that several protocols of an evaluator have, each with a letter.

        Nothing where there are few protocols, which are better read as they are.
        """
        texts = self.of_evaluator[evaluator]
        if len(texts) <= FEW:
            return {}
        counted = Counter(part for text in texts for part in text.split("; "))
        several = [part for part, count in counted.items() if count > 1]
        return {part: _letter(index) for index, part in enumerate(several)}

    def told(self, protocol: str, parts: Mapping[str, str]) -> str:
        """A protocol with the letters of the parts that have one."""
        return "; ".join(parts.get(part, part) for part in protocol.split("; "))

    def first(self, protocol: str, evaluator: str) -> bool:
        """Whether an evaluator is the first that measures by a protocol."""
        owners = (name for name, texts in self.of_evaluator.items() if protocol in texts)
        return next(owners, None) == evaluator
