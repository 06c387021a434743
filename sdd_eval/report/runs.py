"""The runs of one or more studies as they lie on disk; what cannot be read is named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdd_eval import store
from sdd_eval.errors import InputError
from sdd_eval.progress import NoProgress, Progress
from sdd_eval.records import Run


@dataclass(frozen=True)
class Found:
    """One run: the study's name, and the run's name, unique in a report (STUDY/CHECKPOINT/FILE)."""

    study: str
    name: str
    run: Run


@dataclass(frozen=True)
class Collection:
    """All runs of a report, and a line for each file that is not one."""

    runs: tuple[Found, ...]
    broken: tuple[str, ...] = ()

    @property
    def arrays(self) -> Mapping[str, Mapping[str, Any]]:
        """The per-image arrays of each run by its name, read when they are asked for."""
        return {found.name: _Readable(found.run.arrays) for found in self.runs}


class _Readable(Mapping[str, Any]):
    """Arrays of a run; a file of arrays that is gone or broken has none."""

    def __init__(self, arrays: Mapping[str, Any]) -> None:
        self.arrays = arrays

    def __getitem__(self, name: str) -> Any:
        return self.arrays[name]

    def __iter__(self) -> Iterator[str]:
        try:
            return iter(list(self.arrays))
        except InputError:
            return iter(())

    def __len__(self) -> int:
        return sum(1 for _ in self)


def collect(studies: Sequence[Path], progress: Progress | None = None) -> Collection:
    """Read every run below the study folders.

    Raises:
        InputError: a folder is not there, or there is no readable run at all.
    """
    progress = progress or NoProgress()
    paths = [(name, path) for name, study in named_studies(studies) for path in _runs_of(study)]
    progress.start("reading runs", len(paths))
    runs, broken = [], []
    for study, path in paths:
        try:
            name = f"{study}/{path.parent.name}/{path.name}"
            runs.append(Found(study, name, store.read_run(path)))
        except InputError as error:
            broken.append(str(error))
        progress.advance()
    if not runs:
        raise InputError(_nothing(studies, broken))
    return Collection(tuple(runs), tuple(broken))


def _runs_of(study: Path) -> list[Path]:
    """The run files of a study folder."""
    if not study.is_dir():
        raise InputError(f"{study} is not there; {_how(study)}")
    return store.run_paths(study)


def _how(study: Path) -> str:
    return f"evaluate a checkpoint first: sdd-eval accuracy CHECKPOINT --study {study.name}"


def _nothing(studies: Sequence[Path], broken: Sequence[str]) -> str:
    """What is missing where no run could be read."""
    if broken:
        return f"none of {len(broken)} run files can be read; the first: {broken[0]}"
    folders = ", ".join(f"{study / 'runs'}" for study in studies)
    return f"no finished run below {folders}; {_how(studies[0])}"


def named_studies(studies: Sequence[Path]) -> list[tuple[str, Path]]:
    """Each study folder once, by its own name; with its parents' where two are alike."""
    folders = list(dict.fromkeys(study.resolve() for study in studies))
    depth = 1
    while len({folder.parts[-depth:] for folder in folders}) < len(folders):
        depth += 1
    return [("/".join(folder.parts[-depth:]), folder) for folder in folders]
