"""`sdd-eval paper [STUDY…]`: measured numbers beside the paper's, table by table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from sdd_eval.cli.flags import Threads, limit, parse, table
from sdd_eval.errors import InputError
from sdd_eval.paper import PaperComparison, compare_with_paper, paper_numbers
from sdd_eval.paper.comparison import Substitutes
from sdd_eval.paper.rendering import (
    INTERPRETATIONS,
    TITLES,
    Cell,
    cells,
    comparison_frame,
    format_conditions,
    format_number,
    latex_table,
)
from sdd_eval.store import folder_name

if TYPE_CHECKING:
    from sdd_eval.studies.study import StudyRecord


@dataclass(frozen=True)
class Flags:
    """Which studies and tables, and where they lie."""

    study: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="STUDY…")] = ()
    """Names of studies; by default all but small ones."""
    tables: tuple[int, ...] = ()
    """Tables of the paper, 1 to 14; by default those that the studies are of."""
    complete: bool = False
    """Exit with 1 where a cell of these tables is empty."""
    reports: Path = Path("reports")
    """Where studies lie."""
    work: Threads = field(default_factory=Threads)


@dataclass(frozen=True)
class Part:
    """Studies whose numbers go into the same tables, and the folder that these are written to."""

    folders: tuple[Path, ...]
    into: Path
    record: StudyRecord | None
    tables: tuple[int, ...]


def run(arguments: Sequence[str]) -> int:
    """Print each table and write it as CSV and LaTeX; two words have flags of their own."""
    if arguments and arguments[0] == "claims":
        from sdd_eval.cli.paper_claims import run_claims

        return run_claims(arguments[1:])
    if arguments and arguments[0] == "figure-1":
        from sdd_eval.cli.paper_figure import run_figure

        return run_figure(arguments[1:])
    title = (
        "Measured numbers beside the paper's, table by table. `sdd-eval paper claims` measures "
        "what the text claims and no table shows, `sdd-eval paper figure-1` draws the methods."
    )
    flags = parse(Flags, arguments, "paper", title)
    limit(flags.work)
    empty = [cell for part in _parts(flags) for cell in _shown(part)]
    if flags.complete and empty:
        print(f"{len(empty)} cells are empty: {', '.join(dict.fromkeys(empty))}")
        return 1
    return 0


def _parts(flags: Flags) -> list[Part]:
    """The small studies each by itself, all others together."""
    from sdd_eval.studies.study import read_study_record

    wrong = [number for number in flags.tables if not 1 <= number <= 14]
    if wrong:
        raise InputError(f"--tables has {wrong[0]}; the paper has tables 1 to 14")
    folders = [flags.reports / folder_name("study", name) for name in flags.study]
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"there is no study {folder.name} in {flags.reports}")
    records = {f: read_study_record(f) for f in folders or sorted(flags.reports.glob("*/"))}
    small = {f: r for f, r in records.items() if r is not None and r.small}
    large = [folder for folder in records if folder not in small]
    parts = [Part((f,), f, r, flags.tables or r.tables) for f, r in small.items() if folders]
    if large or not folders:
        of = {n for f in large if (r := records[f]) is not None for n in r.tables}
        asked = flags.tables or (tuple(sorted(of)) if folders else ()) or tuple(range(1, 15))
        into = large[0] if len(large) == 1 and folders else flags.reports
        parts.insert(0, Part(tuple(large), into, None, asked))
    return parts


def _shown(part: Part) -> list[str]:
    """Print and write the tables of a part; return the table of each empty cell."""
    from sdd_eval.report.tables.csv_file import to_csv
    from sdd_eval.store import write_text

    comparisons = _compared(part)
    if part.record is not None:
        for line in part.record.warnings:
            print(f"note: {line}")
    folder = part.into / "paper"
    for number in part.tables:
        of_table = [each for each in comparisons if each.number.table == number]
        print(f"\nTable {number}. {TITLES[number]}")
        print(_printed(cells(of_table)))
        write_text(folder / f"table-{number}.csv", to_csv(comparison_frame(of_table)))
        write_text(folder / f"table-{number}.tex", latex_table(number, of_table))
    print(f"\n{folder}: each table as CSV and as LaTeX (booktabs)")
    return [f"table {each.number.table}" for each in comparisons if not each.measured.n]


def _compared(part: Part) -> list[PaperComparison]:
    """Compare the numbers of the part's tables with what its studies measured."""
    from sdd_eval.report.runs import collect
    from sdd_eval.report.tables.groups import recipe_of
    from sdd_eval.report.tables.results import tidy
    from sdd_eval.store import run_paths

    numbers = [number for number in paper_numbers() if number.table in part.tables]
    folders = [folder for folder in part.folders if run_paths(folder)]
    runs = collect(folders).runs if folders else ()
    record = part.record
    substitutes = Substitutes(record.names, record.stands_for) if record else None
    recipes = {run.name: recipe_of(run) for run in runs}
    return list(compare_with_paper(tidy(runs), recipes, substitutes, numbers))


def _printed(of_table: Sequence[Cell]) -> str:
    """Format a table for the terminal, with its legend below."""
    rows = []
    for cell in of_table:
        number, measured = cell.comparison.number, cell.comparison.measured
        std = format_number(number, measured.std)
        mean = format_number(number, measured.mean) + ("" if std == "—" else f" ± {std}")
        rows.append(
            (
                number.dataset,
                number.model,
                number.method + (" + sdd" if number.sd_dropout else ""),
                number.metric,
                format_conditions(number),
                format_number(number, number.value) + ("*" if cell.paper_best else " "),
                mean + ("*" if cell.measured_best else " "),
                str(measured.n),
                format_number(number, cell.comparison.difference, sign=True),
                cell.comparison.assessment.verdict,
            )
        )
    head = ("data", "network", "method", "metric", "at", "paper ", "measured ", "n", "Δ", "")
    return "\n".join([table(rows, head), *_legend(of_table)])


def _legend(of_table: Sequence[Cell]) -> Iterable[str]:
    """Return the units, the interpretation, wrong bold type and reasons against comparing."""
    yield "rates in %; * best of the numbers compared; n: seeds; Δ: measured − paper"
    for number in dict.fromkeys(cell.comparison.number.table for cell in of_table):
        if number in INTERPRETATIONS:
            yield f"interpreted as: {INTERPRETATIONS[number]}"
    wrong = [cell.comparison.number for cell in of_table if cell.wrongly_bold]
    if wrong:
        names = ", ".join(f"{number.at['outliers']} {number.metric}" for number in wrong)
        yield f"the paper prints SD-Dropout in bold where CE is better: {names}"
    reasons = dict.fromkeys(r for cell in of_table for r in cell.comparison.assessment.reasons)
    if reasons:
        yield f"not comparable, or too few seeds: {'; '.join(reasons)}"
