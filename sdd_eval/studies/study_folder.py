"""What a study writes beside its runs: what it is, and what failed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sdd_eval import store
from sdd_eval.studies.comparisons import pairings_of
from sdd_eval.studies.run import Outcome
from sdd_eval.studies.study import RECORD, Study, StudyRecord, warnings

FAILURES = "failures.txt"


def write_study(folder: Path, study: Study) -> None:
    """Write `study.json`."""
    store.write_record(folder / RECORD, record_of(study))


def write_failures(folder: Path, outcomes: Sequence[Outcome]) -> Path | None:
    """Write `failures.txt` with the reasons and traces of what failed; none where nothing did."""
    path = folder / FAILURES
    failed = [each for each in outcomes if not each.good]
    if not failed:
        path.unlink(missing_ok=True)
        return None
    parts = [f"{each.label}: {each.result}: {each.reason}\n{each.trace}" for each in failed]
    store.write_text(path, "\n".join(parts))
    return path


def record_of(study: Study) -> StudyRecord:
    """What is written beside the study's runs."""
    return StudyRecord(
        name=study.name,
        title=study.title,
        tables=study.tables,
        figures=study.figures,
        notes=study.notes,
        small=study.small,
        names=study.names,
        stands_for={
            **{each.name: each.meant for each in study.trainings},
            **{each.name: each.meant for each in study.detectors if each.meant},
        },
        compare=study.compare,
        families=study.families,
        warnings=warnings(study),
        pairs=pairings_of(study.compare, [*study.trainings, *study.detectors]),
    )
