"""Simulated coverage of the 95 % intervals over a grid of regimes; resumable.

    python tests/coverage/grid.py FOLDER                # simulate what is missing (hours)
    python tests/coverage/grid.py FOLDER --shard 0 2    # half of it, for one of two processes
    python tests/coverage/grid.py FOLDER --table FILE   # write the table of the documentation

Each regime is a population and a number of images. A line of `FOLDER/coverage.jsonl` holds, by
metric, how many of the samples' intervals held the truth, how many samples had no interval, and
the mean width; for numbers of one network and for paired differences of two.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import populations as p

from sdd_eval.comparison.differences import paired_differences
from sdd_eval.statistics.statistic import Statistic

LEVEL = 0.95
#: Samples of each number of images.
REPETITIONS = {200: 100, 1000: 100, 10_000: 50}


@dataclass
class Count:
    """Intervals of one metric in one regime."""

    inside: int = 0
    missing: int = 0
    total: int = 0
    width: float = 0.0

    def add(self, low: float | None, high: float | None, truth: float) -> None:
        """Count one interval; None or NaN is no interval."""
        self.total += 1
        if low is None or high is None or np.isnan(low):
            self.missing += 1
            return
        self.inside += int(low - 1e-9 <= truth <= high + 1e-9)
        self.width += high - low

    @property
    def coverage(self) -> float | None:
        """Return the share of intervals that contain the true value; None for too few intervals."""
        known = self.total - self.missing
        return self.inside / known if known >= self.total / 2 else None


@dataclass
class Regime:
    """A population, a number of images, and the counts by metric."""

    population: Any
    n: int
    single: dict[str, Count] = field(default_factory=dict)
    paired: dict[str, Count] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What identifies the regime in the results."""
        return f"{self.n} images: {self.population.name}"

    def simulate(self, repetitions: int) -> None:
        """Draw samples and count how often their intervals hold the truth."""
        random = np.random.default_rng(zlib.crc32(self.key.encode()))
        for _ in range(repetitions):
            first, second = self.population.draw(random, self.n)
            self._count_single(first)
            self._count_paired(first, second)

    def _count_single(self, statistics: list[Statistic]) -> None:
        truths = self.population.truths[0]
        for statistic in (one for one in statistics if not one.untested):
            intervals = statistic.intervals(LEVEL, lambda cost: 200)
            for quantity, interval in zip(statistic.quantities, intervals, strict=True):
                if name := p.name_of(quantity):
                    count = self.single.setdefault(name, Count())
                    count.add(interval.low, interval.high, truths[name])

    def _count_paired(self, first: list[Statistic], second: list[Statistic]) -> None:
        one, two = self.population.truths
        pairs = [
            (a, b) for a, b in zip(first, second, strict=False) if not a.untested and _same(a, b)
        ]
        result = paired_differences(pairs, [199] * len(pairs))
        for (statistic, _), rows in zip(pairs, result, strict=True):
            for quantity, row in zip(statistic.quantities, rows, strict=True):
                if name := p.name_of(quantity):
                    count = self.paired.setdefault(name, Count())
                    count.add(row.low, row.high, two[name] - one[name])


def _same(first: Statistic, second: Statistic) -> bool:
    names = [[quantity.metric for quantity in one.quantities] for one in (first, second)]
    return names[0] == names[1]


ACCURACIES, OVER = (0.5, 0.9, 0.99, 0.999), (0.0, 0.01, 0.05, 0.15)
OUTLIERS, SEPARATIONS = (20, 50, 200, 5000), (0.0, 1.0, 3.0, 12.0)
KINDS = ("normal", "ties", "saturated")


def regimes() -> Iterator[Regime]:
    """Yield every regime of the grid."""
    for n, accuracy in product(REPETITIONS, ACCURACIES):
        for over in OVER:
            yield Regime(p.Classification(accuracy, over, "smooth"), n)
        for kind in KINDS[1:]:
            yield Regime(p.Classification(accuracy, 0.05, kind), n)
        for correlation, kind in product((0.5, 0.9), ("reserved", "calibrated")):
            yield Regime(p.Cells(accuracy, correlation, kind), n)
    for n, m, separation, kind in product(REPETITIONS, OUTLIERS, SEPARATIONS, KINDS):
        yield Regime(p.Ranking(separation, kind, n, m), n)


