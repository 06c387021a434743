"""`sdd-eval paper claims [STUDY…]`: what the paper's text claims and no table of it shows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from sdd_eval import plugins
from sdd_eval.cli.flags import Work, parse, prepared, table
from sdd_eval.cli.progress_bar import Bar
from sdd_eval.errors import InputError
from sdd_eval.store import plain_name

if TYPE_CHECKING:
    import pandas

#: A row of a CSV file: plain numbers, differences as fractions.
Row = Mapping[str, Any]


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
    folders = [flags.reports / plain_name("study", name) for name in flags.study]
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"there is no study {folder.name} in {flags.reports}")
    found = dict(_of_studies(folders)) if folders else {}
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
    "cost": "Cost of training beside cross-entropy (this machine, now; medians of three turns)",
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
    """The rows as a terminal shows them."""
    shown = {"cost": _cost_shown, "variance": _variance_shown, "corruptions": _corruption_shown}
    told = [shown[name](row) for row in rows]
    lines = [table([list(each.values()) for each in told], list(told[0]))]
    if name == "corruptions":
        lines += _won_and_lost(rows)
    return "\n".join(lines)


def _write(path: Path, rows: Sequence[Row]) -> None:
    import pandas

    from sdd_eval.report.tables.csv_file import to_csv
    from sdd_eval.store import write_text

    write_text(path, to_csv(pandas.DataFrame(rows)))


def _costs(flags: Flags) -> list[Row]:
    """Every method, alone and with the SD-Dropout term."""
    if flags.steps < 1:
        raise InputError(f"--steps is {flags.steps}; at least 1 is needed")
    device = prepared(flags.work)
    from sdd_eval.records import ModelSpec, decode
    from sdd_eval.records import Recipe as Kind
    from sdd_eval.training.analysis.cost import costs

    shared = {"batch_size": flags.batch_size, "arch": flags.arch, "precision": flags.precision}
    names = ["ce", *(name for name in plugins.names("methods") if name != "ce")]
    recipes = [
        decode(Kind, {**shared, "method": name, "sd_dropout": weight})
        for name in names
        for weight in (0.0, 1.0 if name == "ce" else 0.1)
    ]
    spec = ModelSpec(flags.arch, 100, (0.5,) * 3, (0.25,) * 3, 32)
    with Bar("cost: ") as bar:
        found = costs(recipes, spec, steps=flags.steps, device=device, progress=bar)
    base = found[0]
    return [
        {
            "method": each.recipe.method,
            "sd_dropout": each.recipe.sd_dropout,
            "images_per_second": each.images_per_second,
            "images_per_second_over_ce": each.images_per_second / base.images_per_second,
            "memory_bytes": each.memory,
            "memory_is": each.memory_is,
            "memory_over_ce": each.memory / base.memory,
            "trained_parameters": each.trained_parameters,
            "exported_parameters": each.exported_parameters,
        }
        for each in found
    ]


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


def _of_studies(folders: Sequence[Path]) -> Iterator[tuple[str, list[Row]]]:
    """What the runs of studies say of the variance over masks, and of corruptions."""
    from sdd_eval.report.runs import collect
    from sdd_eval.report.tables.results import tidy
    from sdd_eval.report.tables.summary import comparisons

    collection = collect(folders)
    compared = comparisons(tidy(collection.runs))
    variance = [row for each in compared for row in _variance(each.results)]
    arrays = collection.arrays
    corruptions = [row for each in compared for row in _corruptions(each.results, arrays)]
    yield "variance", variance
    yield "corruptions", corruptions


def _variance(results: pandas.DataFrame) -> Iterator[Row]:
    """A row a group and set of images."""
    from sdd_eval.report.tables.summary import summarise

    rows = summarise(results[results["evaluator"] == "mask_variance"])
    relative = rows[rows["metric"] == "mask_variance_relative"]
    ratios = rows[rows["metric"] == "mask_variance_ratio"]
    for row in relative.to_dict("records"):
        inside = row["outliers"] is None or row["outliers"] != row["outliers"]
        place = ratios[(ratios["group"] == row["group"]) & (ratios["outliers"] == row["outliers"])]
        known = not inside and not place.empty
        yield {
            "images": row["test_set"] if inside else row["outliers"],
            "method": row["group"],
            "relative_variance": row["mean"],
            "std": row["std"],
            "networks": row["n"],
            "variance_over_test_set": float(place["mean"].iloc[0]) if known else math.nan,
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


def _corruptions(
    results: pandas.DataFrame, arrays: Mapping[str, Mapping[str, Any]]
) -> Iterator[Row]:
    """A row a corruption and group, against plain cross-entropy."""
    from sdd_eval.paper.wins import corruptions_won

    rows = results[(results["evaluator"] == "corruption") & (results["note"] == "")]
    plain = rows[(rows["method"] == "ce") & (rows["sd_dropout"] == 0)]
    base = [arrays[name] for name in dict.fromkeys(plain["run"])]
    if not base:
        return
    for group, own in rows[~rows["group"].isin(set(plain["group"]))].groupby("group", sort=False):
        other = [arrays[name] for name in dict.fromkeys(own["run"])]
        for each in corruptions_won(base, other):
            yield {
                "method": group,
                "corruption": each.corruption,
                "difference": each.difference,
                "low": each.interval.low,
                "high": each.interval.high,
                "result": each.result,
                "networks_base": len(base),
                "networks": len(other),
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
    """A line a group: how many corruptions it wins and loses, and of how many networks that is."""
    for group in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == group]
        won, lost = (sum(row["result"] == word for row in own) for word in ("won", "lost"))
        yield (
            f"{group}: of {len(own)} corruptions {won} won, {lost} lost "
            f"({own[0]['networks']} networks against {own[0]['networks_base']})"
        )
