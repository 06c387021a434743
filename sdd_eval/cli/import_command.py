"""`sdd-eval import NAME --arch ARCH --weights FILE --dataset SET`: import external weights."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from sdd_eval import checkpoints, cli, evaluation, models
from sdd_eval.checkpoints.import_source import ImportSource
from sdd_eval.cli.flags import Compute, Inputs, Name, parse, require_positive
from sdd_eval.cli.terminal import print_warnings, say
from sdd_eval.cli.verbosity import Verbosity, is_quiet
from sdd_eval.data.classes import class_sizes
from sdd_eval.data.image_folder import is_resized
from sdd_eval.data.provenance import USERS_FOLDER
from sdd_eval.data.root import data_root
from sdd_eval.device import prepare_device
from sdd_eval.errors import InputError

#: Accepted deviation of the accuracy from --expect, in percentage points.
TOLERANCE = 0.5


@dataclass(frozen=True)
class Accuracy:
    """The expected accuracy."""

    expect: float | None = None
    """Expected accuracy in percent; the exit code is 1 if it is off by more than 0.5 points."""


@dataclass(frozen=True)
class Inference(Compute):
    """How to run the network."""

    batch_size: int = 256
    """Images per batch."""


@dataclass(frozen=True)
class Storage(Inputs):
    """Where files are read and written."""

    overwrite: bool = False
    """Replace an existing checkpoint with this name."""


@dataclass(frozen=True)
class Flags:
    """Convert existing weights to a checkpoint and measure its accuracy."""

    name: Name = ""
    """Name of the checkpoint."""
    model: ImportSource = field(default_factory=ImportSource)
    accuracy: Accuracy = field(default_factory=Accuracy)
    storage: Storage = field(default_factory=Storage)
    inference: Inference = field(default_factory=Inference)
    output: Verbosity = field(default_factory=Verbosity)


def run(arguments: Sequence[str]) -> int:
    """Import one network; return 1 if its accuracy is not as expected."""
    flags = parse(Flags, arguments, "import")
    _check(flags)
    device = prepare_device(flags.inference.device, flags.inference.threads)
    imported, plan = import_network(
        flags.model,
        flags.storage.checkpoints / flags.name,
        data_root(flags.storage.data_root),
        device=device,
        batch_size=flags.inference.batch_size,
        overwrite=flags.storage.overwrite,
        trust_code=flags.inference.trust_code,
    )
    if is_quiet():
        print(flags.storage.checkpoints / flags.name)
    if plan.images is None:
        say("accuracy not measured: no --dataset")
        return 0
    percent = 100 * imported.card.metrics["accuracy"]
    missed = _check_accuracy(percent, flags.accuracy.expect, plan.images)
    for other, value in zip(plan.alternatives, imported.other_accuracies, strict=False):
        _print_other(percent, 100 * value, other)
    return missed


def import_network(
    source: ImportSource,
    folder: Path,
    root: Path,
    *,
    device: str,
    batch_size: int = 256,
    overwrite: bool = False,
    trust_code: bool = False,
    file: TextIO | None = None,
) -> tuple[checkpoints.Imported, checkpoints.ImportPlan]:
    """Import a network unless it is in the folder; print details to `file`, by default stdout."""
    tell = partial(say, file=file)
    if models.is_factory(source.arch) and trust_code:
        tell(f"running the code of {source.arch}")
    plan = checkpoints.plan_import(source, root, trust_code=trust_code)
    tell(f"{_constants(plan.spec.mean, plan.spec.std)}  ({plan.constants})")
    files = plan.images is None or is_resized(plan.images)
    if files and plan.resizing:
        tell(f"image files are resized with {plan.resizing}")
    library = plan.preprocessing
    if library and (difference := library.difference(plan.spec.image_size, files)):
        tell(f"note: {plan.constants}: for {difference}")
    if plan.images is not None:
        warnings = [*plan.warnings]
        check = evaluation.NetworkCheck(
            folder.name, plan.spec, plan.images, device, warnings=warnings
        )
        check(plan.network.to(device))
        print_warnings(warnings)
        if plan.images.provenance == USERS_FOLDER and (sizes := class_sizes(plan.images)):
            tell(f"{plan.images.name}: {sizes}")
    with cli.Bar(f"import {folder.name}: ", "images") as bar:
        imported = checkpoints.import_weights(
            source,
            plan,
            folder,
            device=device,
            batch_size=batch_size,
            overwrite=overwrite,
            progress=bar,
        )
    for line in _match_lines(folder, source.weights, plan.match):
        tell(line)
    return imported, plan


def _constants(mean: Sequence[float], std: Sequence[float]) -> str:
    texts = (" ".join(f"{value:.4f}" for value in values) for values in (mean, std))
    return "mean {}  std {}".format(*texts)


def _match_lines(folder: Path, weights: Path, match: Any) -> Iterator[str]:
    """Yield which tensors of the file belong to the network, and what else it contains."""
    yield f"{folder}: {weights}" + (f", {match.key}" if match.key else "")
    for key in match.alternatives:
        yield f"the file also holds {key}, which fits: --weights-key {key}"
    if match.left_out:
        yield f"left out: {', '.join(match.left_out)}"


def _print_other(percent: float, accuracy: float, other: Any) -> None:
    """Print the accuracy of an alternative, and a warning if it is higher."""
    say(f"accuracy {accuracy:.2f} % with {other.text}")
    if accuracy > percent:
        say(
            f"warning: the accuracy is higher with {other.flags}; if the network was trained so, "
            "import it with these flags and --overwrite"
        )


def _check(flags: Flags) -> None:
    """Reject flags that are missing, invalid or contradictory."""
    if not (flags.name and flags.model.arch and flags.model.weights != Path()):
        raise InputError(
            "name, --arch or --weights is missing; use: "
            "sdd-eval import NAME --arch ARCH --weights FILE --dataset SET"
        )
    if not re.fullmatch(r"\w[\w.+-]*", flags.name):
        raise InputError(
            f"{flags.name!r} is not a valid name: use letters, digits, '_', '-', '+' and '.'"
        )
    require_positive("--batch-size", flags.inference.batch_size)
    expect = flags.accuracy.expect
    if expect is not None and flags.model.dataset is None:
        raise InputError("--expect needs --dataset, on which the accuracy is measured")
    if expect is not None and not 1 <= expect <= 100:
        raise InputError(f"--expect is {expect:g}; it is an accuracy in percent, 1 to 100")


def _check_accuracy(percent: float, expect: float | None, images: Any) -> int:
    """Print the accuracy, and what to check if it is not as expected."""
    say(f"accuracy {percent:.2f} % on {len(images):,} images ({images.name}: {images.provenance})")
    if expect is None or abs(percent - expect) <= TOLERANCE + 1e-9:
        return 0
    print(
        f"expected {expect:g} %, {percent - expect:+.2f} points off: check --mean and --std, "
        "the order of channels and classes, for a ResNet with option A --options padding both, and "
        "for a DenseNet --options newest first"
    )
    return 1
