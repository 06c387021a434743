"""`sdd-eval paper claims [STUDY…]`: what the paper's text claims and no table of it shows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from sdd_eval import plugins
from sdd_eval.cli.bars import Bar
from sdd_eval.cli.flags import Work, parse, prepared, table
from sdd_eval.errors import InputError
from sdd_eval.store import plain_name

if TYPE_CHECKING:
    import pandas


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
    into = (folders[0] if len(folders) == 1 else flags.reports) / "paper"
    for name, rows in found.items():
        print(f"\n{TITLES[name]}")
        print(_printed(rows) if rows else f"nothing measured: {MISSING[name]}")
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


def _printed(rows: Sequence[Mapping[str, Any]]) -> str:
    return table([list(row.values()) for row in rows], list(rows[0]))


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    import pandas

    from sdd_eval.report.csvfile import to_csv
    from sdd_eval.store import write_text

    write_text(path, to_csv(pandas.DataFrame(rows)))


def _costs(flags: Flags) -> list[dict[str, Any]]:
    """Every method, alone and with the SD-Dropout term."""
    device = prepared(flags.work)
    from sdd_eval.records import ModelSpec, decode
    from sdd_eval.records import Recipe as Kind
    from sdd_eval.training.cost import costs

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
            "method": each.recipe.method + (" + sdd" if each.recipe.sd_dropout else ""),
            "images/s": f"{each.images_per_second:.1f}",
            "× CE": f"{each.images_per_second / base.images_per_second:.2f}",
            f"MiB {each.memory_is}": f"{each.memory / 2**20:.1f}",
            "× CE ": f"{each.memory / base.memory:.2f}",
            "parameters trained": f"{each.trained_parameters:,}",
            "exported": f"{each.exported_parameters:,}",
        }
        for each in found
    ]


def _of_studies(folders: Sequence[Path]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """What the runs of studies say of the variance over masks, and of corruptions."""
    from sdd_eval.report.collect import collect
    from sdd_eval.report.comparisons import comparisons
    from sdd_eval.report.table import tidy

    collection = collect(folders)
    compared = comparisons(tidy(collection.runs))
    variance = [row for each in compared for row in _variance(each.results)]
    arrays = collection.arrays
    corruptions = [row for each in compared for row in _corruptions(each.results, arrays)]
    yield "variance", variance
    yield "corruptions", corruptions


def _variance(results: pandas.DataFrame) -> Iterator[dict[str, Any]]:
    """A row a group and set of images."""
    from sdd_eval.report.numbers import exact
    from sdd_eval.report.summary import summarise

    rows = summarise(results[results["evaluator"] == "mask_variance"])
    relative = rows[rows["metric"] == "mask_variance_relative"]
    ratios = rows[rows["metric"] == "mask_variance_ratio"]
    for row in relative.to_dict("records"):
        inside = row["outliers"] is None or row["outliers"] != row["outliers"]
        place = ratios[(ratios["group"] == row["group"]) & (ratios["outliers"] == row["outliers"])]
        ratio = math.nan if inside or place.empty else float(place["mean"].iloc[0])
        yield {
            "images": row["test_set"] if inside else row["outliers"],
            "method": row["group"],
            "relative variance": exact(row["mean"], row["std"], row["n"]),
            "absolute, × test set": "" if inside else f"{ratio:.2f}",
        }


def _corruptions(
    results: pandas.DataFrame, arrays: Mapping[str, Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """A row a corruption and group, against plain cross-entropy; then how many are won and lost."""
    from sdd_eval.paper.wins import corruptions_won

    rows = results[(results["evaluator"] == "corruption") & (results["note"] == "")]
    plain = rows[(rows["method"] == "ce") & (rows["sd_dropout"] == 0)]
    base = [arrays[name] for name in dict.fromkeys(plain["run"])]
    if not base:
        return
    for group, own in rows[~rows["group"].isin(set(plain["group"]))].groupby("group", sort=False):
        other = [arrays[name] for name in dict.fromkeys(own["run"])]
        found = corruptions_won(base, other)
        for each in found:
            yield {
                "method": group,
                "corruption": each.corruption,
                "difference": f"{100 * each.difference:+.2f}".replace("-", "−"),
                "95 %": f"{100 * each.interval.low:.2f} … {100 * each.interval.high:.2f}",
                "": each.result,
            }
        count = {word: sum(each.result == word for each in found) for word in ("won", "lost")}
        yield {
            "method": group,
            "corruption": f"of {len(found)}",
            "difference": "",
            "95 %": f"{len(base)} against {len(other)} networks",
            "": f"{count['won']} won, {count['lost']} lost",
        }
