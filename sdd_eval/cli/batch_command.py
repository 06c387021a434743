"""`sdd-eval batch STUDY.toml`: every training and evaluation of a study that is missing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from sdd_eval.cli.flags import Work, command_line, parse, prepared, table
from sdd_eval.cli.progress_bar import Overall
from sdd_eval.data.root import data_root
from sdd_eval.errors import InputError

if TYPE_CHECKING:
    from sdd_eval.progress import Progress
    from sdd_eval.studies.jobs import Job, Places
    from sdd_eval.studies.plan import Planned
    from sdd_eval.studies.run import Outcome
    from sdd_eval.studies.study import Study


@dataclass(frozen=True)
class Flags:
    """Which study, how much of it, and where results go."""

    study: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="STUDY")] = ""
    """A study file, or the name of one that comes with the package, e.g. paper/table-1."""
    small: bool = False
    """The study's small size: minutes on two cores, on images that need no download."""
    dry_run: bool = False
    """Only list what would run, what is there already, and how long it should take."""
    limit: int | None = None
    """Measure on only so many images of each set; training uses all of its own."""
    seeds: tuple[int, ...] = ()
    """Other seeds than the study's."""
    engine: Literal["local", "ray"] = "local"
    """local: this process, one job after the other; ray: a Ray cluster, a core or GPU a job."""
    address: str | None = None
    """Of the Ray cluster; by default $RAY_ADDRESS, else one on this machine."""
    checkpoints: Path = Path("checkpoints")
    """Folder of checkpoints."""
    reports: Path = Path("reports")
    """Where studies lie."""
    cache: str | None = None
    """Folder where logits and features are kept between evaluations, or off; by default
    $SDD_EVAL_CACHE, else in the user's cache folder."""
    work: Work = field(default_factory=Work)


def run(arguments: Sequence[str]) -> int:
    """Do what is missing; the last lines say what failed and why."""
    title = "All trainings and evaluations of a study; what is there already is not done again."
    flags = parse(Flags, arguments, "batch", title)
    if not flags.study:
        print(_shipped())
        return 0
    device = _device(flags)
    from sdd_eval.studies.builtin import study_file
    from sdd_eval.studies.jobs import jobs_of
    from sdd_eval.studies.plan import plan
    from sdd_eval.studies.schema import read_study
    from sdd_eval.studies.study import warnings

    file = study_file(flags.study)
    study = read_study(file, small=flags.small, seeds=flags.seeds, networks=True)
    places = _places(flags, study, device)
    planned = plan(jobs_of(study), places)
    print(": ".join(filter(None, (study.name, study.title))))
    for line in warnings(study):
        print(f"note: {line}")
    if flags.dry_run:
        print(_plan_told(planned))
        return 0
    for why, count in _blocked(planned).items():
        print(f"note: {count} job{'s' if count > 1 else ''} will fail: {why}")
    outcomes = _run(flags, study, planned, places)
    print(_told(outcomes, places, _choices(study, places)))
    return 0 if all(each.good for each in outcomes) else 1


def _device(flags: Flags) -> str:
    """Where jobs compute; a cluster's own machines tell whether they have GPUs.

    Raises:
        InputError: the device is none, or one GPU of this machine is named for a cluster's jobs, or
            a cluster's address is given and no cluster asked for.
    """
    if flags.engine == "local":
        if flags.address is not None:
            raise InputError("--address is of a Ray cluster; it needs --engine ray")
        return prepared(flags.work)
    device = flags.work.device
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"--device is {device}; for a cluster's jobs it is auto, cpu or cuda")
    prepared(dataclasses.replace(flags.work, device="cpu"))
    return device


def _shipped() -> str:
    """The studies of the package, each with its title."""
    from sdd_eval.studies.builtin import shipped_names, study_file
    from sdd_eval.studies.schema import read_study

    rows = [(name, read_study(study_file(name)).title) for name in shipped_names()]
    return "sdd-eval batch STUDY, where STUDY is a file or one of:\n" + table(rows, ("study", ""))


def _places(flags: Flags, study: Study, device: str) -> Places:
    from sdd_eval.evaluation.cache import outputs_folder
    from sdd_eval.studies.jobs import Places

    if flags.limit is not None and flags.limit < 1:
        raise InputError(f"--limit is {flags.limit}, not a positive number of images")
    return Places(
        checkpoints=flags.checkpoints.absolute(),
        study=(flags.reports / study.name).absolute(),
        data_root=data_root(flags.work.data_root),
        device=device,
        threads=flags.work.threads,
        limit=flags.limit,
        command=command_line(),
        cache=outputs_folder(flags.cache),
        trust_code=flags.work.trust_code,
    )


def _run(flags: Flags, study: Study, planned: Sequence[Planned], places: Places) -> list[Outcome]:
    """Do the jobs, then compare what the file names, and write the report of what there is."""
    from sdd_eval.studies.study_folder import write_failures, write_study

    write_study(places.study, study)
    jobs = [each.job for each in planned]
    seconds = {each.job.key: each.seconds for each in planned}
    with Overall(sum(seconds.values()) + 2.0, len(jobs) + 2) as bar:
        outcomes = _engine(flags, jobs, places, seconds, bar)
        write_failures(places.study, outcomes)
        with bar.job("compare", 1.0):
            _compare(places.study, bar)
        with bar.job("report", 1.0):
            _report(places.study)
    return outcomes


