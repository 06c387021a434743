"""`sdd-eval batch STUDY` and `sdd-eval quickstart`: run a study's missing jobs and report."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from sdd_eval import cli, comparison, evaluation, report, studies
from sdd_eval.cli import gate
from sdd_eval.cli.flags import (
    CachedStorage,
    Compute,
    Storage,
    command_line,
    parse,
)
from sdd_eval.cli.terminal import duration, relative, say, table, width
from sdd_eval.cli.verbosity import Verbosity, is_quiet
from sdd_eval.data.root import data_root
from sdd_eval.device import prepare_device
from sdd_eval.errors import InputError
from sdd_eval.progress import Progress
from sdd_eval.store import run_paths, update_record
from sdd_eval.validation import FROM_1, bounded

#: Maximum number of jobs that run at the same time.
JOBS = FROM_1.at_most(1024, "each takes a process with memory of its own")

#: The file in a study's folder with the tracebacks of failed jobs.
FAILURES = "failures.txt"
#: The file in a study's folder with the comparisons that the study file defines.
COMPARED = "comparisons/planned.csv"
#: States of jobs, in the order in which they are listed.
STATES = ("done", "interrupted", "missing", "blocked")
#: The steps after the jobs.
_COMPARE, _REPORT = "compare", "report"
#: How long each of these steps counts in the progress bar.
_SECONDS = 5.0
#: The share of a deadline that is reserved for the report, and its maximum in seconds.
_RESERVED, _MOST_RESERVED = 0.1, 30.0
#: Exit code of a command stopped by its deadline.
_LEFT = 4


@dataclass(frozen=True)
class EngineFlags:
    """Where jobs run."""

    jobs: int = bounded(1, JOBS)
    """Number of concurrent trainings and evaluations, each in a process with one CPU thread unless
    --threads is given; several small networks can share a GPU."""
    engine: Literal["local", "ray"] = "local"
    """local: on this machine; ray: one core or GPU per job of a cluster."""
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
    """Only list the jobs, which of them are done, and the estimated time for the others."""
    limit: int | None = bounded(None, FROM_1)
    """Evaluate on at most this many images per data set; training uses all."""
    seeds: tuple[int, ...] = ()
    """Seeds to use instead of those in the study file."""
    deadline: float | None = bounded(None, FROM_1)
    """Stop after the last step that fits into this many seconds and list what is left, with exit
    code 4; run the same command again to continue."""
    storage: CachedStorage = field(default_factory=CachedStorage)
    compute: Compute = field(default_factory=Compute)
    engine: EngineFlags = field(default_factory=EngineFlags)
    output: Verbosity = field(default_factory=Verbosity)


@dataclass(frozen=True)
class QuickstartFlags:
    """Train, evaluate and report cross-entropy and SD-Dropout on scikit-learn's digits."""

    limit: int | None = bounded(None, FROM_1)
    """Evaluate on at most this many images per data set; training uses all."""
    storage: Storage = field(default_factory=Storage)
    compute: Compute = field(default_factory=Compute)
    output: Verbosity = field(default_factory=Verbosity)


def run(arguments: Sequence[str]) -> int:
    """Run the missing jobs of a study, then print its results and the failed jobs."""
    flags = parse(Flags, arguments, "batch")
    deadline = studies.Deadline(flags.deadline or math.inf)
    if not flags.study:
        names = studies.builtin_names()
        rows = [(name, studies.read_study(studies.study_file(name)).title) for name in names]
        print("usage: sdd-eval batch STUDY, where STUDY is a file or one of:")
        print(table(rows, ("study", "")))
        return 0
    device = _device(flags)
    file = studies.study_file(flags.study)
    lookup = studies.Lookup(
        data_root(flags.storage.data_root), flags.storage.checkpoints, flags.compute.trust_code
    )
    study = studies.read_study(file, small=flags.small, seeds=flags.seeds, lookup=lookup)
    workspace = workspace_of(flags, study, device, flags.limit)
    workspace = replace(workspace, threads=_threads(flags))
    planned = studies.plan(studies.jobs_of(study), workspace)
    say(": ".join(filter(None, (study.name, study.title))))
    for line in studies.warnings(study):
        say(f"note: {line}")
    if flags.dry_run:
        print(_plan_table(planned))
        return 0
    blocked = (p for p in planned if p.state == "blocked" and not p.needs_blocked)
    for reason, count in Counter(job.note for job in blocked).items():
        say(f"note: {count} job{'s' if count > 1 else ''} will fail: {reason}")
    outcomes = run_planned(study, workspace, planned, flags.engine, deadline=deadline)
    print_outcome(study, workspace, outcomes)
    left = [outcome.key for outcome in outcomes if outcome.result == "left"]
    if left:
        print(_left_text(left, [plan.job for plan in planned], workspace))
    gated = [] if left else _gated(study, workspace)
    if any(outcome.failed for outcome in outcomes):
        return 1
    return _LEFT if left else gate.exit_code(gated)


