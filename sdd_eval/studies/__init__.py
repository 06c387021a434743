"""Studies: TOML files resolved to trainings, evaluations and comparisons, and run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdd_eval.lazy import lazy_exports

__all__ = [
    "Workspace",
    "builtin_file",
    "builtin_names",
    "jobs_of",
    "plan",
    "read_study",
    "read_study_record",
    "run_jobs",
    "run_on_ray",
    "selections",
    "study_file",
    "warnings",
    "write_failures",
    "write_study",
]

if TYPE_CHECKING:
    from sdd_eval.studies.builtin import builtin_file, builtin_names, study_file
    from sdd_eval.studies.jobs import Workspace, jobs_of
    from sdd_eval.studies.plan import plan
    from sdd_eval.studies.ray_engine import run_on_ray
    from sdd_eval.studies.run import run_jobs, write_failures, write_study
    from sdd_eval.studies.schema import read_study
    from sdd_eval.studies.selection import selections
    from sdd_eval.studies.study import read_study_record, warnings

__getattr__ = lazy_exports(
    __name__,
    {
        "builtin": ["builtin_file", "builtin_names", "study_file"],
        "jobs": ["Workspace", "jobs_of"],
        "plan": ["plan"],
        "ray_engine": ["run_on_ray"],
        "run": ["run_jobs", "write_failures", "write_study"],
        "schema": ["read_study"],
        "selection": ["selections"],
        "study": ["read_study_record", "warnings"],
    },
)
