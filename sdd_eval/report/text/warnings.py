"""Warnings that a reader needs before quoting a number, one sentence each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from sdd_eval.report.runs import RunCollection
from sdd_eval.report.tables.provenance import data_sets
from sdd_eval.report.tables.summary import usable

if TYPE_CHECKING:
    import pandas

#: What each kind of origin implies for a number, by the first words of the origin.
_ORIGINS = (
    ("partial", "is only part of the published set; its numbers are not those of the benchmark"),
    (
        "regenerated",
        "was generated locally with the recipe of CIFAR-C; its numbers are not comparable with "
        "those of the published archive",
    ),
    ("unverified", "could not be verified against the publisher's checksum"),
    ("user's folder", "is a user's own folder, not a published set"),
    ("unknown", "has an unknown origin"),
)


def report_warnings(
    collection: RunCollection,
    results: pandas.DataFrame,
    protocols: Mapping[str, str],
    failures: Sequence[str],
    shown: str = "",
) -> list[str]:
    """Return warnings on data, subsets, excluded rows, unreadable files and failed figures.

    Warnings of runs that are `shown` next to the runs' numbers are omitted.
    """
    return [
        *_run_warnings(collection, shown),
        *_data_warnings(collection),
        *_fgsm_warning(results),
        *_subset_warnings(results),
        *_missing_warnings(results, protocols),
        *_exclusion_warnings(results),
        *(f"A run file could not be read and was skipped: {line}" for line in collection.errors),
        *(f"Figures lack the arrays of a run: {line}" for line in collection.without_arrays),
        *failures,
    ]


def _run_warnings(collection: RunCollection, shown: str) -> Iterator[str]:
    """Yield the warnings that runs carry, each with the first run that has it."""
    found: dict[str, list[str]] = {}
    for entry in collection.runs:
        for text in (text for text in entry.run.provenance.warnings or () if text not in shown):
            found.setdefault(text, []).append(f"{entry.run.evaluator} of {entry.run.checkpoint}")
    for text, runs in found.items():
        more = f" and {len(runs) - 1} more runs" if len(runs) > 1 else ""
        yield f"{runs[0]}{more}: {text}."


def _data_warnings(collection: RunCollection) -> Iterator[str]:
    """Yield a warning for each data set that is not the complete, verified published one."""
    origins = dict.fromkeys((data.name, data.origin) for data in data_sets(collection.runs))
    for name, origin in origins:
        for prefix, meaning in _ORIGINS:
            if origin.startswith(prefix):
                yield f"{name} ({origin}) {meaning}."


def _fgsm_warning(results: pandas.DataFrame) -> Iterator[str]:
    if "variant" in results and (results["variant"] == "authors").any():
        yield (
            "FGSM as implemented by the paper's authors is a weak attack: its labels are the "
            "network's own predictions, and its clipping moves a third of the pixel values against "
            "the gradient. Compare it with the standardised variant and with random signs."
        )


def _subset_warnings(results: pandas.DataFrame) -> Iterator[str]:
    """Yield the evaluators that ran on a subset, and how many such rows the page omits."""
    rows = usable(results)
    limited = rows[rows["limited"]]
    for evaluator, group in limited.groupby("evaluator", sort=False):
        sizes = ", ".join(f"{n:,}" for n in sorted(set(group["n"])))
        yield f"{evaluator} was evaluated on a subset of {sizes} images (--limit)."
    hidden = results[results["limited"] & (results["note"] == "")].index.difference(limited.index)
    if len(hidden):
        yield (
            f"{len(hidden)} rows of results.csv that were measured on a subset (--limit) are not "
            "shown on this page, because full runs of the same metrics exist."
        )


def _missing_warnings(results: pandas.DataFrame, protocols: Mapping[str, str]) -> Iterator[str]:
    keys = ["study", "checkpoint", "evaluator", "protocol_id"]
    missing = results.loc[results["metric"] == "missing", keys]
    for study, checkpoint, evaluator, key in missing.itertuples(index=False):
        yield f"Missing in {evaluator} of {checkpoint} (study {study}): {protocols[key]}."


def _exclusion_warnings(results: pandas.DataFrame) -> Iterator[str]:
    """Yield a warning for each reason why rows are excluded from means."""
    noted = results[results["note"] != ""]
    reasons = noted["note"].str.replace(r":.*$", "", regex=True)
    keys = ["study", "checkpoint", "evaluator"]
    for (study, checkpoint, evaluator, reason), rows in noted.groupby([*keys, reasons], sort=False):
        if str(reason).startswith("duplicate of"):
            continue
        count = "1 number is" if len(rows) == 1 else f"{len(rows)} numbers are"
        example = rows.iloc[0]
        yield (
            f"{count} excluded from means ({evaluator} of {checkpoint}, study {study}): "
            f"{example['note']} (for example {example['metric']})."
        )
