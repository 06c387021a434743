"""`sdd-eval batch STUDY` and `sdd-eval quickstart`: run what a study lacks, then report it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from sdd_eval import cli, comparison, evaluation, report
from sdd_eval.cli.flags import (
    CachedStorage,
    Compute,
    Storage,
    command_line,
    parse,
    require_positive,
)
from sdd_eval.cli.terminal import duration, relative, table
from sdd_eval.data.root import data_root
from sdd_eval.device import prepare_device
from sdd_eval.errors import InputError
from sdd_eval.store import run_paths, write_record
from sdd_eval.studies.builtin import builtin_file, builtin_names, study_file
from sdd_eval.studies.jobs import Workspace, jobs_of
from sdd_eval.studies.plan import Planned, plan
from sdd_eval.studies.ray_engine import run_on_ray
from sdd_eval.studies.resolve import read_study
from sdd_eval.studies.run import FAILURES, JobOutcome, record_of, run_jobs, write_failures
from sdd_eval.studies.selection import selections
from sdd_eval.studies.study import RECORD, Study, warnings

#: States of jobs, in the order in which they are counted.
STATES = ("done", "interrupted", "missing", "blocked")
#: How long comparison and report count in the progress bar.
_SECONDS = 1.0


@dataclass(frozen=True)
class RayFlags:
    """Where jobs run."""

    engine: Literal["local", "ray"] = "local"
    """local: one job after the other in this process; ray: one core or GPU per job of a cluster."""
    address: str | None = None
    """Address of the Ray cluster; default: $RAY_ADDRESS, else a cluster on this machine."""


@dataclass(frozen=True)
class Flags:
    """Run all missing trainings and evaluations of a study file, then its report."""

    study: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="STUDY")] = ""
    """A study file, or the name of a built-in study, e.g. paper/table-1; default: list them."""
    small: bool = False
    """Run the study's small version: minutes on two CPU cores, on data that needs no download."""
    dry_run: bool = False
    """Only list the jobs, which of them are done, and how long the others should take."""
    limit: int | None = None
    """Evaluate on at most this many images per data set; training uses all."""
    seeds: tuple[int, ...] = ()
    """Seeds that replace those of the study file."""
    storage: CachedStorage = field(default_factory=CachedStorage)
    compute: Compute = field(default_factory=Compute)
    cluster: RayFlags = field(default_factory=RayFlags)


@dataclass(frozen=True)
class QuickstartFlags:
    """Train, evaluate and report cross-entropy and SD-Dropout on scikit-learn's digits."""

    limit: int | None = None
    """Evaluate on at most this many images per data set; training uses all."""
    storage: Storage = field(default_factory=Storage)
    compute: Compute = field(default_factory=Compute)


def run(arguments: Sequence[str]) -> int:
    """Run the missing jobs of a study, then print its results and which jobs failed."""
    flags = parse(Flags, arguments, "batch")
    if not flags.study:
        rows = [(name, read_study(builtin_file(name)).title) for name in builtin_names()]
        print("usage: sdd-eval batch STUDY, where STUDY is a file or one of:")
        print(table(rows, ("study", "")))
        return 0
    device = _device(flags)
    file = study_file(flags.study)
    study = read_study(file, small=flags.small, seeds=flags.seeds, check_positions=True)
    workspace = _workspace(flags, study, device, flags.storage.cache)
    planned = plan(jobs_of(study), workspace)
    print(": ".join(filter(None, (study.name, study.title))))
    for line in warnings(study):
        print(f"note: {line}")
    if flags.dry_run:
        print(_plan_table(planned))
        return 0
    blocked = (p for p in planned if p.state == "blocked" and not p.needs_blocked)
    for reason, count in Counter(job.note for job in blocked).items():
        print(f"note: {count} job{'s' if count > 1 else ''} will fail: {reason}")
    outcomes = _run(study, workspace, planned, flags.cluster)
    print("\n".join([*_results(study, workspace), *_summary(outcomes, workspace.study)]))
    return 0 if all(outcome.succeeded for outcome in outcomes) else 1


def run_quickstart(arguments: Sequence[str]) -> int:
    """Run the built-in study `quickstart`, then print its headline numbers and report."""
    flags = parse(QuickstartFlags, arguments, "quickstart")
    device = prepare_device(flags.compute.device, flags.compute.threads)
    study = read_study(builtin_file("quickstart"))
    workspace = _workspace(flags, study, device, None)
    planned = plan(jobs_of(study), workspace)
    outcomes = _run(study, workspace, planned, RayFlags())
    if run_paths(workspace.study):
        print(report.headline_text(workspace.study))
    if all(outcome.succeeded for outcome in outcomes):
        print(relative(workspace.study / "index.html"))
        return 0
    print("\n".join(_summary(outcomes, workspace.study)))
    return 1


