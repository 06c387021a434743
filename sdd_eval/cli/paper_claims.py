"""`sdd-eval paper claims [STUDY…]`: claims of the paper's text that no table reports."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sdd_eval import cli
from sdd_eval.cli.flags import Compute, Reports, Studies, parse, study_folder
from sdd_eval.cli.terminal import table
from sdd_eval.cli.verbosity import Verbosity
from sdd_eval.device import prepare_device
from sdd_eval.metrics.formatting import format_interval, format_mean, format_number
from sdd_eval.metrics.registry import metric
from sdd_eval.paper.claims import Row, corruption_rows, mask_variance_rows, training_cost_rows
from sdd_eval.report.runs import read_runs
from sdd_eval.report.tables.csv_file import to_csv
from sdd_eval.report.tables.results import tidy
from sdd_eval.report.tables.summary import comparable_results, summarise
from sdd_eval.statistics.seeds import SeedSummary
from sdd_eval.store import write_text
from sdd_eval.studies import read_study_record
from sdd_eval.validation import FROM_1, bounded

TITLES = {
    "cost": "Training cost relative to cross-entropy (this machine; median of three repetitions)",
    "variance": "Variance of the logits over dropout masks, relative to their spread over classes",
    "corruptions": "Corruptions won and lost against cross-entropy, in points of accuracy",
}
MISSING = {
    "variance": "run sdd-eval mask-variance CHECKPOINT… in this study",
    "corruptions": "run sdd-eval corruption CHECKPOINT… in this study, with and without SD-Dropout",
}


@dataclass(frozen=True)
class CostFlags:
    """How the training cost of the methods is measured."""

    cost: bool = True
    """Measure the training cost of each method relative to cross-entropy."""
    arch: str = "resnet18w16"
    """Network to train, on random images of 32 × 32 pixels."""
    batch_size: int = bounded(64, FROM_1)
    """Images per batch."""
    steps: int = bounded(3, FROM_1)
    """Training steps per repetition; there are three repetitions."""
    precision: str = "float32"
    """float32 or bf16."""


@dataclass(frozen=True)
class Flags:
    """Measure claims of the paper's text that no table reports."""

    study: Studies = ()
    """Names of studies with runs of mask_variance and corruption, e.g. paper-claims."""
    training: CostFlags = field(default_factory=CostFlags)
    storage: Reports = field(default_factory=Reports)
    compute: Compute = field(default_factory=Compute)
    output: Verbosity = field(default_factory=Verbosity)


def run_claims(arguments: Sequence[str]) -> int:
    """Print what was measured for each claim, and write it as CSV."""
    import pandas

    flags = parse(Flags, arguments, "paper claims")
    reports = flags.storage.reports
    folders = [study_folder(name, reports) for name in flags.study]
    claims = _of_studies(folders) if folders else {}
    if flags.training.cost:
        claims = {"cost": _costs(flags), **claims}
    records = [read_study_record(folder) for folder in folders]
    for line in dict.fromkeys(line for record in records if record for line in record.warnings):
        print(f"note: {line}")
    into = (folders[0] if len(folders) == 1 else reports) / "paper"
    for name, rows in claims.items():
        print(f"\n{TITLES[name]}")
        print(_table(name, rows) if rows else f"nothing measured: {MISSING[name]}")
        write_text(into / f"claims-{name}.csv", to_csv(pandas.DataFrame(rows)))
    print(f"\n{into}: each as CSV")
    return 0


def _costs(flags: Flags) -> list[Row]:
    cost = flags.training
    device = prepare_device(flags.compute.device, flags.compute.threads)
    with cli.Bar("cost: ") as bar:
        shape = (cost.arch, cost.batch_size, cost.precision)
        return training_cost_rows(*shape, steps=cost.steps, device=device, progress=bar)


def _of_studies(folders: Sequence[Path]) -> dict[str, list[Row]]:
    collection = read_runs(folders)
    tables = [comparable.results for comparable in comparable_results(tidy(collection.runs))]
    summaries = [summarise(table[table["evaluator"] == "mask_variance"]) for table in tables]
    arrays = collection.arrays
    return {
        "variance": [row for summary in summaries for row in mask_variance_rows(summary)],
        "corruptions": [row for table in tables for row in corruption_rows(table, arrays)],
    }


def _table(name: str, rows: Sequence[Row]) -> str:
    formats = {"cost": _cost_cells, "variance": _variance_cells, "corruptions": _corruption_cells}
    cells = [formats[name](row) for row in rows]
    lines = [table([list(record.values()) for record in cells], list(cells[0]))]
    if name == "corruptions":
        lines += _won_and_lost(rows)
    return "\n".join(lines)


def _cost_cells(row: Row) -> dict[str, str]:
    return {
        "method": row["method"] + (" + sdd" if row["sd_dropout"] else ""),
        "images/s": f"{row['images_per_second']:.1f}",
        "× CE": f"{row['images_per_second_over_ce']:.2f}",
        f"MiB {row['memory_is']}": f"{row['memory_bytes'] / 2**20:.1f}",
        "× CE ": f"{row['memory_over_ce']:.2f}",
        "parameters trained": f"{row['trained_parameters']:,}",
        "exported": f"{row['exported_parameters']:,}",
    }


def _variance_cells(row: Row) -> dict[str, str]:
    ratio = row["variance_over_test_set"]
    relative = SeedSummary(row["relative_variance"], row["std"], row["networks"])
    return {
        "images": row["images"],
        "method": row["method"],
        "relative variance": f"{format_mean(metric('mask_variance_relative'), relative)}"
        + (f" ({relative.n})" if relative.n > 1 else ""),
        "absolute, × test set": "" if math.isnan(ratio) else f"{ratio:.2f}",
    }


def _corruption_cells(row: Row) -> dict[str, str]:
    accuracy = metric("accuracy")
    return {
        "method": row["method"],
        "corruption": row["corruption"],
        "difference": format_number(accuracy, row["difference"], sign=True),
        "95 %": format_interval(accuracy, row["low"], row["high"], sign=True),
        "": row["result"],
    }


def _won_and_lost(rows: Sequence[Row]) -> Iterator[str]:
    """Yield a line per group with its numbers of corruptions won and lost, and of networks."""
    for group in dict.fromkeys(row["method"] for row in rows):
        members = [row for row in rows if row["method"] == group]
        won, lost = (sum(row["result"] == word for row in members) for word in ("won", "lost"))
        yield (
            f"{group}: of {len(members)} corruptions {won} won, {lost} lost "
            f"({members[0]['networks']} networks against {members[0]['networks_base']})"
        )
