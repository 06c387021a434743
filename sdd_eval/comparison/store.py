"""Comparisons in the study's folder: pairs computed once for the same runs, and what was asked.

`pairs/FIRST--SECOND-KEY.json` holds what was found of a pair, p-values adjusted within it, and
`NAME.json` which pairs were compared together, of which runs: p-values are adjusted over these.
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

#: Raised when the same runs would be compared in another way.
VERSION = 3
FOLDER, PAIRS = "comparisons", "pairs"
#: What the comparison that a study's file asks for is called.
PLANNED = "planned"


@dataclass(frozen=True)
class ComparisonManifest:
    """A comparison as it lies on disk: files of pairs, and the content of the runs behind them."""

    name: str
    pairs: tuple[str, ...]
    runs: Mapping[str, Any]
    families: Mapping[str, Any]
    without: tuple[str, ...] = ()
    format: int = 1


@dataclass(frozen=True)
class ComparisonSet:
    """Pairs that were compared together; `outdated` says why they are older than the study's runs.

    `without` are lines on what the study's file asks for and could not be compared.
    """

    name: str
    pairs: tuple[PairComparison, ...]
    without: tuple[str, ...] = ()
    outdated: str = ""

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """Every checkpoint of the pairs, once."""
        return tuple(dict.fromkeys(n for each in self.pairs for n in (*each.base, *each.others)))

    @property
    def planned(self) -> bool:
        """Whether the study's file asks for it."""
        return self.name == PLANNED


def cached_pair(
    study: Path,
    sides: tuple[Sequence[Sequence[StoredRun]], Sequence[Sequence[StoredRun]]],
    how: tuple[Families, int, str],
    compare: Callable[[], PairComparison],
) -> str:
    """The name of the file with the comparison of these runs; made and written if it is not there.

    `how` are the families, how many pairs are compared together, and which McNemar's test.
    """
    content = [[[_content(each.path) for each in runs] for runs in side] for side in sides]
    families = {name: list(each) for name, each in how[0].items()}
    key = store.key_of(
        {"runs": content, "families": families, "how": list(how[1:]), "version": VERSION}
    )
    first, second = (side[0][0].run.checkpoint for side in sides)
    path = study / FOLDER / PAIRS / f"{first[:90]}--{second[:90]}-{key}.json"
    try:
        store.read_record(path, PairComparison)
    except InputError:  # not there, of another format, or cut by a hand
        store.write_record(path, compare())
    return path.name


def save_comparison(
    study: Path, name: str, pairs: Sequence[str], without: Sequence[str] = ()
) -> ComparisonSet:
    """Write which pairs were compared together, and give what was found."""
    found = tuple(_pairs(study, pairs))
    families = {each: list(own) for each, own in study_families(study).items()}
    kept = ComparisonSet(name, found, tuple(without))
    runs = _runs_of(study, kept.checkpoints)
    asked = ComparisonManifest(name, tuple(pairs), runs, families, tuple(without))
    store.write_record(study / FOLDER / f"{name}.json", asked)
    return kept


def load_comparisons(study: Path) -> tuple[list[ComparisonSet], list[str]]:
    """The comparisons that lie in a study, that of its file first; a line for each unreadable."""
    found, broken = [], []
    paths = sorted((study / FOLDER).glob("*.json"), key=lambda p: (p.stem != PLANNED, p.stem))
    for path in paths:
        try:
            asked = store.read_record(path, ComparisonManifest)
            pairs = tuple(_pairs(study, asked.pairs))
        except InputError as error:
            broken.append(str(error))
            continue
        kept = ComparisonSet(asked.name, pairs, asked.without)
        found.append(replace(kept, outdated=_outdated(study, asked, kept)))
    return found, broken


def _pairs(study: Path, names: Iterable[str]) -> list[PairComparison]:
    """Pairs with p-values adjusted over all of them."""
    return adjust_together([_read_pair(study / FOLDER / PAIRS / name) for name in names])


def _read_pair(path: Path) -> PairComparison:
    """Read a pair; its rows have the present names of metrics and axes."""
    pair = store.read_record(path, PairComparison)
    return replace(pair, rows=tuple(current_row(row.evaluator, row) for row in pair.rows))


def _outdated(study: Path, asked: ComparisonManifest, kept: ComparisonSet) -> str:
    """Whether the study has other runs or families now than those of a comparison, in words."""
    now = _runs_of(study, kept.checkpoints)
    changed = [name for name in {**asked.runs, **now} if asked.runs.get(name) != now.get(name)]
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        return f"since then {changed[0]}{more} came, went or changed"
    if asked.families != {each: list(own) for each, own in study_families(study).items()}:
        return "since then the study's file has named other families"
    return ""


def _runs_of(study: Path, checkpoints: Iterable[str]) -> dict[str, str]:
    """The content of each run of some checkpoints, by its path below the study's runs."""
    paths = [p for n in checkpoints for p in sorted((study / "runs" / n).glob("*.json"))]
    return {f"{path.parent.name}/{path.name}": _content(path)[1] for path in paths}


def _content(path: Path) -> tuple[str, str]:
    return path.name, hashlib.sha256(path.read_bytes()).hexdigest()


def comparison_name(checkpoints: Sequence[str]) -> str:
    """A file name for the comparison of so many checkpoints; a digest stands for those after two.

    >>> comparison_name(["a", "b"])
    'a--b'
    """
    more = hashlib.sha256(" ".join(checkpoints).encode()).hexdigest()[:8]
    rest = f"--{more}" if len(checkpoints) > 2 else ""
    return f"{checkpoints[0][:90]}--{checkpoints[1][:90]}{rest}"
