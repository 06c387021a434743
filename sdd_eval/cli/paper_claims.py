"""`sdd-eval paper claims [STUDY…]`: a verdict on each of the paper's claims."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sdd_eval import cli, report
from sdd_eval.cli.flags import Compute, Reports, Studies, parse, study_folder
from sdd_eval.cli.terminal import table
from sdd_eval.cli.verbosity import Verbosity
from sdd_eval.device import prepare_device
from sdd_eval.errors import InputError
from sdd_eval.paper import claim_details, claim_rendering
from sdd_eval.paper.claim_commands import with_commands
from sdd_eval.paper.claim_details import Row
from sdd_eval.paper.claim_groups import group_rows, groups_markdown
from sdd_eval.paper.claims import paper_claims
from sdd_eval.paper.evidence import Evidence, collect_evidence, cost_evidence
from sdd_eval.paper.evidence_table import evidence_frame, read_evidence, with_earlier
from sdd_eval.paper.sides import study_sides
from sdd_eval.paper.verdicts import Judgement, counts, decisive, judge
from sdd_eval.report.runs import RunCollection, read_runs
from sdd_eval.report.tables.csv_file import to_csv
from sdd_eval.report.tables.groups import recipe_of
from sdd_eval.report.tables.results import tidy
from sdd_eval.report.tables.summary import comparable_results, summarise
from sdd_eval.store import warn_of_damage, write_text
from sdd_eval.studies import StudyRecord, read_study_record
from sdd_eval.validation import FROM_1, bounded

if TYPE_CHECKING:
    import pandas

    from sdd_eval.training.analysis.cost import Cost

#: The file with the values of both sides, seed by seed.
EVIDENCE = "claims-evidence.csv"


@dataclass(frozen=True)
class CostFlags:
    """How the training cost of the methods is measured."""

    cost: bool = True
    """Measure the training cost of each method relative to cross-entropy."""
    arch: str = "resnet18w16"
    """Network to train, on random images of 32 × 32 pixels."""
    batch_size: int = bounded(64, FROM_1)
    """Images per batch."""
    steps: int = bounded(2, FROM_1)
    """Training steps in each repetition."""
    repetitions: int = bounded(6, FROM_1)
    """Repetitions of the measurement; the methods take turns."""
    precision: str = "float32"
    """float32 or bf16."""


@dataclass(frozen=True)
class Flags:
    """Judge each of the paper's claims by the results of studies and the training cost here."""

    study: Studies = ()
    """Names of studies, e.g. paper-miniature; default: none, so that only the cost is judged."""
    training: CostFlags = field(default_factory=CostFlags)
    storage: Reports = field(default_factory=Reports)
    compute: Compute = field(default_factory=Compute)
    output: Verbosity = field(default_factory=Verbosity)


def run_claims(arguments: Sequence[str]) -> int:
    """Print the claims that were tested and their verdicts; write page, CSV, LaTeX and more."""
    flags = parse(Flags, arguments, "paper claims")
    reports = flags.storage.reports
    folders = [study_folder(name, reports) for name in flags.study]
    evidence: list[Evidence] = []
    details: dict[str, Sequence[Row]] = {}
    records: Mapping[str, StudyRecord] = {}
    into = (folders[0] if len(folders) == 1 else reports) / "paper"
    if folders:
        evidence, details, records = _of_studies(folders)
        evidence = with_earlier(paper_claims(), evidence, _earlier_evidence(into))
    if flags.training.cost:
        costs = _costs(flags)
        evidence += cost_evidence(paper_claims(), costs)
        details["cost"] = claim_details.cost_rows(costs)
    notes = [line for record in records.values() for line in record.warnings]
    titles = [record.title or name for name, record in records.items()]
    claims = with_commands(paper_claims(), [folder.name for folder in folders])
    judged = judge(claims, evidence)
    print_and_write(judged, details, list(dict.fromkeys(notes)), titles, into)
    return 0


def _costs(flags: Flags) -> tuple[Cost, ...]:
    cost = flags.training
    device = prepare_device(flags.compute.device, flags.compute.threads)
    with cli.Bar("cost: ") as bar:
        return claim_details.measure_methods(
            *(cost.arch, cost.batch_size, cost.precision),
            steps=cost.steps,
            turns=cost.repetitions,
            device=device,
            progress=bar,
        )


def _earlier_evidence(folder: Path) -> list[Evidence]:
    """Return the evidence that an earlier call wrote; none if there is no readable file."""
    import pandas

    path = folder / EVIDENCE
    if not path.is_file():
        return []
    try:
        return read_evidence(pandas.read_csv(path))
    except (InputError, ValueError, LookupError) as error:  # pandas' own are ValueErrors
        reason = " ".join(str(error).split())
        warn_of_damage(InputError(f"{path} cannot be read: {reason}"), "it is written again")
        return []