def _device(flags: Flags) -> str:
    """Return the device of the jobs; the nodes of a cluster decide whether they have GPUs."""
    if flags.cluster.engine == "local":
        if flags.cluster.address is not None:
            raise InputError("--address is the address of a Ray cluster; it needs --engine ray")
        return prepare_device(flags.compute.device, flags.compute.threads)
    device = flags.compute.device
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"--device is {device}; for the jobs of a cluster use auto, cpu or cuda")
    prepare_device("cpu", flags.compute.threads)
    return device


def _workspace(
    flags: Flags | QuickstartFlags, study: Study, device: str, cache: str | None
) -> Workspace:
    require_positive("--limit", flags.limit)
    return Workspace(
        checkpoints=flags.storage.checkpoints.absolute(),
        study=(flags.storage.reports / study.name).absolute(),
        data_root=data_root(flags.storage.data_root),
        device=device,
        threads=flags.compute.threads,
        limit=flags.limit,
        command=command_line(),
        cache=evaluation.outputs_folder(cache),
        trust_code=flags.compute.trust_code,
    )


def _run(
    study: Study, workspace: Workspace, planned: Sequence[Planned], cluster: RayFlags
) -> list[JobOutcome]:
    """Run the jobs, the comparisons of the study file, and the report."""
    write_record(workspace.study / RECORD, record_of(study))
    jobs = [plan.job for plan in planned]
    seconds = {plan.job.key: plan.seconds for plan in planned}
    steps = {"compare": _compare, "report": _report}
    if not study.compare:
        del steps["compare"]
    total = sum(seconds.values()) + _SECONDS * len(steps)
    with cli.Overall(total, len(jobs) + len(steps)) as bar:
        if cluster.engine == "ray":

            def on_outcome(outcome: JobOutcome) -> None:
                bar.over(outcome.label, seconds.get(outcome.key, 0.0), outcome.seconds)

            outcomes = run_on_ray(jobs, workspace, address=cluster.address, on_outcome=on_outcome)
        else:
            outcomes = run_jobs(jobs, workspace, seconds, bar)
        write_failures(workspace.study, outcomes)
        for label, step in steps.items():
            with bar.job(label, _SECONDS):
                step(workspace.study, bar)
    return outcomes


def _compare(study: Path, bar: cli.Overall) -> None:
    """Write the comparisons of the study file, unless they are up to date."""
    sides, _ = comparison.planned_sides(study)
    if sides and not comparison.planned_is_current(study):
        result = comparison.compare_planned(study, progress=bar)
        report.write_comparison(study, result, tuple(comparison.study_families(study)))


def _report(study: Path, bar: cli.Overall) -> None:
    """Write the report, unless it is up to date or there is no run."""
    if run_paths(study) and report.current_report(study) is None:
        report.write_report(study)


def _plan_table(planned: Sequence[Planned]) -> str:
    rows = [
        (
            plan.job.label,
            plan.state,
            duration(plan.seconds) if plan.seconds else "",
            plan.note or plan.source,
        )
        for plan in planned
    ]
    todo = [plan for plan in planned if plan.state in ("missing", "interrupted")]
    rough = sum(plan.source.startswith("rough") for plan in todo)
    counts: Counter[str] = Counter(plan.state for plan in planned)
    states = [f"{counts[state]} {state}" for state in STATES if counts[state]]
    last = f"{len(planned)} jobs: {', '.join(states) or 'none'}"
    if todo:
        seconds = sum(plan.seconds for plan in todo)
        last += f"; about {duration(seconds)} if run one after the other"
    if rough:
        last += f"; {rough} of {len(todo)} estimates are rough"
    return f"{table(rows, ('job', 'state', 'takes', ''))}\n{last}"


def _results(study: Study, workspace: Workspace) -> list[str]:
    lines = [report.headline_text(workspace.study), ""] if run_paths(workspace.study) else []
    lines += map(str, selections(study, workspace))
    for stored in comparison.load_comparisons(workspace.study)[0]:
        notes = (
            comparison.unmatched_selectors(workspace.study, stored.pairs) if stored.planned else ()
        )
        lines += [f"note: {line}" for line in notes]
    return lines


def _summary(outcomes: Sequence[JobOutcome], study: Path) -> list[str]:
    """Return how many jobs ended how, the files to read, and why jobs failed."""
    counts = Counter(outcome.result for outcome in outcomes)
    lines = [", ".join(f"{number} {result}" for result, number in counts.items())]
    for path in (study / "comparisons" / "planned.csv", study / "index.html"):
        lines += [relative(path)] if path.is_file() else []
    failed: list[Any] = [outcome for outcome in outcomes if not outcome.succeeded]
    if failed:
        lines.append(f"{len(failed)} of {len(outcomes)} jobs failed or were not run:")
        lines += [f"  {outcome.label}: {outcome.reason}" for outcome in failed]
    if any(outcome.trace for outcome in failed):
        lines.append(f"tracebacks: {relative(study / FAILURES)}")
    return lines
