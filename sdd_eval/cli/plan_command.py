"""`sdd-eval plan STUDY`: how many seeds or images would reveal a difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import tyro

from sdd_eval import comparison
from sdd_eval.cli.flags import Reports, Threads, parse, study_folder
from sdd_eval.cli.terminal import table
from sdd_eval.device import set_threads
from sdd_eval.errors import InputError
from sdd_eval.metrics.formatting import format_difference
from sdd_eval.metrics.registry import metric
from sdd_eval.report.runs import read_runs
from sdd_eval.report.tables.groups import checkpoint_labels

if TYPE_CHECKING:
    from sdd_eval.comparison.records import MetricDifference


@dataclass(frozen=True)
class Flags:
    """Print how many seeds or images would reveal a difference, based on a study's comparisons."""

    study: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="STUDY")] = "default"
    """Name of the study."""
    difference: str = ""
    """Size of the difference, such as 0.005 or 0.5%; default: the observed one."""
    metrics: tuple[str, ...] = ()
    """Metrics to plan for; default: all metrics that summarise a network."""
    power: float = 0.8
    """Statistical power: probability of detecting a true difference of this size."""
    storage: Reports = field(default_factory=Reports)
    compute: Threads = field(default_factory=Threads)


def run(arguments: Sequence[str]) -> int:
    """Print a row for each compared number."""
    flags = parse(Flags, arguments, "plan")
    set_threads(flags.compute.threads)
    if not 0.5 <= flags.power < 1:
        raise InputError(f"--power is {flags.power:g}; it must be 0.5 or more and below 1")
    study = study_folder(flags.study, flags.storage.reports)
    change = _change(flags.difference)
    found = [*comparison.requirements(study, change, power=flags.power)]
    if not found:
        names = "two checkpoints" if flags.study == "default" else f"--study {flags.study}"
        raise InputError(f"{flags.study} has no comparison; run `sdd-eval compare` with {names}")
    chosen = [one for one in found if not flags.metrics or one.row.metric in flags.metrics]
    if not chosen:
        known = ", ".join(dict.fromkeys(one.row.metric for one in found))
        raise InputError(f"--metrics is {' '.join(flags.metrics)}; the compared ones are: {known}")
    header = ("metric", "base", "other", "to detect", "now", "needed")
    rows, labels = [one.row for one in chosen], checkpoint_labels(read_runs([study]).runs)
    print(table([_cells(one, rows, labels) for one in chosen], header))
    print(f"power {flags.power:g}, 95 % tests, not adjusted for several of them")
    return 0


def _change(text: str) -> float | None:
    """Parse the size of a difference."""
    try:
        value = float(text.rstrip("% ")) / (100 if "%" in text else 1) if text else None
    except ValueError:
        value = 0.0
    if value is not None and not 0 < value < float("inf"):
        raise InputError(f"--difference is {text}; it must be above 0, as 0.005 or 0.5%")
    return value


def _cells(
    one: comparison.Requirement, rows: Sequence[MetricDifference], labels: Mapping[str, str]
) -> tuple[str, ...]:
    row = one.row
    others = [other for other in rows if (other.evaluator, other.metric) == _name(row)]
    varied = [
        axis for axis in row.at if any(row.at[axis] != other.at.get(axis) for other in others)
    ]
    name = ", ".join([".".join(_name(row)), *(f"{axis} {row.at[axis]}" for axis in varied)])
    change = format_difference(metric(row.metric, row.unit), one.change, sign=False)
    needed = "no number" if one.needed is None else f"{one.needed:,} {one.unit}"
    sides = [labels.get(side[0], side[0]) for side in (one.base, one.others)]
    if sides[0] == sides[1]:  # two networks of one method
        sides = [side[0] + (" …" if len(side) > 1 else "") for side in (one.base, one.others)]
    return name, *sides, change, f"{one.n:,} {one.unit}", needed


def _name(row: MetricDifference) -> tuple[str, str]:
    return row.evaluator, row.metric