def _left_text(
    left: Sequence[str], jobs: Sequence[studies.Job], workspace: studies.Workspace
) -> str:
    """Return what the deadline left undone, and how long it should take."""
    planned = studies.plan([job for job in jobs if job.key in left], workspace)
    steps = [key for key in left if key in (_COMPARE, _REPORT)]
    lines = ["\nleft at the deadline; the same command goes on:", *steps]
    return "\n".join([*lines, _plan_table(planned)] if planned else lines)


def _gated(study: studies.Study, workspace: studies.Workspace) -> list[comparison.GateResult]:
    """Decide and print the conditions of the study file that have runs on both sides."""
    stored = comparison.load_comparisons(workspace.study)[0] if study.gates else ()
    pairs = [pair for compared in stored if compared.planned for pair in compared.pairs]
    gated = gate.judged(workspace.study, pairs, study.gates)
    if gated:
        print(f"\n{gate.gate_table(gated)}")
    return gated


def run_quickstart(arguments: Sequence[str]) -> int:
    """Run the built-in study `quickstart`, then print its headline numbers and report."""
    flags = parse(QuickstartFlags, arguments, "quickstart")
    device = prepare_device(flags.compute.device, flags.compute.threads)
    study = studies.read_study(studies.study_file("quickstart"))
    workspace = workspace_of(flags, study, device, flags.limit)
    planned = studies.plan(studies.jobs_of(study), workspace)
    outcomes = run_planned(study, workspace, planned)
    print_outcome(study, workspace, outcomes)
    return 0 if all(outcome.succeeded for outcome in outcomes) else 1


def _device(flags: Flags) -> str:
    """Return the device of the jobs; on a cluster, each node determines whether it has GPUs."""
    device = flags.compute.device
    if flags.engine.engine == "local":
        if flags.engine.address is not None:
            raise InputError("--address is the address of a Ray cluster; it needs --engine ray")
        return prepare_device(device, _threads(flags))
    if flags.deadline is not None:
        message = "--deadline is for this machine; with --engine ray give the cluster's own limit"
        raise InputError(f"{message}: this command does not see how far a job of a node is")
    if flags.engine.jobs > 1:
        raise InputError("--jobs is for this machine; with --engine ray the cluster decides")
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"--device is {device}; for the jobs of a cluster use auto, cpu or cuda")
    studies.require_ray()
    prepare_device("cpu", flags.compute.threads)
    return device


def _threads(flags: Flags) -> int | None:
    """Return the number of threads of a job: by default one if several jobs run concurrently."""
    several = flags.engine.jobs > 1
    return 1 if several and flags.compute.threads is None else flags.compute.threads


def workspace_of(
    flags: Any, study: studies.Study, device: str, limit: int | None
) -> studies.Workspace:
    """Return the folders and options of jobs from the flag groups `storage` and `compute`."""
    return studies.Workspace(
        checkpoints=flags.storage.checkpoints.absolute(),
        study=(flags.storage.reports / study.name).absolute(),
        data_root=data_root(flags.storage.data_root),
        device=device,
        threads=flags.compute.threads,
        limit=limit,
        command=command_line(),
        cache=evaluation.outputs_folder(getattr(flags.storage, "cache", None)),
        trust_code=flags.compute.trust_code,
    )


def run_planned(
    study: studies.Study,
    workspace: studies.Workspace,
    planned: Sequence[studies.Planned],
    engine: EngineFlags | None = None,
    compared: Sequence[str] = (),
    images: bool = True,
    deadline: studies.Deadline | None = None,
) -> list[studies.JobOutcome]:
    """Run the jobs, the comparisons of the study file or of given checkpoints, and the report.

    Without `images`, the page has no pictures. Steps that do not fit before the deadline are
    "left".
    """
    update_record(workspace.study / studies.RECORD, studies.record_of(study))
    jobs = [plan.job for plan in planned]
    seconds = {plan.job.key: plan.seconds for plan in planned}
    compare = partial(_compare_named, compared) if len(compared) > 1 else _compare
    compares = bool(study.compare) or len(compared) > 1
    total = sum(seconds.values()) + _SECONDS * (1 + compares)
    deadline = deadline or studies.Deadline()
    reserved = min(_RESERVED * deadline.left, _MOST_RESERVED)
    of_jobs = deadline.before(reserved, {plan.job.key: plan.least for plan in planned})
    with cli.Overall(total, len(jobs) + 1 + compares) as bar:
        engine = engine or EngineFlags()
        if engine.engine == "ray":

            def on_outcome(outcome: studies.JobOutcome) -> None:
                bar.over(outcome.label, seconds.get(outcome.key, 0.0), outcome.seconds)

            outcomes = studies.run_on_ray(
                jobs, workspace, address=engine.address, on_outcome=on_outcome
            )
        elif engine.jobs > 1 and sum(plan.state != "done" for plan in planned) > 1:
            outcomes = studies.run_concurrently(jobs, workspace, seconds, bar, engine.jobs, of_jobs)
        else:
            outcomes = studies.run_jobs(jobs, workspace, seconds, bar, of_jobs)
        if compares:
            try:
                outcomes += _step(_COMPARE, partial(compare, workspace.study), bar, of_jobs)
            except InputError as error:  # the report is written anyway
                reason = " ".join(str(error).split())
                outcomes.append(studies.JobOutcome(_COMPARE, _COMPARE, "failed", reason=reason))
        studies.write_failures(workspace.study / FAILURES, outcomes)
        write = partial(_report, images and study.images, workspace.study)
        outcomes += _step(_REPORT, write, bar, deadline)
    return outcomes


