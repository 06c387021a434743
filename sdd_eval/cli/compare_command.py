"""`sdd-eval compare [BASE OTHER…]`: paired differences between networks, with tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from sdd_eval import cli, comparison, report, store, studies
from sdd_eval.cli import gate
from sdd_eval.cli.flags import Reports, Threads, parse, study_folder
from sdd_eval.cli.gate import GateFlags
from sdd_eval.cli.terminal import print_warnings, say, table
from sdd_eval.cli.verbosity import Verbosity
from sdd_eval.device import set_threads
from sdd_eval.errors import InputError, unknown_name
from sdd_eval.former_names import renamed_metric
from sdd_eval.metrics import registry

if TYPE_CHECKING:
    from sdd_eval.comparison.records import PairComparison


@dataclass(frozen=True)
class Flags:
    """Compare networks on the same images: paired differences, intervals and tests."""

    checkpoint: Annotated[
        tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="BASE OTHER…")
    ] = ()
    """Checkpoints, the first of which is the base; seeds of one recipe form a group. Default: the
    pairs under [[compare]] in the study file."""
    study: str = "default"
    """Name of the study whose runs are compared."""
    test: Literal["mid-p", "exact"] = "mid-p"
    """Variant of McNemar's test; exact is more conservative."""
    family: tuple[str, ...] = ("headline",)
    """Families to print; all families are tested and written as CSV."""
    metrics: tuple[str, ...] = ()
    """Metrics to print; default: all. p-values are always adjusted over the whole family."""
    figures: bool = True
    """Draw the figures of these checkpoints as PDF, SVG and PNG."""
    gate: GateFlags = field(default_factory=GateFlags)
    storage: Reports = field(default_factory=Reports)
    compute: Threads = field(default_factory=Threads)
    output: Verbosity = field(default_factory=Verbosity)


def run(arguments: Sequence[str]) -> int:
    """Compare, write the results to the study's folder and print them; return the exit code."""
    flags = parse(Flags, arguments, "compare")
    _check_gate(flags.gate)
    set_threads(flags.compute.threads)
    study = study_folder(flags.study, flags.storage.reports)
    families = comparison.study_families(study)
    for name in flags.family:
        if name not in families:
            known = ", ".join(families)
            raise InputError(f"--family is {name}; the families of this study are: {known}")
    flags = dataclasses.replace(flags, metrics=_metrics(flags.metrics, study))
    with cli.Bar() as bar:
        if flags.checkpoint:
            result = comparison.compare(study, flags.checkpoint, test=flags.test, progress=bar)
        else:
            result = comparison.compare_planned(study, test=flags.test, progress=bar)
    print_warnings(_warnings(study, result.pairs))
    results = gate.judged(study, result.pairs, _gates(flags, study))
    code = gate.exit_code(results)
    if flags.gate.json:
        print(gate.write(results, flags.gate))
        return code
    written = report.write_comparison(study, result, flags.family, figures=flags.figures)
    for pair in result.pairs:
        say("\n".join(_lines(pair, flags)))
    notes = [f"note: {line}" for line in comparison.unmatched_selectors(study, result.pairs)]
    notes += [f"not compared: {line}" for line in result.without]
    for note in notes:
        say(note)
    print("\n".join(map(str, written)))
    if results:
        print(f"\n{gate.write(results, flags.gate)}")
    return code


def _warnings(study: Path, pairs: Sequence[PairComparison]) -> Iterator[str]:
    """Yield each warning of the compared runs once, with the first checkpoint that has it."""
    names = dict.fromkeys(name for pair in pairs for name in (*pair.base, *pair.others))
    first: dict[str, str] = {}
    for name in names:
        for stored in comparison.load_runs(study, name):
            for text in stored.run.provenance.warnings or ():
                first.setdefault(text, name)
    yield from (f"{name}: {text}" for text, name in first.items())


def _gates(flags: Flags, study: Path) -> tuple[studies.Gate, ...]:
    """Return the conditions given as flags, or else those of the study file for its own pairs."""
    if flags.gate.fail_if:
        return (studies.Gate(flags.gate.fail_if, flags.gate.undecided),)
    record = None if flags.checkpoint else studies.read_study_record(study)
    return record.gates if record else ()


def _check_gate(flags: GateFlags) -> None:
    """Reject gate options without conditions, and invalid conditions."""
    options = {"undecided": flags.undecided, "json": flags.json, "junit": flags.junit}
    options["format github"] = flags.format != "text"
    given = next((name for name, value in options.items() if value), None)
    if given and not flags.fail_if:
        raise InputError(f"--{given} needs conditions: --fail-if CONDITION")
    for text in flags.fail_if:
        comparison.parse_condition(text)


def _metrics(names: Sequence[str], study: Path) -> tuple[str, ...]:
    """Return metrics by their current names; raise InputError if one is neither known nor measured.

    Evaluators from other packages may have unregistered metrics.
    """
    registered = {one.name for metrics in registry.registered().values() for one in metrics}
    metrics = tuple(map(renamed_metric, names))
    unknown = [name for name in metrics if name not in registered | registry.built_in().keys()]
    if unknown:
        runs = (run for _, run in store.readable_runs(store.run_paths(study)))
        measured = {number.metric for run in runs for number in run.measurements}
        for name in unknown:
            if name not in measured:
                raise unknown_name("metric", name, measured)
    return metrics


def _lines(pair: PairComparison, flags: Flags) -> Iterator[str]:
    yield f"\n{report.comparison_title(pair)}"
    for family in flags.family:
        size = report.family_sizes(pair).get(family, 0)
        yield f"family {family}: {size} tests, adjusted together (Holm–Bonferroni)"
        rows = report.family_rows(pair, family, flags.metrics)
        if rows:
            titles = report.column_titles(pair)
            labels, *columns = zip(*report.formatted_rows(pair, rows), strict=True)
            metrics, _, axes = zip(*(label.partition(", ") for label in labels), strict=True)
            cells = [*zip(metrics, *columns, axes, strict=True)]
            yield table(cells, (*titles, ""), (titles[0], "Difference"))
    yield from (f"not compared: {line}" for line in pair.apart)
    rows = [row for row in pair.rows if not flags.metrics or row.metric in flags.metrics]
    yield from (f"not tested: {line}" for line in comparison.untested_lines(rows))
