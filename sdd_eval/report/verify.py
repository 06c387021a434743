"""Verify a report from elsewhere: recompute it from its runs, and compare."""

from __future__ import annotations

import csv
import hashlib
import math
import re
import shutil
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Literal

from sdd_eval import comparison, plugins, store
from sdd_eval.checkpoints.folder import WEIGHTS, is_checkpoint, read_card
from sdd_eval.comparison.matching import NOT_EVALUATED, StoredRun
from sdd_eval.comparison.paired import TOLERANCE
from sdd_eval.comparison.run_statistics import key, statistics_of
from sdd_eval.comparison.store import FOLDER
from sdd_eval.data import catalogue
from sdd_eval.errors import InputError
from sdd_eval.evaluators.evaluator import measurements
from sdd_eval.evaluators.settings import from_stored
from sdd_eval.records import Run
from sdd_eval.report.tables.comparisons import comparison_frame
from sdd_eval.report.tables.csv_file import to_csv
from sdd_eval.report.write import write_report
from sdd_eval.studies.study import RECORD

State = Literal["holds", "differs", "not checked"]
#: Relative and absolute tolerance of numbers that other hardware or libraries recompute.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Check:
    """The check of a part of a report: whether it holds, and what was found."""

    part: str
    state: State
    detail: str


def verify_report(
    study: Path, *, checkpoints: Path | None = None, data_root: Path | None = None
) -> Iterator[Check]:
    """Yield a check of each part of a report; nothing in its folder is changed.

    The numbers of runs are recomputed from their per-image arrays; tables, comparisons and the text
    of the page are recomputed from the runs. With folders of checkpoints and data sets, the hashes
    in the runs are compared with those in the folders.

    Raises:
        InputError: the folder has no readable run.
    """
    stored = list(_readable(study))
    yield from (check for check in stored if isinstance(check, Check))
    runs = [run for run in stored if isinstance(run, StoredRun)]
    if not runs:
        raise InputError(f"{study} has no run that can be read; verify the folder of a report")
    for one in runs:
        yield _numbers(study, one)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", store.DamagedFile)  # the checks already name these files
        copy = Path(folder) / study.resolve().name
        shutil.copytree(study / "runs", copy / "runs")
        for path in (study / RECORD, *(study / FOLDER).glob("*.json")):
            if path.is_file():
                (copy / path.relative_to(study)).parent.mkdir(exist_ok=True)
                shutil.copy(path, copy / path.relative_to(study))
        recomputed = [*_comparisons(study, copy), *_report(study, copy)]
    yield from recomputed
    yield from _weights(runs, checkpoints)
    yield from _data(runs, data_root)


def _readable(study: Path) -> Iterator[StoredRun | Check]:
    for path in store.run_paths(study):
        try:
            yield StoredRun(path, store.read_run(path))
        except InputError as error:
            yield Check(str(path.relative_to(study)), "differs", str(error))


def _numbers(study: Path, stored: StoredRun) -> Check:
    """Recompute the measurements of a run, with their intervals, from its arrays."""
    part, run = str(stored.path.relative_to(study)), stored.run
    if run.evaluator in NOT_EVALUATED:
        return Check(part, "not checked", "values of the training, without arrays")
    recomputed = statistics_of(stored)
    if recomputed.problem:
        return Check(part, "not checked", recomputed.problem)
    intervals = from_stored(plugins.load("evaluators", run.evaluator), run.settings).intervals
    again = {key(m.metric, m.at): m for m in measurements(recomputed.statistics, intervals)}
    common = [m for m in run.measurements if key(m.metric, m.at) in again]
    for number in common:
        other = again[key(number.metric, number.at)]
        for name in ("value", "low", "high"):
            one, two = getattr(number, name), getattr(other, name)
            if name != "value" and number.level != other.level:
                continue  # since rescored with another level
            if not _close(one, two, TOLERANCE):
                at = " ".join([number.metric, *(f"{k}={v}" for k, v in number.at.items())])
                return Check(part, "differs", f"{name} of {at} is {one}, the arrays give {two}")
    return Check(part, "holds", f"{len(common)} of {len(run.measurements)} numbers recomputed")


def _close(one: float | None, two: float | None, tolerance: float = ROUNDING) -> bool:
    if one is None or two is None:
        return one is two
    if math.isnan(one) and math.isnan(two):
        return True
    return math.isclose(one, two, rel_tol=tolerance, abs_tol=tolerance)


def _comparisons(study: Path, copy: Path) -> Iterator[Check]:
    """Recompute each stored comparison."""
    stored, unreadable = comparison.load_comparisons(study)
    yield from (Check(FOLDER, "differs", text) for text in unreadable)
    for one in stored:
        part = f"{FOLDER}/{one.name}.json"
        if one.outdated:
            yield Check(part, "differs", one.outdated)
            continue
        try:
            if one.planned:
                again = comparison.compare_planned(copy)
            else:
                again = comparison.compare(copy, one.checkpoints)
        except InputError as error:
            yield Check(part, "differs", str(error))
            continue
        tables = [to_csv(comparison_frame(pairs)) for pairs in (one.pairs, again.pairs)]
        yield _same_table(part, *tables)