def _of_studies(
    folders: Sequence[Path],
) -> tuple[list[Evidence], dict[str, Sequence[Row]], Mapping[str, StudyRecord]]:
    """Return the evidence of studies, their tables of details, and their records by name."""
    collection = read_runs(folders)
    results = tidy(collection.runs)
    names = dict.fromkeys(entry.study for entry in collection.runs)
    records = {folder.name: read_study_record(folder) for folder in folders}
    sides = {name: study_sides(records.get(name), _recipes(collection, name)) for name in names}
    evidence = collect_evidence(paper_claims(), results, sides, collection.arrays)
    known = {name: record for name, record in records.items() if record is not None}
    plain = {name for one in sides.values() for name in one.plain}
    return evidence, _details(collection, results, plain), known


def _recipes(collection: RunCollection, study: str) -> dict[str, Mapping[str, object]]:
    """Return the recipe of each checkpoint of a study, except imported ones."""
    runs = (entry for entry in collection.runs if entry.study == study)
    recipes = {entry.run.checkpoint: recipe_of(entry) for entry in runs}
    return {name: recipe for name, recipe in recipes.items() if recipe is not None}


def _details(
    collection: RunCollection, results: pandas.DataFrame, plain: Set[str]
) -> dict[str, Sequence[Row]]:
    """Return the tables of mask variance and corruptions for which the studies have rows.

    Corruption results are compared with those of `plain`, the networks trained with cross-entropy
    alone.
    """
    tables = [comparable.results for comparable in comparable_results(results)]
    summaries = [summarise(table[table["evaluator"] == "mask_variance"]) for table in tables]
    arrays = collection.arrays
    details = {
        "variance": [r for summary in summaries for r in claim_details.mask_variance_rows(summary)],
        "corruptions": [
            r for one in tables for r in claim_details.corruption_rows(one, arrays, plain)
        ],
    }
    return {name: rows for name, rows in details.items() if rows}


def print_and_write(
    judged: Sequence[Judgement],
    details: Mapping[str, Sequence[Row]],
    notes: Sequence[str],
    titles: Sequence[str],
    into: Path,
) -> None:
    """Print the verdicts and the tables of details, and write everything into a folder."""
    import pandas

    decided = decisive(judged)
    rows = claim_rendering.claim_rows(judged, decided)
    evidence = [one.evidence for one in judged if one.evidence]
    for line in notes:
        print(f"note: {line}")
    print(_claims_table(rows) if evidence else "no claim was tested")
    for name, of_details in details.items():
        print(f"\n{claim_details.TITLES[name]}\n{_details_table(name, of_details)}")
        write_text(into / f"claims-{name}.csv", to_csv(pandas.DataFrame(of_details)))
    number = counts(decided)
    print("\n" + ", ".join(f"{verdict}: {count}" for verdict, count in number.items() if count))
    write_text(into / "claims.csv", to_csv(claim_rendering.claims_frame(judged)))
    write_text(into / EVIDENCE, to_csv(evidence_frame(evidence)))
    write_text(into / "claims.tex", claim_rendering.claims_latex(rows))
    write_text(into / "claims.md", groups_markdown(decided))
    content = [claim_rendering.judgement_record(one) for one in judged]
    write_text(into / "claims.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    page = report.write_claims(into, rows, group_rows(decided), number, details, notes, titles)
    print(f"{page}; beside it claims.csv, .tex, .json, .md, and the evidence as CSV")


def _claims_table(rows: Sequence[claim_rendering.ClaimRow]) -> str:
    """Return the table of tested claims, with a line for each study."""
    head = ("claim", "printed", "study", "measured", "n", "difference", "95 %", "verdict")
    cells = [
        (
            row.claim.id,
            row.printed,
            *(one.study, one.values, one.seeds, one.difference, one.interval, one.verdict),
        )
        for row in rows
        for one in row.measured
    ]
    reasons = [
        f"{row.claim.id}, {one.study}: {one.reason}"
        for row in rows
        for one in row.measured
        if one.reason
    ]
    return "\n".join([table(cells, head), *reasons])


def _details_table(name: str, rows: Sequence[Row]) -> str:
    """Return a table of details: cost, variance, or how many corruptions were won and lost."""
    if name == "corruptions":
        return "\n".join(claim_details.won_and_lost(rows))
    cells = [claim_details.detail_cells(name, row) for row in rows]
    return table([list(record.values()) for record in cells], list(cells[0]))
