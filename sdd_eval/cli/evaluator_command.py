"""`sdd-eval EVALUATOR CHECKPOINT…`: one command for every installed evaluator."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from sdd_eval import checkpoints, cli, evaluation, plugins, report
from sdd_eval.cli.flags import CachedStorage, Checkpoints, Compute, Ungrouped, command_line, parse
from sdd_eval.cli.terminal import print_warnings, say, table
from sdd_eval.cli.verbosity import Verbosity, is_quiet
from sdd_eval.data.root import data_root
from sdd_eval.device import prepare_device
from sdd_eval.errors import InputError
from sdd_eval.evaluators.evaluator import task_of
from sdd_eval.former_names import FORMER_NAMES, FormerNames
from sdd_eval.object_detection.recipe import EVALUATION_BATCH_SIZE
from sdd_eval.records import OBJECT_DETECTION, encode
from sdd_eval.store import folder_name
from sdd_eval.validation import FROM_0, FROM_1, bounded


@dataclass(frozen=True)
class Data:
    """Which images to evaluate on."""

    dataset: str | None = None
    """Test set, or a folder of images; default: the test set of the training data."""
    limit: int | None = bounded(None, FROM_1)
    """Evaluate on at most this many images, a seeded subset balanced by class; default: all."""
    seed: int = bounded(0, FROM_0)
    """Seed of the subset and of all other randomness."""


@dataclass(frozen=True)
class Inference(Compute):
    """How to run the networks."""

    batch_size: int = bounded(256, FROM_1)
    """Images per batch."""


@dataclass(frozen=True)
class ClassifierInference(Inference):
    """How to run the networks."""

    fold: bool = True
    """Fold batch normalisation into the preceding layers if results do not change; faster."""
    tf32: bool = False
    """Allow TF32 on a GPU except for gradients; recorded in each run."""


@dataclass(frozen=True)
class Storage(CachedStorage):
    """Where files are read and written."""

    study: str = "default"
    """Name of the study that the runs belong to."""


@dataclass(frozen=True)
class Output(Verbosity):
    """What to print."""

    json: bool = False
    """Print the run as JSON instead of a table; an array for several checkpoints."""


def run(name: str, arguments: Sequence[str]) -> int:
    """Evaluate each checkpoint with the evaluator of the given name.

    If a checkpoint cannot be evaluated, report it, evaluate the others and return exit code 2.
    """
    evaluator = plugins.load("evaluators", name)
    command = name.replace("_", "-")
    description = evaluator.__doc__ or ""
    former = FORMER_NAMES.get(name, FormerNames()).settings
    flags: Any = parse(_flags(evaluator), arguments, command, description, former)
    request = _request(flags, command)
    parent = flags.storage.checkpoints
    folders = [checkpoints.find_folder(checkpoint, parent) for checkpoint in flags.checkpoint]
    runs = []
    for folder in folders:
        try:
            with cli.Bar(f"{request.evaluator.name} {folder.name}: ", "images") as bar:
                outcome = evaluation.evaluate_checkpoint(folder, request, bar)
        except InputError as error:
            if len(folders) == 1:
                raise
            message = " ".join(str(error).split())
            print(f"sdd-eval: {folder.name}: {message}", file=sys.stderr)
            continue
        runs.append(encode(outcome.run))
        if not flags.output.json:
            say(_summary(outcome))
            print(outcome.path if is_quiet() else f"{outcome.path}\n")
        print_warnings(outcome.run.provenance.warnings or ())
    if flags.output.json:
        print(json.dumps(runs if len(folders) > 1 else runs[0], indent=1, ensure_ascii=False))
    return 0 if len(runs) == len(folders) else 2


def _flags(evaluator: Any) -> type[Any]:
    """Return a dataclass of a command's flags, including the evaluator's settings."""
    detects = task_of(evaluator) == OBJECT_DETECTION
    inference = Inference(batch_size=EVALUATION_BATCH_SIZE) if detects else ClassifierInference()
    groups = {"data": Data(), "inference": inference, "storage": Storage(), "output": Output()}
    return dataclasses.make_dataclass(
        "Flags",
        [
            ("checkpoint", Checkpoints, field(default=())),
            ("settings", Annotated[evaluator, Ungrouped], field(default_factory=evaluator)),
            *((name, type(group), field(default=group)) for name, group in groups.items()),
        ],
        frozen=True,
    )


def _request(flags: Any, command: str) -> evaluation.Request:
    if not flags.checkpoint:
        raise InputError(f"no checkpoint is named; use: sdd-eval {command} CHECKPOINT…")
    storage, inference = flags.storage, flags.inference
    return evaluation.Request(
        evaluator=flags.settings,
        device=prepare_device(inference.device, inference.threads),
        study=storage.reports / folder_name("--study", storage.study),
        data_root=data_root(storage.data_root),
        dataset=flags.data.dataset,
        limit=flags.data.limit,
        seed=flags.data.seed,
        batch_size=inference.batch_size,
        command=command_line(),
        trust_code=inference.trust_code,
        fold=getattr(inference, "fold", False),
        tf32=getattr(inference, "tf32", False),
        cache=evaluation.outputs_folder(storage.cache),
        pictures=True,
    )


def _summary(outcome: evaluation.Outcome) -> str:
    """Return the most important numbers of a run as a table."""
    numbers = report.run_table(outcome.run)
    lines = [", ".join(numbers.shared)] if numbers.shared else []
    rows = [*zip(*numbers.columns.values(), strict=True)]
    lines.append(table(rows, [*numbers.columns], ("metric", "value", numbers.interval)))
    lines += [f"… and {numbers.omitted} more in the run"] if numbers.omitted else []
    return "\n".join([_title(outcome), *lines])


def _title(outcome: evaluation.Outcome) -> str:
    run = outcome.run
    how = (
        "measured" if outcome.evaluated else "re-scored" if outcome.scored else "stored run reused"
    )
    images = f"{run.n:,} images" + (" (--limit)" if run.limit else "")
    data = ", ".join(
        f"{name} ({facts.origin}" + (f", {facts.classes:,} classes)" if facts.classes else ")")
        for name, facts in run.provenance.data.items()
    )
    return f"{run.checkpoint} · {run.evaluator} on {images} of {data}, {how}"
