"""What a reader must know before believing a number, one line each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sdd_eval.report.runs import Collection
from sdd_eval.report.tables.provenance import data_sets
from sdd_eval.report.tables.summary import usable

if TYPE_CHECKING:
    import pandas

#: What each kind of origin means for a number.
_MEANING = (
    ("partial", "is only a part of its publisher's set, so its numbers are not the benchmark's"),
    (
        "regenerated",
        "was made here by the recipe of CIFAR-C; it is not, and does not compare with, a "
        "published archive",
    ),
    ("unverified", "could not be checked against its publisher's checksum"),
    ("user's folder", "is a folder of the user's, not a published set"),
    ("unknown", "is of unknown origin"),
)


def cautions(collection: Collection, results: pandas.DataFrame, failed: Sequence[str]) -> list[str]:
    """Unofficial data, subsets, rows left out of means, unreadable files, failed figures."""
    return [
        *_data(collection),
        *_flattering(results),
        *_limited(results),
        *_missing(results),
        *_left_out(results),
        *(f"A file is not a run and was skipped: {line}" for line in collection.broken),
        *failed,
    ]


def _data(collection: Collection) -> Iterator[str]:
    """A line for each set that is not its publisher's."""
    said = set()
    for each in data_sets(collection.runs):
        for word, meaning in _MEANING:
            if each.origin.startswith(word) and (each.name, each.origin) not in said:
                said.add((each.name, each.origin))
                yield f"{each.name} ({each.origin}) {meaning}."


def _flattering(results: pandas.DataFrame) -> Iterator[str]:
    """What the authors' reading of FGSM does to a number."""
    if "variant" in results and (results["variant"] == "authors").any():
        yield (
            "FGSM as the paper's authors ran it is a weak attack: its labels are the network's own "
            "predictions and its clipping moves a third of the values against the gradient. "
            "Compare it with the standardised step and with random signs."
        )


def _limited(results: pandas.DataFrame) -> Iterator[str]:
    """Which evaluators were run on a subset."""
    kept = usable(results)
    limited = kept[kept["limited"]]
    for evaluator, rows in limited.groupby("evaluator", sort=False):
        sizes = ", ".join(f"{n:,}" for n in sorted(set(rows["n"])))
        yield f"{evaluator} was measured on a subset of {sizes} images (--limit)."
    hidden = results[results["limited"] & (results["note"] == "")].index.difference(limited.index)
    if len(hidden):
        yield (
            f"{len(hidden)} limited rows are in results.csv but not on this page: "
            "full runs of the same are there."
        )


def _missing(results: pandas.DataFrame) -> Iterator[str]:
    """What could not be measured, so that means are missing too."""
    keys = ["study", "checkpoint", "evaluator", "protocol"]
    for study, checkpoint, evaluator, why in results.loc[
        results["metric"] == "missing", keys
    ].itertuples(index=False):
        yield f"Missing in {evaluator} of {checkpoint} (study {study}): {why}."


def _left_out(results: pandas.DataFrame) -> Iterator[str]:
    """A line for each reason for which rows are in no mean."""
    noted = results[results["note"] != ""]
    shared = noted["note"].str.replace(r":.*$", "", regex=True)
    keys = ["study", "checkpoint", "evaluator"]
    for (study, checkpoint, evaluator, note), rows in noted.groupby([*keys, shared], sort=False):
        if str(note).startswith("again in"):
            continue
        numbers = "1 number" if len(rows) == 1 else f"{len(rows)} numbers"
        example = rows.iloc[0]
        yield (
            f"{numbers} of {checkpoint}, {evaluator} (study {study}), enter no mean: "
            f"{example['note']} ({example['metric']})."
        )
