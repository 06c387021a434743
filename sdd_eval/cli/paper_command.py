"""`sdd-eval paper [STUDY…]`, `paper claims`, `paper figure-1` and `proposition`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sdd_eval import figures, plugins, report, training
from sdd_eval.cli.flags import Reports, Studies, Threads, parse, study_folder
from sdd_eval.cli.paper_claims import run_claims
from sdd_eval.cli.terminal import table
from sdd_eval.device import set_threads
from sdd_eval.errors import InputError
from sdd_eval.metrics.names import display_name
from sdd_eval.paper import compare_with_paper, paper_numbers, rendering
from sdd_eval.paper.comparison import Substitutes
from sdd_eval.paper.figure_1 import draw_methods
from sdd_eval.paper.proposition import check_proposition
from sdd_eval.report.latex.files import table_files
from sdd_eval.report.latex.printed import printed_table
from sdd_eval.report.runs import read_runs
from sdd_eval.report.tables.csv_file import to_csv
from sdd_eval.report.tables.groups import recipe_of
from sdd_eval.report.tables.results import tidy
from sdd_eval.store import run_paths, write_bytes, write_text
from sdd_eval.studies import StudyRecord, read_study_record

#: Methods of the paper, in its order, followed by other installed methods.
PAPER_METHODS = ("ce", "ls", "dropout", "cs_kd", "ddgsd", "byot", "dml")
#: Largest relative error of autograd with respect to Lemma 1's closed form, in float64.
TOLERANCE = 1e-10


@dataclass(frozen=True)
class Flags:
    """Compare measured numbers with the tables of the paper.

    `sdd-eval paper claims` checks the claims in its text; `sdd-eval paper figure-1` draws its
    Figure 1.
    """

    study: Studies = ()
    """Names of studies; default: all except small ones."""
    tables: tuple[int, ...] = ()
    """Tables of the paper (1 to 14); default: those that the studies reproduce."""
    complete: bool = False
    """Exit with code 1 if a number in these tables was not measured."""
    storage: Reports = field(default_factory=Reports)
    compute: Threads = field(default_factory=Threads)


@dataclass(frozen=True)
class PropositionFlags:
    """Check Lemma 1 and Proposition 1 of the paper's section 3.3 numerically."""

    storage: Reports = field(default_factory=Reports)
    compute: Threads = field(default_factory=Threads)


@dataclass(frozen=True)
class FigureFlags(PropositionFlags):
    """Draw the paper's Figure 1: inputs, modules and loss terms of each method."""

    sd_dropout: bool = True
    """Also draw cross-entropy with the SD-Dropout term, the paper's method."""


@dataclass(frozen=True)
class _Part:
    """Studies that fill the same tables, and the folder that the tables are written to."""

    folders: tuple[Path, ...]
    into: Path
    record: StudyRecord | None
    tables: tuple[int, ...]


def run(arguments: Sequence[str]) -> int:
    """Print each table and write it as CSV and LaTeX, or call one of the two subcommands."""
    if arguments and arguments[0] == "claims":
        return run_claims(arguments[1:])
    if arguments and arguments[0] == "figure-1":
        return _draw_figure_1(arguments[1:])
    flags = parse(Flags, arguments, "paper")
    set_threads(flags.compute.threads)
    empty = [cell for part in _parts(flags) for cell in _print_tables(part)]
    if flags.complete and empty:
        print(f"{len(empty)} cells are empty: {', '.join(dict.fromkeys(empty))}")
        return 1
    return 0


def _parts(flags: Flags) -> list[_Part]:
    """Return each small study separately, and all others together."""
    wrong = [number for number in flags.tables if not 1 <= number <= 14]
    if wrong:
        raise InputError(f"--tables has {wrong[0]}; the paper has tables 1 to 14")
    reports = flags.storage.reports
    folders = [study_folder(name, reports) for name in flags.study]
    records = {f: read_study_record(f) for f in folders or sorted(reports.glob("*/"))}
    small = {f: r for f, r in records.items() if r is not None and r.small}
    large = [folder for folder in records if folder not in small]
    parts = [_Part((f,), f, r, flags.tables or r.tables) for f, r in small.items() if folders]
    if large or not folders:
        numbers = {n for f in large if (r := records[f]) is not None for n in r.tables}
        tables = flags.tables or (tuple(sorted(numbers)) if folders else ()) or tuple(range(1, 15))
        into = large[0] if len(large) == 1 and folders else reports
        parts.insert(0, _Part(tuple(large), into, None, tables))
    return parts