def _report(study: Path, copy: Path) -> Iterator[Check]:
    """Rewrite the report of the runs, and compare its tables and the text of its page."""
    write_report(copy, figures=False)
    for name in ("results.csv", "summary.csv", "runs.csv", "protocols.csv", "intervals.csv"):
        if not (study / name).is_file():
            yield Check(name, "not checked", "the file is missing")
            continue
        yield _same_table(name, *((f / name).read_text(encoding="utf-8") for f in (study, copy)))
    page = study / "index.html"
    if not page.is_file():
        yield Check("index.html", "not checked", "the file is missing")
        return
    given, expected = (Counter(_rows(path)) for path in (page, copy / "index.html"))
    missing = [*(expected - given)]
    total = f"{expected.total()} rows of its tables recomputed"
    if missing:
        total = f"{len(missing)} of {total[:-11]} differ; the runs give: {missing[0]}"
    yield Check("index.html", "differs" if missing else "holds", total)


def _same_table(name: str, given: str, expected: str) -> Check:
    """Compare two CSV files, numbers with a tolerance."""
    rows, other = ([*csv.DictReader(text.splitlines())] for text in (given, expected))
    if len(rows) != len(other):
        return Check(name, "differs", f"{len(rows)} rows, the runs give {len(other)}")
    for line, (row, again) in enumerate(zip(rows, other, strict=True), start=2):
        for column in row.keys() & again.keys():
            if not _same_cell(row[column], again[column]):
                values = f"{row[column]}, the runs give {again[column]}"
                return Check(name, "differs", f"line {line}, {column}: {values}")
    return Check(name, "holds", f"{len(rows)} rows recomputed")


def _same_cell(one: str, two: str) -> bool:
    try:
        return one == two or _close(float(one), float(two))
    except ValueError:
        return False


class _Rows(HTMLParser):
    """Collects the text of each row of values of each table of a page.

    Headings are ignored: they depend on which numbers are shown in figures instead.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[str] = []
        self._text: list[str] | None = None
        self._has_values = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a row, or note that it has values."""
        if tag == "tr":
            self._text, self._has_values = [], False
        self._has_values |= tag == "td"

    def handle_endtag(self, tag: str) -> None:
        """End a row."""
        if tag == "tr" and self._text is not None and self._has_values:
            self.rows.append(" ".join(" ".join(self._text).split()))
            self._text = None

    def handle_data(self, data: str) -> None:
        """Add text to the row."""
        if self._text is not None:
            self._text.append(data)


def _rows(page: Path) -> list[str]:
    """Return the rows of all tables of a page as text, without references to protocols."""
    parser = _Rows()
    parser.feed(page.read_text(encoding="utf-8"))
    return [re.sub(r"\bP\d+\b", "", row) for row in parser.rows]


def _weights(runs: Sequence[StoredRun], checkpoints: Path | None) -> Iterator[Check]:
    """Compare the hashes of weights with those of the checkpoints' cards and files."""
    hashes: dict[str, set[str]] = {}
    for stored in runs:
        hashes.setdefault(stored.run.checkpoint, set()).add(stored.run.weights_sha256)
    for name, recorded in hashes.items():
        folder = checkpoints / name if checkpoints else None
        text = ", ".join(sorted(digest[:12] for digest in recorded))
        if folder is None or not is_checkpoint(folder) or not (folder / WEIGHTS).is_file():
            yield Check(f"weights of {name}", "not checked", f"sha256 {text}…; no such checkpoint")
            continue
        content = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
        others = {"card": read_card(folder).weights_sha256, "file": content}
        differ = [f"; its {what} has {d[:12]}…" for what, d in others.items() if {d} != recorded]
        state: State = "differs" if differ else "holds"
        yield Check(f"weights of {name}", state, f"sha256 {text}…{''.join(differ)}")


def _data(runs: Sequence[StoredRun], root: Path | None) -> Iterator[Check]:
    """Compare the fingerprints of data sets with those of the images on disk."""
    recorded = {
        (name, facts.fingerprint or ""): stored.run
        for stored in runs
        for name, facts in stored.run.provenance.data.items()
        if not facts.own
    }
    for (name, fingerprint), run in recorded.items():
        part, detail = f"images of {name}", f"fingerprint {fingerprint[:12]}"
        try:
            present = _fingerprint(name, run, root) if root else ""
        except InputError:
            yield Check(part, "not checked", f"{detail}; it is not in the catalogue, or damaged")
            continue
        if not present:
            yield Check(part, "not checked", f"{detail}; not on disk")
        elif present == fingerprint:
            yield Check(part, "holds", detail)
        else:
            yield Check(part, "differs", f"{detail}; the images on disk have {present[:12]}")


def _fingerprint(name: str, run: Run, root: Path) -> str:
    """Return the fingerprint of a data set in the shape of the network's images; "" if absent."""
    if not catalogue.dataset(name, root).present:
        return ""
    model = run.provenance.model or {}
    size, channels = model.get("image_size"), len(model.get("mean", ())) or None
    return catalogue.load_images(name, root, image_size=size, channels=channels).fingerprint