def _step(
    label: str, step: Callable[[Progress], None], bar: cli.Overall, deadline: studies.Deadline
) -> list[studies.JobOutcome]:
    """Run a step after the jobs; return its outcome if the deadline prevents it."""
    try:
        if deadline.left > 0:
            with deadline.alarm(), bar.job(label, _SECONDS):
                step(deadline.watch(bar))
            return []
    except studies.OutOfTime:
        pass
    return [studies.JobOutcome(label, label, "left")]


def _compare(study: Path, bar: Progress) -> None:
    """Write the comparisons of the study file unless they are up to date."""
    sides, _ = comparison.planned_sides(study)
    written = report.comparison_is_written(study, "planned")
    if sides and not (written and comparison.planned_is_current(study)):
        result = comparison.compare_planned(study, progress=bar)
        report.write_comparison(study, result, tuple(comparison.study_families(study)))


def _compare_named(checkpoints: Sequence[str], study: Path, bar: Progress) -> None:
    """Compare the first checkpoint with runs to the others."""
    evaluated = [name for name in checkpoints if comparison.has_runs(study, name)]
    if len(evaluated) > 1:
        result = comparison.compare(study, evaluated, progress=bar)
        families = tuple(comparison.study_families(study))
        report.write_comparison(study, result, families, figures=False)


def _report(images: bool, study: Path, bar: Progress) -> None:
    """Write the report unless it is up to date or there are no runs."""
    if run_paths(study) and report.current_report(study, images=images) is None:
        report.write_report(study, progress=bar, images=images)


def _plan_table(planned: Sequence[studies.Planned]) -> str:
    rows = [
        (p.job.label, p.state, duration(p.seconds) if p.seconds else "", p.note or p.source)
        for p in planned
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


def print_outcome(
    study: studies.Study,
    workspace: studies.Workspace,
    outcomes: Sequence[studies.JobOutcome],
    notes: Sequence[str] = (),
) -> None:
    """Print the numbers, the notes, the files to look at, and why jobs failed."""
    counts = Counter(outcome.result for outcome in outcomes)
    if not is_quiet():
        for text in (*_results(study, workspace), *notes, *_warnings(outcomes)):
            say(text)
        say(", ".join(f"{number} {result}" for result, number in counts.items()))
    for path in (workspace.study / COMPARED, workspace.study / "index.html"):
        if path.is_file():
            print(relative(path))
    for line in _failures(outcomes, workspace.study):
        print(line)


def _results(study: studies.Study, workspace: studies.Workspace) -> Iterator[str]:
    """Yield the headline table, the selected hyper-parameters, and the impossible comparisons."""
    if run_paths(workspace.study):
        yield report.headline_text(workspace.study, width=width())
        yield ""
    yield from map(str, studies.selections(study, workspace))
    for stored in comparison.load_comparisons(workspace.study)[0]:
        if stored.planned:
            for line in comparison.unmatched_selectors(workspace.study, stored.pairs):
                yield f"note: {line}"


def _warnings(outcomes: Sequence[studies.JobOutcome]) -> Iterator[str]:
    """Yield each warning of the runs once."""
    yield from dict.fromkeys(f"warning: {text}" for one in outcomes for text in one.warnings)


def _failures(outcomes: Sequence[studies.JobOutcome], study: Path) -> Iterator[str]:
    """Yield which jobs failed and why, and the file with the tracebacks."""
    failed = [outcome for outcome in outcomes if outcome.failed]
    if failed:
        yield f"{len(failed)} of {len(outcomes)} jobs failed or were not run:"
        yield from (f"  {outcome.label}: {outcome.reason}" for outcome in failed)
    if any(outcome.trace for outcome in failed):
        yield f"tracebacks: {relative(study / FAILURES)}"