def _print_tables(part: _Part) -> list[str]:
    """Print and write the tables of a part; return, for each empty cell, its table."""
    numbers = [number for number in paper_numbers() if number.table in part.tables]
    folders = [folder for folder in part.folders if run_paths(folder)]
    runs = read_runs(folders).runs if folders else ()
    record = part.record
    substitutes = Substitutes(record.names, record.stands_for) if record else None
    recipes = {run.name: recipe_of(run) for run in runs}
    comparisons = compare_with_paper(tidy(runs), recipes, substitutes, numbers)
    for line in record.warnings if record else ():
        print(f"note: {line}")
    folder = part.into / "paper"
    for number in part.tables:
        of_table = [cell for cell in comparisons if cell.number.table == number]
        print(f"\nTable {number}. {rendering.TITLES[number]}")
        print(_table(rendering.cells(of_table)))
        write_text(folder / f"table-{number}.csv", to_csv(rendering.comparison_frame(of_table)))
        for name, text in table_files([printed_table(number, of_table)]).items():
            write_text(folder / name, text)
    print(f"\n{folder}: each table as CSV and as LaTeX (booktabs)")
    return [f"table {cell.number.table}" for cell in comparisons if not cell.measured.n]


def _table(of_table: Sequence[rendering.Cell]) -> str:
    rows = []
    for cell in of_table:
        number, measured = cell.comparison.number, cell.comparison.measured
        std = rendering.format_number(number, measured.std)
        mean = rendering.format_number(number, measured.mean) + ("" if std == "—" else f" ± {std}")
        rows.append(
            (
                number.dataset,
                number.model,
                number.method + (" + sdd" if number.sd_dropout else ""),
                number.metric,
                rendering.format_conditions(number),
                rendering.format_number(number, number.value) + ("*" if cell.paper_best else " "),
                mean + ("*" if cell.measured_best else " "),
                str(measured.n),
                rendering.format_number(number, cell.comparison.difference, sign=True),
                cell.comparison.verdict,
            )
        )
    head = ("data", "network", "method", "metric", "at", "paper ", "measured ", "n", "Δ", "")
    return "\n".join([table(rows, head), *_legend(of_table)])


def _legend(of_table: Sequence[rendering.Cell]) -> Iterable[str]:
    """Yield units, interpretation, incorrect bold type and reasons not to compare."""
    yield "rates in %; * best of the numbers compared; n: seeds; Δ: measured − paper"
    for number in dict.fromkeys(cell.comparison.number.table for cell in of_table):
        if number in rendering.INTERPRETATIONS:
            yield f"interpreted as: {rendering.INTERPRETATIONS[number]}"
    wrong = [cell.comparison.number for cell in of_table if cell.wrongly_bold]
    if wrong:
        names = ", ".join(f"{number.at['outliers']} {number.metric}" for number in wrong)
        yield f"the paper prints SD-Dropout in bold where CE is better: {names}"
    reasons = dict.fromkeys(r for cell in of_table for r in cell.comparison.reasons)
    if reasons:
        yield f"not comparable, or too few seeds: {'; '.join(reasons)}"


def _draw_figure_1(arguments: Sequence[str]) -> int:
    flags = parse(FigureFlags, arguments, "paper figure-1")
    set_threads(flags.compute.threads)
    installed = plugins.names("methods")
    names = [name for name in PAPER_METHODS if name in installed]
    names += [name for name in installed if name not in PAPER_METHODS]
    panels = {display_name(n): training.method_summary(n) for n in names}
    if flags.sd_dropout:
        panels = {"SD-Dropout": training.method_summary("ce", sd_dropout=1.0), **panels}
    for kind, content in figures.figure_files(draw_methods(panels), ("pdf", "svg")).items():
        path = flags.storage.reports / "paper" / f"figure-1.{kind}"
        write_bytes(path, content)
        print(path)
    return 0


def run_proposition(arguments: Sequence[str]) -> int:
    """Check both, write the page and print the result; return 1 if either does not hold."""
    flags = parse(PropositionFlags, arguments, "proposition")
    set_threads(flags.compute.threads)
    proposition, lemma = check_proposition(), training.check_lemma_1()
    folder = flags.storage.reports / "proposition"
    page = report.write_proposition(folder, proposition, lemma)
    exact = max(lemma.values()) < TOLERANCE
    print(f"Lemma 1 {'holds' if exact else 'FAILS'}: relative error {max(lemma.values()):.1e}")
    print(
        f"Proposition 1 {'holds' if proposition.holds else 'FAILS'} on {proposition.k.size:,} "
        f"points: least k(r)/r² {proposition.k.min():.3g}"
    )
    print(page)
    return 0 if exact and proposition.holds else 1
