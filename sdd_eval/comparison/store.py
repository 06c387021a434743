"""Stored comparisons of a study: each pair is computed only once for the same runs.

`comparisons/pairs/FIRST--SECOND-KEY.json` holds the comparison of a pair, with p-values adjusted
within it. `comparisons/NAME.json` lists the pairs that were compared together, and their runs;
p-values are adjusted over all of them when it is read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sdd_eval import store
from sdd_eval.comparison.families import Families, adjust_together, study_families
from sdd_eval.comparison.matching import StoredRun
from sdd_eval.comparison.records import PairComparison
from sdd_eval.errors import InputError
from sdd_eval.former_names import current_row

#: Incremented whenever the same runs would be compared differently.
VERSION = 9
FOLDER, PAIRS = "comparisons", "pairs"
#: The name of the comparison that the study file defines.
PLANNED = "planned"


@dataclass(frozen=True)
class ComparisonManifest:
    """A comparison as stored: the files of its pairs, and the hashes of their runs."""

    name: str
    pairs: tuple[str, ...]
    runs: Mapping[str, Any]
    families: Mapping[str, Any]
    without: tuple[str, ...] = ()
    format: int = 1


@dataclass(frozen=True)
class ComparisonSet:
    """Pairs that were compared together.

    Attributes:
        name: its name, which is also the file name.
        pairs: the comparisons.
        without: a line for each part of the study file that could not be compared.
        outdated: why it does not match the study's current runs; empty if it does.
    """

    name: str
    pairs: tuple[PairComparison, ...]
    without: tuple[str, ...] = ()
    outdated: str = ""

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """The distinct checkpoints of the pairs."""
        return tuple(dict.fromkeys(n for pair in self.pairs for n in (*pair.base, *pair.others)))

    @property
    def planned(self) -> bool:
        """Whether the study file defines it."""
        return self.name == PLANNED


def cached_pair(
    study: Path,
    sides: tuple[Sequence[Sequence[StoredRun]], Sequence[Sequence[StoredRun]]],
    options: tuple[Families, int, str],
    compare: Callable[[], PairComparison],
) -> str:
    """Return the file name of the comparison of these runs; compute and write it if missing.

    `options` are the families, the number of pairs that are compared together, and the variant of
    McNemar's test.
    """
    runs = [[[_name_and_hash(one.path) for one in stored] for stored in side] for side in sides]
    families = {name: list(selectors) for name, selectors in options[0].items()}
    key = store.key_of(
        {"runs": runs, "families": families, "how": list(options[1:]), "version": VERSION}
    )
    first, second = (side[0][0].run.checkpoint for side in sides)
    path = study / FOLDER / PAIRS / f"{first[:90]}--{second[:90]}-{key}.json"
    try:
        store.read_record(path, PairComparison)
    except InputError:  # missing, in another format, or damaged
        store.write_record(path, compare())
    return path.name


def save_comparison(
    study: Path, name: str, pairs: Sequence[str], without: Sequence[str] = ()
) -> ComparisonSet:
    """Write which pairs were compared together, and return their comparisons."""
    comparison = ComparisonSet(name, tuple(_read_pairs(study, pairs)), tuple(without))
    runs = _run_hashes(study, comparison.checkpoints)
    manifest = ComparisonManifest(name, tuple(pairs), runs, _families(study), tuple(without))
    store.write_record(study / FOLDER / f"{name}.json", manifest)
    return comparison


def load_comparisons(study: Path) -> tuple[list[ComparisonSet], list[str]]:
    """Return the comparisons of a study, the planned one first, and a line per unreadable file."""
    comparisons, unreadable = [], []
    paths = sorted((study / FOLDER).glob("*.json"), key=lambda p: (p.stem != PLANNED, p.stem))
    for path in paths:
        try:
            manifest = store.read_record(path, ComparisonManifest)
            pairs = tuple(_read_pairs(study, manifest.pairs))
        except InputError as error:
            unreadable.append(f"{path.stem}: {error}")
            continue
        comparison = ComparisonSet(manifest.name, pairs, manifest.without)
        outdated = _outdated(study, manifest, comparison)
        comparisons.append(replace(comparison, outdated=outdated))
    return comparisons, unreadable


def _read_pairs(study: Path, names: Iterable[str]) -> list[PairComparison]:
    """Read pairs under the current names of metrics and axes, adjusting p-values over all."""
    folder = study / FOLDER / PAIRS
    pairs = [store.read_record(folder / name, PairComparison) for name in names]
    return adjust_together(
        [replace(p, rows=tuple(current_row(row.evaluator, row) for row in p.rows)) for p in pairs]
    )


def _outdated(study: Path, manifest: ComparisonManifest, comparison: ComparisonSet) -> str:
    """Return how the study's runs or families have changed since a comparison, if they have."""
    runs = _run_hashes(study, comparison.checkpoints)
    changed = [n for n in {**manifest.runs, **runs} if manifest.runs.get(n) != runs.get(n)]
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        verb = "were" if more else "was"
        return f"{changed[0]}{more} {verb} added, removed or changed since"
    if manifest.families != _families(study):
        return "the families in the study file have changed since"
    return ""


def _families(study: Path) -> dict[str, list[str]]:
    return {name: list(selectors) for name, selectors in study_families(study).items()}


def _run_hashes(study: Path, checkpoints: Iterable[str]) -> dict[str, str]:
    """Return the hash of each run of the checkpoints, by CHECKPOINT/FILE."""
    paths = [p for n in checkpoints for p in sorted((study / "runs" / n).glob("*.json"))]
    return {f"{path.parent.name}/{path.name}": _name_and_hash(path)[1] for path in paths}


def _name_and_hash(path: Path) -> tuple[str, str]:
    return path.name, hashlib.sha256(path.read_bytes()).hexdigest()


def comparison_name(checkpoints: Sequence[str]) -> str:
    """Return a file name for a comparison; a hash stands for checkpoints after the second.

    >>> comparison_name(["a", "b"])
    'a--b'
    """
    digest = hashlib.sha256(" ".join(checkpoints).encode()).hexdigest()[:8]
    suffix = f"--{digest}" if len(checkpoints) > 2 else ""
    return f"{checkpoints[0][:90]}--{checkpoints[1][:90]}{suffix}"