def hardest() -> Iterator[Regime]:
    """Yield a tenth of the grid: few images or few errors, ties and saturation."""
    yield Regime(p.Cells(0.5, 0.9), 200)
    yield Regime(p.Cells(0.5, 0.9, "calibrated"), 1000)
    for accuracy in (0.99, 0.999):
        yield Regime(p.Classification(accuracy, 0.0, "smooth"), 200)
        yield Regime(p.Classification(accuracy, 0.05, "saturated"), 1000)
        yield Regime(p.Cells(accuracy, 0.9), 200)
    yield Regime(p.Cells(0.9, 0.9), 1000)
    yield Regime(p.Classification(0.9, 0.0, "ties"), 200)
    yield Regime(p.Classification(0.9, 0.01, "smooth"), 1000)
    for n, accuracy, over, kind in (
        (200, 0.5, 0.0, "smooth"),
        (200, 0.5, 0.05, "saturated"),
        (200, 0.9, 0.01, "smooth"),
        (200, 0.99, 0.15, "smooth"),
        (200, 0.999, 0.05, "saturated"),
        (1000, 0.5, 0.05, "ties"),
        (1000, 0.5, 0.05, "saturated"),
        (1000, 0.9, 0.05, "ties"),
    ):
        yield Regime(p.Classification(accuracy, over, kind), n)
    yield Regime(p.Ranking(3.0, "normal", 1000, 50), 1000)
    for m, separation, kind in (
        (20, 0.0, "normal"),
        (20, 12.0, "normal"),
        (50, 3.0, "normal"),
        (200, 1.0, "ties"),
        (200, 3.0, "saturated"),
        (5000, 0.0, "ties"),
    ):
        yield Regime(p.Ranking(separation, kind, 200, m), 200)


def run(folder: Path, shard: int = 0, shards: int = 1) -> None:
    """Simulate every regime of a shard that the folder does not have yet."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "coverage.jsonl"
    known = {line["regime"] for line in _lines(path)}
    for regime in list(regimes())[shard::shards]:
        if regime.key not in known:
            regime.simulate(REPETITIONS[regime.n])
            counts = {
                which: {name: asdict(count) for name, count in of.items()}
                for which, of in (("single", regime.single), ("paired", regime.paired))
            }
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"regime": regime.key, **counts}) + "\n")
            print(regime.key, flush=True)


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def table(folder: Path) -> str:
    """Return the table of the documentation: the lowest coverages of each metric, and where."""
    lines = _lines(folder / "coverage.jsonl")
    rows = [
        "| number | regimes | lowest | in | median | without interval |",
        "|---|---|---|---|---|---|",
    ]
    for which, suffix in (("single", ""), ("paired", ", paired difference")):
        names = dict.fromkeys(name for line in lines for name in line[which])
        for name in names:
            counts = {
                line["regime"]: Count(**line[which][name]) for line in lines if name in line[which]
            }
            known = {key: c.coverage for key, c in counts.items() if c.coverage is not None}
            without = len(counts) - len(known)
            if not known:
                rows.append(f"| `{name}`{suffix} | {len(counts)} | – | – | – | {without} |")
                continue
            worst = min(known, key=lambda key: known[key])
            median = float(np.median(list(known.values())))
            rows.append(
                f"| `{name}`{suffix} | {len(counts)} | {known[worst]:.3f} | {worst} | "
                f"{median:.3f} | {without} |"
            )
    return "\n".join(rows) + "\n"


def main() -> None:
    """Simulate, or write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shard", type=int, nargs=2, default=(0, 1), metavar=("INDEX", "NUMBER"))
    parser.add_argument("--table", type=Path)
    arguments = parser.parse_args()
    if arguments.table:
        arguments.table.write_text(table(arguments.folder), encoding="utf-8")
    else:
        run(arguments.folder, *arguments.shard)


if __name__ == "__main__":
    main()
