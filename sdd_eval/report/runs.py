"""Read the runs of one or several studies from disk."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sdd_eval import store
from sdd_eval.arrays import Array, Arrays
from sdd_eval.errors import InputError
from sdd_eval.evaluation.derived import derived_runs
from sdd_eval.progress import NoProgress, Progress
from sdd_eval.records import Run
from sdd_eval.studies.study import StudyRecord, read_study_record


@dataclass(frozen=True)
class StudyRun:
    """A run with its study's name and a name that is unique in a report (STUDY/CHECKPOINT/FILE).

    The name of a derived run is that of its source run, plus its own evaluator.
    """

    study: str
    name: str
    run: Run
    label: str = ""
    """The label of the checkpoint or its method in the study's file."""


@dataclass(frozen=True)
class RunCollection:
    """All runs of a report, and a message for each unreadable file.

    `titles` are those of the studies, `columns` the metrics and methods of their LaTeX tables,
    and `images` whether each shows pictures of test images.
    """

    runs: tuple[StudyRun, ...]
    errors: tuple[str, ...] = ()
    titles: Mapping[str, str] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    images: bool = True
    without_arrays: tuple[str, ...] = ()
    """A message for each run whose array file is incomplete, so that figures lack the run."""

    @property
    def title(self) -> str:
        """The titles of the studies, the name of the only checkpoint, or those of the folders."""
        names = dict.fromkeys(entry.study for entry in self.runs)
        titles = {name: self.titles.get(name) or name for name in names}
        if titles != {name: name for name in names}:
            return ", ".join(titles.values())
        checkpoints = dict.fromkeys(entry.run.checkpoint for entry in self.runs)
        only = next(iter(checkpoints))
        return only if len(checkpoints) == 1 else f"Robustness and calibration: {', '.join(names)}"

    @property
    def class_names(self) -> tuple[str, ...]:
        """The class names, from the first run that has them."""
        names = (entry.run.provenance.class_names for entry in self.runs)
        return next((tuple(known) for known in names if known), ())

    @property
    def arrays(self) -> Mapping[str, Arrays]:
        """The arrays of each run by its name, read on access."""
        return {entry.name: _ReadableArrays(entry.run.arrays) for entry in self.runs}


class _ReadableArrays(Arrays):
    """The arrays of a run; empty if the array file is missing or broken."""

    def __init__(self, stored: Arrays) -> None:
        super().__init__()
        self.stored = stored
        #: Results that figures computed from the arrays, see `figures.once`.
        self.derived: dict[Hashable, Any] = {}

    @property
    def entries(self) -> tuple[Array, ...]:
        """All arrays that can be read."""
        try:
            return self.stored.entries
        except InputError as error:
            if getattr(self.stored, "path", Path()).exists():
                store.warn_of_damage(error)
            return ()


def read_runs(studies: Sequence[Path], progress: Progress | None = None) -> RunCollection:
    """Read every run below the study folders, and derive accuracy where only logits are stored.

    Raise InputError if there are no runs.
    """
    progress = progress or NoProgress()
    folders = named_studies(studies)
    paths = [(name, path) for name, folder in folders for path in _run_paths(folder)]
    records, errors = _records(folders)
    progress.start("reading runs", len(paths))
    runs, incomplete = [], list[str]()
    for study, path in paths:
        try:
            run = _with_whole_arrays(store.read_run(path), path, incomplete)
            name = f"{study}/{path.parent.name}/{path.name}"
            labels = records[study].labels if study in records else {}
            runs.append(StudyRun(study, name, run, labels.get(run.checkpoint, "")))
        except InputError as error:
            errors.append(str(error))
            store.warn_of_damage(error)
        progress.advance()
    if paths and not runs:
        raise InputError(
            f"none of {len(paths)} run files can be read; the first error: {errors[0]}"
        )
    if not runs:
        searched = ", ".join(f"{study / 'runs'}" for study in studies)
        raise InputError(f"no finished run below {searched}; {_hint(studies[0])}")
    titles = {name: record.title for name, record in records.items()}
    runs += _derived(runs)
    columns = dict.fromkeys(name for record in records.values() for name in record.columns)
    images = all(record.images for record in records.values())
    facts = tuple(errors), titles, tuple(columns), images, tuple(incomplete)
    return RunCollection(tuple(runs), *facts)


def _with_whole_arrays(run: Run, path: Path, incomplete: list[str]) -> Run:
    """Return a run, without its arrays if their file is incomplete; then add a message."""
    try:
        store.require_whole_arrays(path)
    except InputError as error:
        incomplete.append(str(error))
        store.warn_of_damage(error, "figures leave it out")
        return replace(run, arrays=Arrays())
    return run


def _derived(runs: Sequence[StudyRun]) -> list[StudyRun]:
    """Return the accuracy runs that follow from the logits of other runs of the same study."""
    derived = []
    for study in dict.fromkeys(entry.study for entry in runs):
        entries = [entry for entry in runs if entry.study == study]
        for source, run in derived_runs([entry.run for entry in entries]):
            name = f"{entries[source].name}#{run.evaluator}"
            derived.append(replace(entries[source], name=name, run=run))
    return derived


def _records(
    folders: Sequence[tuple[str, Path]],
) -> tuple[dict[str, StudyRecord], list[str]]:
    """Return the records of the studies that have one, and a message for each unreadable one."""
    records, errors = {}, []
    for name, folder in folders:
        try:
            record = read_study_record(folder)
        except InputError as error:
            errors.append(str(error))
            store.warn_of_damage(error)
            continue
        if record is not None:
            records[name] = record
    return records, errors


def _run_paths(study: Path) -> list[Path]:
    if not study.is_dir():
        raise InputError(f"study folder {study} does not exist; {_hint(study)}")
    return store.run_paths(study)


def _hint(study: Path) -> str:
    return f"evaluate a checkpoint first: sdd-eval accuracy CHECKPOINT --study {study.name}"


def named_studies(studies: Sequence[Path]) -> list[tuple[str, Path]]:
    """Return each study folder once, with parent folders in its name where names repeat."""
    folders = list(dict.fromkeys(study.resolve() for study in studies))
    depth = 1
    while len({folder.parts[-depth:] for folder in folders}) < len(folders):
        depth += 1
    return [("/".join(folder.parts[-depth:]), folder) for folder in folders]