def _engine(
    flags: Flags, jobs: Sequence[Job], places: Places, seconds: dict[str, float], bar: Overall
) -> list[Outcome]:
    """The outcomes of all jobs, on the engine that was asked for."""
    if flags.engine == "ray":
        from sdd_eval.studies.ray_engine import run_on_ray

        def ended(outcome: Outcome) -> None:
            bar.over(outcome.label, seconds.get(outcome.key, 0.0), outcome.seconds)

        return run_on_ray(jobs, places, address=flags.address, ended=ended)
    from sdd_eval.studies.local_engine import run_here

    return run_here(jobs, places, seconds, bar)


def _compare(study: Path, progress: Progress) -> None:
    """The pairs of the study's file of which both sides have runs, unless nothing has changed."""
    from sdd_eval.cli.compare_command import write_compared
    from sdd_eval.comparison.compare import compare_planned, planned_is_current, planned_sides
    from sdd_eval.comparison.families import study_families

    sides, _ = planned_sides(study)
    if sides and not planned_is_current(study):
        found = compare_planned(study, progress=progress)
        list(write_compared(study, found, tuple(study_families(study)), figures=True))


def _report(study: Path) -> None:
    """The page, unless there is no run or it is newer than all of them."""
    from sdd_eval.report.write import current_report, write_report
    from sdd_eval.store import run_paths

    if run_paths(study) and current_report(study) is None:
        write_report(study)


def _plan_told(planned: Sequence[Planned]) -> str:
    """Every job, and the sum of what is missing."""
    rows = [
        (each.job.label, each.state, _duration(each.seconds) if each.seconds else "", _why(each))
        for each in planned
    ]
    left = [each for each in planned if each.state in ("missing", "begun")]
    rough = [each for each in left if each.source.startswith("rough")]
    seconds = sum(each.seconds for each in left)
    to_go = f"; about {_duration(seconds)} to go, one after the other" if left else ""
    count = {state: sum(each.state == state for each in planned) for state in _STATES}
    told = ", ".join(f"{number} {state}" for state, number in count.items() if number)
    basis = f"; {len(rough)} of {len(left)} jobs are estimated roughly" if rough else ""
    end = f"{len(planned)} jobs: {told or 'none'}{to_go}{basis}"
    return f"{table(rows, ('job', 'state', 'takes', ''))}\n{end}"


_STATES = ("there", "begun", "missing", "blocked")


def _why(each: Planned) -> str:
    return each.note or each.source


def _blocked(planned: Sequence[Planned]) -> dict[str, int]:
    """Why jobs will fail as things are, and how many; not those that fail because others do."""
    reasons = [each.note for each in planned if each.state == "blocked" and not each.follows]
    return {why: reasons.count(why) for why in dict.fromkeys(reasons)}


def _duration(seconds: float) -> str:
    """Seconds as people say them.

    >>> _duration(0.4), _duration(75), _duration(9000), _duration(400000)
    ('1 s', '75 s', '2.5 h', '4.6 d')
    """
    for unit, size, limit in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < limit:
            amount = seconds / size
            return f"{max(1, round(amount))} {unit}" if unit != "h" else f"{amount:.1f} {unit}"
    return f"{seconds / 86_400:.1f} d"


def _choices(study: Study, places: Places) -> list[str]:
    """What the study chooses, a line each."""
    from sdd_eval.studies.selection import choices, told

    return [told(each) for each in choices(study, places)]


def _told(outcomes: Sequence[Outcome], places: Places, chosen: Sequence[str]) -> str:
    """The end: the numbers if there are any, what was done, and what failed and why."""
    from sdd_eval.comparison.store import FOLDER, PLANNED
    from sdd_eval.report.tables.headline import headline_text
    from sdd_eval.store import run_paths
    from sdd_eval.studies.study_folder import FAILURES

    lines = [headline_text(places.study), ""] if run_paths(places.study) else []
    lines += [*chosen, *(f"note: {line}" for line in _unanswered(places.study))]
    count: dict[str, int] = {}
    for each in outcomes:
        count[each.result] = count.get(each.result, 0) + 1
    lines.append(", ".join(f"{number} {result}" for result, number in count.items()))
    for path in (places.study / FOLDER / f"{PLANNED}.csv", places.study / "index.html"):
        lines += [_relative(path)] if path.is_file() else []
    failed: list[Any] = [each for each in outcomes if not each.good]
    if failed:
        lines.append(f"{len(failed)} of {len(outcomes)} jobs failed or could not run:")
        lines += [f"  {each.label}: {each.reason}" for each in failed]
    if any(each.trace for each in failed):
        lines.append(f"traces: {_relative(places.study / FAILURES)}")
    return "\n".join(lines)


def _unanswered(study: Path) -> list[str]:
    """What the families of the study's file name and no pair that it compares has."""
    from sdd_eval.comparison.families import unmatched_selectors
    from sdd_eval.comparison.store import load_comparisons

    planned = [each for each in load_comparisons(study)[0] if each.planned]
    return [line for each in planned for line in unmatched_selectors(study, each.pairs)]


def _relative(path: Path) -> str:
    """A path as one would type it here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
