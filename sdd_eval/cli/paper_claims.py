"""`sdd-eval paper claims [STUDY…]`: what the paper's text claims and no table of it shows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from sdd_eval.cli.flags import Work, parse, prepared, table
from sdd_eval.cli.progress_bar import Bar
from sdd_eval.errors import InputError
from sdd_eval.paper.claims import Row, corruption_rows, mask_variance_rows, training_cost_rows
from sdd_eval.store import folder_name


@dataclass(frozen=True)
class Flags:
    """Which studies, and how long what training costs is measured."""

    study: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="STUDY…")] = ()
    """Names of studies with runs of mask_variance and corruption, e.g. paper-claims."""
    cost: bool = True
    """Measure what each method costs beside cross-entropy."""
    arch: str = "resnet18w16"
    """Network that is trained for that, on random images of 32 × 32 pixels."""
    batch_size: int = 64
    """Images a step."""
    steps: int = 3
    """Steps a turn; each method has three turns."""
    precision: str = "float32"
    """float32 or bf16."""
    reports: Path = Path("reports")
    """Where studies lie."""
    work: Work = field(default_factory=Work)


def run_claims(arguments: Sequence[str]) -> int:
    """Print what was measured of each claim, and write it as CSV."""
    title = "What the paper's text claims and no table shows."
    flags = parse(Flags, arguments, "paper claims", title)
    folders = [flags.reports / folder_name("study", name) for name in flags.study]
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"there is no study {folder.name} in {flags.reports}")
    found = _of_studies(folders) if folders else {}
    if flags.cost:
        found = {"cost": _costs(flags), **found}
    for line in _warnings(folders):
        print(f"note: {line}")
    into = (folders[0] if len(folders) == 1 else flags.reports) / "paper"
    for name, rows in found.items():
        print(f"\n{TITLES[name]}")
        print(_printed(name, rows) if rows else f"nothing measured: {MISSING[name]}")
        _write(into / f"claims-{name}.csv", rows)
    print(f"\n{into}: each as CSV")
    return 0


TITLES = {
    "cost": "Training cost relative to cross-entropy (this machine; median of three repetitions)",
    "variance": "Variance of the logits over dropout masks, relative to their spread over classes",
    "corruptions": "Corruptions won and lost against cross-entropy, in points of accuracy",
}
MISSING = {
    "variance": "sdd-eval mask-variance CHECKPOINT…, in this study",
    "corruptions": "sdd-eval corruption CHECKPOINT…, in this study, with and without SD-Dropout",
}


def _warnings(folders: Sequence[Path]) -> list[str]:
    """What a reader of the studies' numbers must know, such as what stands for the paper's sets."""
    from sdd_eval.studies.study import read_study_record

    records = [read_study_record(folder) for folder in folders]
    return list(dict.fromkeys(line for each in records if each for line in each.warnings))


def _printed(name: str, rows: Sequence[Row]) -> str:
    """Format the rows as a table for the terminal."""
    shown = {"cost": _cost_shown, "variance": _variance_shown, "corruptions": _corruption_shown}
    formatted = [shown[name](row) for row in rows]
    lines = [table([list(each.values()) for each in formatted], list(formatted[0]))]
    if name == "corruptions":
        lines += _won_and_lost(rows)
    return "\n".join(lines)


def _write(path: Path, rows: Sequence[Row]) -> None:
    import pandas

    from sdd_eval.report.tables.csv_file import to_csv
    from sdd_eval.store import write_text

    write_text(path, to_csv(pandas.DataFrame(rows)))


def _costs(flags: Flags) -> list[Row]:
    """Measure the training cost of every method on the requested device."""
    if flags.steps < 1:
        raise InputError(f"--steps is {flags.steps}; at least 1 is needed")
    device = prepared(flags.work)
    with Bar("cost: ") as bar:
        return training_cost_rows(
            flags.arch,
            flags.batch_size,
            flags.precision,
            steps=flags.steps,
            device=device,
            progress=bar,
        )


def _of_studies(folders: Sequence[Path]) -> dict[str, list[Row]]:
    """Return the rows of the claims that studies measure."""
    from sdd_eval.report.runs import collect
    from sdd_eval.report.tables.results import tidy
    from sdd_eval.report.tables.summary import comparisons, summarise

    collection = collect(folders)
    tables = [each.results for each in comparisons(tidy(collection.runs))]
    summaries = [summarise(table[table["evaluator"] == "mask_variance"]) for table in tables]
    return {
        "variance": [row for summary in summaries for row in mask_variance_rows(summary)],
        "corruptions": [
            row for table in tables for row in corruption_rows(table, collection.arrays)
        ],
    }


def _cost_shown(row: Row) -> dict[str, str]:
    return {
        "method": row["method"] + (" + sdd" if row["sd_dropout"] else ""),
        "images/s": f"{row['images_per_second']:.1f}",
        "× CE": f"{row['images_per_second_over_ce']:.2f}",
        f"MiB {row['memory_is']}": f"{row['memory_bytes'] / 2**20:.1f}",
        "× CE ": f"{row['memory_over_ce']:.2f}",
        "parameters trained": f"{row['trained_parameters']:,}",
        "exported": f"{row['exported_parameters']:,}",
    }


def _variance_shown(row: Row) -> dict[str, str]:
    from sdd_eval.report.formatting import exact

    ratio = row["variance_over_test_set"]
    return {
        "images": row["images"],
        "method": row["method"],
        "relative variance": exact(row["relative_variance"], row["std"], row["networks"]),
        "absolute, × test set": "" if math.isnan(ratio) else f"{ratio:.2f}",
    }


def _corruption_shown(row: Row) -> dict[str, str]:
    low, high = (f"{100 * row[end]:.2f}".replace("-", "−") for end in ("low", "high"))
    return {
        "method": row["method"],
        "corruption": row["corruption"],
        "difference": f"{100 * row['difference']:+.2f}".replace("-", "−"),
        "95 %": f"{low} … {high}",
        "": row["result"],
    }


def _won_and_lost(rows: Sequence[Row]) -> Iterator[str]:
    """Return a line per group with its numbers of corruptions won and lost, and of networks."""
    for group in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == group]
        won, lost = (sum(row["result"] == word for row in own) for word in ("won", "lost"))
        yield (
            f"{group}: of {len(own)} corruptions {won} won, {lost} lost "
            f"({own[0]['networks']} networks against {own[0]['networks_base']})"
        )
