"""`sdd-eval evaluate CHECKPOINT…`: run a suite of evaluators and write the report."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sdd_eval import checkpoints, studies
from sdd_eval.checkpoints.import_source import ImportSource
from sdd_eval.cli.batch_command import print_outcome, run_planned, workspace_of
from sdd_eval.cli.flags import (
    CachedStorage,
    Checkpoints,
    Compute,
    parse,
)
from sdd_eval.cli.given_logits import GivenLogits, evaluate_logits
from sdd_eval.cli.import_command import import_network
from sdd_eval.cli.verbosity import Verbosity
from sdd_eval.data.root import data_root
from sdd_eval.device import prepare_device
from sdd_eval.errors import InputError
from sdd_eval.records import encode
from sdd_eval.store import folder_name
from sdd_eval.validation import FROM_1, bounded


@dataclass(frozen=True)
class Suite:
    """What to measure."""

    suite: Literal["quick", "standard", "full", "paper"] = "quick"
    """quick: accuracy, calibration, selective prediction, corruptions of 500 images, and
    logit-based detectors if --outliers are given; standard: also FGSM, ODIN and all corrupted
    images; full: also all detectors, the attack audit and the mask variance; paper: its Tables 2,
    5, 6 and 7."""
    evaluators: tuple[str, ...] = ()
    """Evaluators to run instead, with their settings from the suite or their defaults."""


@dataclass(frozen=True)
class Import(ImportSource):
    """A network to import first, instead of checkpoints, and the test set."""

    name: str = ""
    """Name of the imported checkpoint; default: that of the weights file."""
    dataset: str | None = None
    """Test set, or a folder of images, whose classes the network predicts; default: the test set of
    the checkpoint's training data."""


@dataclass(frozen=True)
class Data:
    """Which other images to evaluate on."""

    outliers: tuple[str, ...] = ()
    """OOD sets, folders of images, or groups of sets (near, far, paper); default: those usual for
    the test set."""
    corrupted: str = ""
    """Corrupted version of the test set; default: the one that belongs to the test set, or else
    images corrupted on the fly."""
    limit: int | None = bounded(None, FROM_1)
    """Evaluate on at most this many images of each set, a seeded subset balanced by class."""
    until: float | None = None
    """Evaluate on increasingly many images until the 95 % half-width of each rate that summarises a
    network is below this value, such as 0.005; all checkpoints use the same images."""


@dataclass(frozen=True)
class Storage(CachedStorage):
    """Where files are read and written."""

    study: str = "default"
    """Name of the study that the runs belong to; its existing runs are reused."""


@dataclass(frozen=True)
class Output(Verbosity):
    """What to print."""

    json: bool = False
    """Print a JSON document with the runs and the path of the page instead of a table."""
    images: bool = True
    """Show pictures of test images on the page: mistakes, accepted outliers, corruptions and
    attacks."""


@dataclass(frozen=True)
class Flags:
    """Run a suite of evaluators on checkpoints, then print the results and write the report."""

    checkpoint: Checkpoints = ()
    suite: Suite = field(default_factory=Suite)
    files: GivenLogits = field(default_factory=GivenLogits)
    model: Import = field(default_factory=Import)
    data: Data = field(default_factory=Data)
    storage: Storage = field(default_factory=Storage)
    compute: Compute = field(default_factory=Compute)
    output: Output = field(default_factory=Output)


