"""Measure the golden numbers through the command line; as a program, write them to `expected/`.

    python tests/golden/make.py              # only after a change of behaviour that is intended
    python tests/golden/make.py --intervals  # after a change of intervals alone

Five networks of `checkpoints/` are measured on the digits: cross-entropy (`ce-0`, `ce-1`) and
SD-Dropout with λ = 1 (`sdd-0`, `sdd-1`), two seeds each, and SD-Dropout with 300 validation images
(`validated`). Corrupted digits are rendered on the fly; those of a set of thirty lie on disk.
Numbers are keyed by what they are: checkpoint, metric and axes. No text is pinned.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from scipy import stats

HERE = Path(__file__).parent
CHECKPOINTS, EXPECTED = HERE / "checkpoints", HERE / "expected"
MINI = HERE.parent / "fixtures/format_1/data/mini"
FOUR = ("ce-0", "ce-1", "sdd-0", "sdd-1")

#: Public names that have changed since the golden files were made: old name → new name.
#: Metrics and columns by name, axes as EVALUATOR.AXIS.
RENAMED_METRICS: dict[str, str] = {
    "ece_calibrated": "ece_floor",
    "audit_both_right": "n_both_correct",
}
RENAMED_AXES: dict[str, str] = {
    "fgsm.reading": "variant",
    "mask_variance.drop": "drop_rate",
    "selective.detector": "score",
}
RENAMED_COLUMNS: dict[str, str] = {}

SMALL = ("--limit", "20")
#: Every evaluator on all four networks, in the study that is compared: command → flags.
COMPARED = {
    "accuracy": ("--limit", "60"),
    "calibration": ("--limit", "60"),
    "selective": SMALL,
    "fgsm": (*SMALL, "--epsilon", "0.1", "--curve", "0.05"),
    "attack": (*SMALL, "--steps", "5", "--eps", "0.1"),
    "corruption": (*SMALL, "--baseline", "ce-0", "ce-1"),
    "odin": (*SMALL, "--outliers", "uniform"),
    "mask-variance": (*SMALL, "--outliers", "uniform"),
}
OUTLIERS = ("--outliers", "uniform", "photo_patches")
DETECTORS = ("odin", "msp", "max_logit", "energy", "entropy", "mahalanobis", "knn", "vim", "react")
#: The settings that need more time, and those that need validation images: name → command.
MORE = {
    "audit": (
        *("attack", "sdd-0", "--limit", "10", "--audit", "--transfer-from", "ce-0"),
        *("--steps", "3", "--restarts", "1", "--parameters", "n_queries=10"),
    ),
    "calibration-validated": ("calibration", "validated", "--limit", "60"),
    "corruption-nineteen": ("corruption", "validated", "--dataset", "mini"),
    "fgsm-validated": ("fgsm", "validated", *SMALL, "--epsilon", "0.1", "--curve", "0.05"),
    "odin-grid": ("odin", "validated", *SMALL, "--grid", *OUTLIERS),
    "ood": ("ood", "ce-0", "sdd-0", *SMALL, *OUTLIERS, "--detectors", *DETECTORS),
    "selective-corrupted": (
        *("selective", "validated", "--limit", "20", "--corrupted", "digits_c_regenerated"),
    ),
}
#: What a report's tables are made of; these evaluators have no figures, which take long to draw.
REPORTED = {
    "accuracy": COMPARED["accuracy"],
    "mask-variance": COMPARED["mask-variance"],
}
COMPARISONS = {"compared-networks": ("ce-0", "sdd-0"), "compared-seeds": FOUR}

#: Columns that identify a row of the tables, and columns with its numbers. Prose is in neither.
IDENTITY = {
    "compared": ("base_checkpoints", "other_checkpoints", "evaluator", "dataset", "metric"),
    "results": ("checkpoint", "evaluator", "dataset", "metric"),
    "summary": ("method", "sd_dropout", "dataset", "arch", "evaluator", "metric"),
}
NUMBERS = {
    "measured": ("value", "low", "high", "level", "n"),
    "compared": (
        *("base", "other", "difference", "low", "high", "p", "permutations", "family_size"),
        *("p_adjusted", "smallest_detectable", "low_seeds_and_images", "high_seeds_and_images"),
        "n",
    ),
    "results": ("value", "low", "high", "level", "n", "sd_dropout", "seed"),
    "summary": ("mean", "std", "n", "images"),
}
#: Columns of the tables that are neither: all others are axes.
OTHER = (
    *("study", "method", "sd_dropout", "dataset", "arch", "seed", "unit", "limited", "protocol"),
    *("protocol_id", "fitted", "data", "group", "setting", "test_set", "fingerprint", "run"),
    *("note", "interval", "interval_id", "test", "family", "verdict", "meaning"),
)

#: A row's identity, then its numbers by column as text, empty where there is none.
Table = dict[tuple[str, ...], dict[str, str]]


def command_line(*arguments: str) -> str:
    """Run a command of `sdd-eval` in this process and return what it prints."""
    from sdd_eval.cli import main

    output, handler = io.StringIO(), signal.getsignal(signal.SIGTERM)
    try:
        with contextlib.redirect_stdout(output):
            main(list(arguments))
    except SystemExit as ended:
        if ended.code != 0:
            raise RuntimeError(f"sdd-eval {' '.join(arguments)} exits with {ended.code}") from ended
    finally:
        signal.signal(signal.SIGTERM, handler)
    return output.getvalue()


class Measured:
    """The golden numbers as the installed package computes them, each table on first use."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reports = ("--reports", str(folder / "reports"), "--threads", "1")
        self.data = ("--data-root", str(folder / "data"))

    def corrupt(self) -> None:
        """Write the corrupted set of thirty digits, in all nineteen corruptions."""
        shutil.copytree(MINI, self.folder / "data/mini")
        command_line("data", "corrupt", "mini", "--threads", "1", *self.data)

    def evaluated(self, study: str, command: str, *flags: str) -> Table:
        """The measurements that an evaluator prints as JSON."""
        output = command_line(
            *(command, *flags, "--study", study, "--resamples", "100", "--json"),
            *("--checkpoints", str(CHECKPOINTS), "--device", "cpu", "--cache", "off"),
            *self.reports,
            *self.data,
        )
        return measurements(output)

    def compared(self, *networks: str) -> Table:
        """The rows of a comparison's CSV."""
        output = command_line(
            "compare", *networks, "--study", "compared", "--no-figures", *self.reports
        )
        path = next(Path(line) for line in output.splitlines() if line.endswith(".csv"))
        return rows(path, "compared")

    def report(self) -> dict[str, Table]:
        """The tables `results` and `summary` of a report."""
        for command, flags in REPORTED.items():
            self.evaluated("reported", command, *FOUR, *flags)
        page = Path(command_line("report", "reported", *self.reports).strip())
        return {n: rows(page.with_name(f"{n}.csv"), n) for n in ("results", "summary")}

    def tables(self) -> Iterator[tuple[str, Table]]:
        """All tables by name, in the order in which they build on one another."""
        self.corrupt()
        for command, flags in COMPARED.items():
            yield command, self.evaluated("compared", command, *FOUR, *flags)
        for name, arguments in MORE.items():
            yield name, self.evaluated("more", *arguments)
        for name, networks in COMPARISONS.items():
            yield name, self.compared(*networks)
        yield from self.report().items()


