"""Studies: declared training runs, evaluations and comparisons, run as jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdd_eval.lazy import lazy_exports

if TYPE_CHECKING:
    from sdd_eval.studies.builtin import builtin_names, study_file
    from sdd_eval.studies.checks import Lookup
    from sdd_eval.studies.concurrent import run_concurrently
    from sdd_eval.studies.deadline import Deadline, OutOfTime
    from sdd_eval.studies.jobs import Job, Workspace, jobs_of
    from sdd_eval.studies.plan import Planned, plan
    from sdd_eval.studies.ray_engine import require_ray, run_on_ray
    from sdd_eval.studies.resolve import read_study
    from sdd_eval.studies.run import JobOutcome, record_of, run_jobs, stored_runs, write_failures
    from sdd_eval.studies.selection import selections
    from sdd_eval.studies.study import (
        RECORD,
        Gate,
        Study,
        StudyRecord,
        configured,
        read_study_record,
        warnings,
    )
    from sdd_eval.studies.suites import SUITES, Step, steps_of, suite_study
else:
    __getattr__, __all__ = lazy_exports(__name__)