def run(arguments: Sequence[str]) -> int:
    """Run the missing evaluations; return 1 if one fails."""
    flags = parse(Flags, arguments, "evaluate")
    device = prepare_device(flags.compute.device, flags.compute.threads)
    if flags.files.logits:
        return evaluate_logits(flags)
    for name, value in vars(flags.files).items():
        if value:
            raise InputError(f"--{name.replace('_', '-')} needs --logits FILE.npy")
    study = _study(flags, _checkpoints(flags, device))
    workspace = workspace_of(flags, study, device, flags.data.limit)
    evaluated = tuple(dict.fromkeys(evaluation.checkpoint for evaluation in study.evaluations))
    workspace = dataclasses.replace(workspace, until=_until(flags.data.until), compared=evaluated)
    planned = studies.plan(studies.jobs_of(study), workspace)
    blocked = [plan for plan in planned if plan.state == "blocked"]
    if flags.suite.evaluators or len(blocked) == len(planned):
        _refuse(blocked)
    _refuse(plan for plan in blocked if _uses_named_data(plan, flags.data))
    notes = [f"note: {plan.job.label} is left out: {plan.note}" for plan in blocked]
    possible = [plan for plan in planned if plan.state != "blocked"]
    names = tuple(dict.fromkeys(Path(name).name for name in evaluated))
    options: Any = {"compared": names, "images": flags.output.images}
    outcomes = run_planned(study, workspace, possible, **options)
    if flags.output.json:
        print(json.dumps(_document(study, workspace), indent=1, ensure_ascii=False))
    else:
        print_outcome(study, workspace, outcomes, notes)
    return 0 if all(outcome.succeeded for outcome in outcomes) else 1


def _checkpoints(flags: Flags, device: str) -> tuple[str, ...]:
    """Return the given checkpoints, or the imported one."""
    source, default = flags.model, vars(Import(dataset=flags.model.dataset))
    if not source.arch:
        given = [name for name, value in vars(source).items() if value != default[name]]
        if given:
            raise InputError(f"--{given[0].replace('_', '-')} needs --arch and --weights")
        if not flags.checkpoint:
            raise InputError("no checkpoint is named; use: sdd-eval evaluate CHECKPOINT…")
        return flags.checkpoint
    if flags.checkpoint or source.weights == Path():
        raise InputError("--arch needs --weights FILE, and no checkpoint beside it")
    name = folder_name("--name", source.name or source.weights.stem)
    import_network(
        source,
        flags.storage.checkpoints / name,
        data_root(flags.storage.data_root),
        device=device,
        trust_code=flags.compute.trust_code,
        file=sys.stderr if flags.output.json else None,
    )
    return (name,)


def _study(flags: Flags, names: Sequence[str]) -> studies.Study:
    """Return the evaluations as a study."""
    parent, suite, data = flags.storage.checkpoints, flags.suite, flags.data
    folders = [checkpoints.find_folder(name, parent) for name in names]
    names = [f.name if f.parent == parent else str(f.absolute()) for f in folders]
    steps = studies.SUITES[suite.suite]
    return studies.suite_study(
        folder_name("--study", flags.storage.study),
        tuple(dict.fromkeys(names)),
        tuple(studies.steps_of(suite.evaluators, steps)) if suite.evaluators else steps,
        dataset=flags.model.dataset,
        outliers=data.outliers,
        corrupted=data.corrupted,
    )


def _until(until: float | None) -> float | None:
    if until is not None and not 0 < until < 1:
        raise InputError(f"--until is {until:g}; it must be above 0 and below 1, as 0.005")
    return until


def _refuse(blocked: Iterable[studies.Planned]) -> None:
    """Raise InputError with the reasons if any evaluation cannot run."""
    reasons = dict.fromkeys(plan.note for plan in blocked)
    if reasons:
        raise InputError("; ".join(reasons))


def _uses_named_data(plan: studies.Planned, data: Data) -> bool:
    """Return whether an evaluation uses data named by flags."""
    settings = getattr(plan.job.work, "settings", {}).values()
    return any(value and value in settings for value in (data.outliers, data.corrupted))


def _document(study: studies.Study, workspace: studies.Workspace) -> dict[str, Any]:
    """Return the runs of the study's evaluations, and the path of its page."""
    runs = [encode(run) for run in studies.stored_runs(study, workspace)]
    return {"page": str(workspace.study / "index.html"), "runs": runs}
