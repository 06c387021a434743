"""`sdd-eval paper [STUDY…]`: measured numbers beside the paper's, table by table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from sdd_eval.cli.flags import Threads, limit, parse, table
from sdd_eval.errors import InputError
from sdd_eval.store import plain_name

if TYPE_CHECKING:
    from sdd_eval.paper.comparison import Beside
    from sdd_eval.paper.rows import Line
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
    folders = [flags.reports / plain_name("study", name) for name in flags.study]
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
    """Print and write the tables of a part; the names of the tables of each empty cell."""
    from sdd_eval.paper.latex import latex
    from sdd_eval.paper.rows import TITLES, frame, lines
    from sdd_eval.report.tables.csv_file import to_csv
    from sdd_eval.store import write_text

    besides = _besides(part)
    if part.record is not None:
        for line in part.record.warnings:
            print(f"note: {line}")
    for number in part.tables:
        of_table = [each for each in besides if each.number.table == number]
        print(f"\nTable {number}. {TITLES[number]}")
        print(_told(lines(of_table)))
        folder = part.into / "paper"
        write_text(folder / f"table-{number}.csv", to_csv(frame(of_table)))
        write_text(folder / f"table-{number}.tex", latex(number, of_table))
    print(f"\n{part.into / 'paper'}: each table as CSV and as LaTeX (booktabs)")
    return [f"table {e.number.table}" for e in besides if not e.measured.n]


def _besides(part: Part) -> list[Beside]:
    """The numbers of the part's tables beside what its studies measured."""
    from sdd_eval.paper.comparison import StandIns, set_beside
    from sdd_eval.paper.tables import paper_numbers
    from sdd_eval.report.runs import collect
    from sdd_eval.report.tables.groups import recipe_of
    from sdd_eval.report.tables.results import tidy
    from sdd_eval.store import run_paths

    numbers = [each for each in paper_numbers() if each.table in part.tables]
    folders = [folder for folder in part.folders if run_paths(folder)]
    runs = collect(folders).runs if folders else ()
    ins = StandIns(part.record.names, part.record.stands_for) if part.record else None
    recipes = {found.name: recipe_of(found) for found in runs}
    return list(set_beside(tidy(runs), recipes, ins, numbers))


def _told(of_table: Sequence[Line]) -> str:
    """A table for a terminal, and below it what its signs mean."""
    from sdd_eval.paper.rows import place, shown

    rows = []
    for line in of_table:
        number, beside = line.beside.number, line.beside
        spread = shown(number, beside.measured.std)
        here = shown(number, beside.measured.mean) + ("" if spread == "—" else f" ± {spread}")
        rows.append(
            (
                number.dataset,
                number.model,
                number.method + (" + sdd" if number.sd_dropout else ""),
                number.metric,
                place(number),
                shown(number, number.value) + ("*" if line.leads else " "),
                here + ("*" if line.measured_leads else " "),
                str(beside.measured.n),
                shown(number, beside.difference, sign=True),
                beside.judged.verdict,
            )
        )
    head = ("data", "network", "method", "metric", "at", "paper ", "here ", "n", "Δ", "")
    return "\n".join([table(rows, head), *_legend(of_table)])


def _legend(of_table: Sequence[Line]) -> Iterable[str]:
    """Units, the best, how it is read, wrong bold type, why numbers are not comparable."""
    from sdd_eval.paper.rows import READ_AS

    yield "rates in %; * the real best of those compared; n seeds; Δ measured less paper"
    for table_number in dict.fromkeys(line.beside.number.table for line in of_table):
        if table_number in READ_AS:
            yield f"read as: {READ_AS[table_number]}"
    wrong = [line.beside.number for line in of_table if line.wrongly_bold]
    if wrong:
        cells = ", ".join(f"{each.at['outliers']} {each.metric}" for each in wrong)
        yield f"the paper prints SD-Dropout in bold where CE is better: {cells}"
    why = dict.fromkeys(reason for line in of_table for reason in line.beside.judged.why)
    if why:
        yield f"not comparable, or too few: {'; '.join(why)}"