def measurements(output: str) -> Table:
    """The measurements of a run, or a list of runs, that were printed as JSON."""
    return _unique(_measurements(output))


def rows(path: Path, kind: str) -> Table:
    """The rows of a CSV: of a comparison (`compared`), or of a report's `results` or `summary`."""
    return _unique(_rows(path, kind))


def _unique(rows: Iterable[tuple[tuple[str, ...], dict[str, str]]]) -> Table:
    """Rows as a table; an identity that two rows share would hide one of them."""
    result: Table = {}
    for key, numbers in rows:
        assert key not in result, f"two rows are {key}"
        result[key] = numbers
    return result


def _measurements(output: str) -> Iterator[tuple[tuple[str, ...], dict[str, str]]]:
    content = json.loads(output)
    for run in content if isinstance(content, list) else [content]:
        for item in run["measurements"]:
            key = (run["checkpoint"], item["metric"], _at(item["at"].items()))
            numbers = {"n": run["n"], **item}
            yield key, {name: _text(numbers.get(name)) for name in NUMBERS["measured"]}


def _rows(path: Path, kind: str) -> Iterator[tuple[tuple[str, ...], dict[str, str]]]:
    identity, numbers = (_new(RENAMED_COLUMNS, item[kind]) for item in (IDENTITY, NUMBERS))
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            axes = {k: v for k, v in row.items() if v and k not in (*identity, *numbers, *OTHER)}
            key = (*(_axis(row[name]) for name in identity), _at(axes.items()))
            old = NUMBERS[kind]
            yield key, {o: _text(row[new]) for o, new in zip(old, numbers, strict=True)}


def _new(renamed: Mapping[str, str], names: Iterable[str]) -> tuple[str, ...]:
    return tuple(renamed.get(name, name) for name in names)


def _at(axes: Iterable[tuple[str, object]]) -> str:
    """Return the axes of a number as one text, with the shortest form of each value."""
    return "; ".join(f"{name}={_axis(value)}" for name, value in sorted(axes))


def _axis(value: object) -> str:
    with contextlib.suppress(TypeError, ValueError):
        return f"{float(value):g}"  # type: ignore[arg-type]
    return str(value)


def _text(value: object) -> str:
    """A number with twelve digits; empty where there is none."""
    return "" if value is None or value == "" else f"{float(value):.12g}"  # type: ignore[arg-type]


def write(path: Path, table: Table) -> None:
    """Write a table as CSV: the parts of the identity without a title, then the numbers."""
    columns = list(next(iter(table.values())))
    width = len(next(iter(table)))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*[""] * width, *columns])
        writer.writerows([*key, *numbers.values()] for key, numbers in table.items())


def read(name: str, folder: Path = EXPECTED) -> Table:
    """Return a golden table under the present names of metrics and axes."""
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    width = header.count("")
    return {
        _renamed(name, tuple(row[:width])): dict(zip(header[width:], row[width:], strict=True))
        for row in rows
    }


def _renamed(table: str, key: tuple[str, ...]) -> tuple[str, ...]:
    """Return an identity under the present names; its last two parts are metric and axes."""
    *others, metric, at = key
    named = [item for item in others if item.replace("_", "-") in COMPARED]
    command = table if table in COMPARED else MORE.get(table, (table.partition("-")[0],))[0]
    evaluator = named[0] if named else command.replace("-", "_")
    axes = (item.partition("=")[::2] for item in at.split("; ") if item)
    today = [(RENAMED_AXES.get(f"{evaluator}.{name}", name), value) for name, value in axes]
    return (*others, RENAMED_METRICS.get(metric, metric), _at(today))


def differences(measured: Table, golden: Table, tolerance: Callable[[str], float]) -> Iterator[str]:
    """Return a line for each number that is missing, new, or outside its metric's tolerance."""
    yield from (f"{' '.join(key)} is missing" for key in golden if key not in measured)
    yield from (f"{' '.join(key)} is new" for key in measured if key not in golden)
    for key in (key for key in golden if key in measured):
        for column, expected in golden[key].items():
            value, allowed = measured[key][column], tolerance(key[-2])
            if column == "p" and len(seeds := key[0].split()) > 1:
                allowed += _followed(measured[key], golden[key], len(seeds))
            if not _same(value, expected, allowed):
                yield f"{' '.join(key)}: {column} is {value or 'empty'}, not {expected or 'empty'}"


def _followed(measured: Mapping[str, str], golden: Mapping[str, str], seeds: int) -> float:
    """Return how far the p-value of Welch's test may move because its two means have moved.

    Its t is their difference over its standard error, which is at least the half-width of the
    interval over the quantile of the fewest degrees of freedom, and |dp/dt| is at most 2 · pdf(0),
    below 0.8. It is 0 for means that have not moved.
    """
    if "" in (row[name] for row in (measured, golden) for name in ("base", "other", "low", "high")):
        return 0.0
    moved = sum(abs(float(measured[name]) - float(golden[name])) for name in ("base", "other"))
    half = (float(golden["high"]) - float(golden["low"])) / 2
    return 0.8 * moved * float(stats.t.ppf(0.975, seeds - 1)) / half if half else 0.0


def _same(value: str, expected: str, allowed: float) -> bool:
    """Return whether two numbers agree; a missing number must be missing in both."""
    if "" in (value, expected):
        return value == expected
    return math.isclose(float(value), float(expected), rel_tol=allowed, abs_tol=allowed)


#: The columns of intervals, which change when their method does, without the numbers.
INTERVALS = ("low", "high", "level", "low_seeds_and_images", "high_seeds_and_images")


def with_intervals(name: str, measured: Table, folder: Path = EXPECTED) -> None:
    """Rewrite the intervals of a golden table; refuse changes of other numbers."""
    golden = read(name, folder)
    other = [line for line in differences(measured, golden, lambda metric: 1e-6) if _else(line)]
    assert not other, "\n".join(other)
    path = folder / f"{name}.csv"
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    width = header.count("")
    for row in rows:
        numbers = measured[_renamed(name, tuple(row[:width]))]
        for column in range(width, len(header)):
            if header[column] in INTERVALS:
                row[column] = numbers[header[column]]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def _else(line: str) -> bool:
    """Return whether a difference concerns more than an interval."""
    return not any(f": {column} is " in line for column in INTERVALS)


def main() -> None:
    """Rewrite every golden table; with `--intervals` only the intervals."""
    os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp()
    EXPECTED.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, table in Measured(Path(folder)).tables():
            if sys.argv[1:] == ["--intervals"]:
                with_intervals(name, table)
            else:
                write(EXPECTED / f"{name}.csv", table)


if __name__ == "__main__":
    main()
