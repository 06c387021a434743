"""`sdd-eval import NAME --arch ARCH --weights FILE --dataset SET`: weights from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdd_eval import checkpoints, cli, models
from sdd_eval.checkpoints.import_source import ImportSource
from sdd_eval.cli.flags import Compute, Inputs, Name, parse, require_positive
from sdd_eval.cli.terminal import print_warnings
from sdd_eval.data.classes import text_order_warning
from sdd_eval.data.root import data_root
from sdd_eval.device import prepare_device
from sdd_eval.errors import InputError

#: How far, in percentage points, the accuracy may be from --expect.
TOLERANCE = 0.5


@dataclass(frozen=True)
class Accuracy:
    """Which accuracy is expected."""

    expect: float | None = None
    """Expected accuracy in percent; the exit code is 1 if it is missed by more than 0.5 points."""


@dataclass(frozen=True)
class Inference(Compute):
    """How to run the network."""

    batch_size: int = 256
    """Images per batch."""


@dataclass(frozen=True)
class Storage(Inputs):
    """Where files are read and written."""

    overwrite: bool = False
    """Replace a checkpoint of this name."""


@dataclass(frozen=True)
class Flags:
    """Convert existing weights to a checkpoint and measure its accuracy."""

    name: Name = ""
    """Name of the checkpoint."""
    model: ImportSource = field(default_factory=ImportSource)
    accuracy: Accuracy = field(default_factory=Accuracy)
    storage: Storage = field(default_factory=Storage)
    inference: Inference = field(default_factory=Inference)


def run(arguments: Sequence[str]) -> int:
    """Import one network; return 1 if its accuracy is not the expected one."""
    flags = parse(Flags, arguments, "import")
    _check(flags)
    device = prepare_device(flags.inference.device, flags.inference.threads)
    root = data_root(flags.storage.data_root)
    source = flags.model
    if models.is_factory(source.arch):
        print(f"running the code of {source.arch}")
    setting = checkpoints.plan_import(source, root)
    constants = (setting.spec.mean, setting.spec.std)
    mean, std = (" ".join(f"{v:.4f}" for v in values) for values in constants)
    print(f"mean {mean}  std {std}  ({setting.constants})")
    if setting.images is not None and source.class_order == "text":
        print_warnings(text_order_warning(setting.images))
    folder = flags.storage.checkpoints / flags.name
    with cli.Bar(f"import {flags.name}: ", "images") as bar:
        card = checkpoints.import_weights(
            source,
            setting,
            folder,
            device=device,
            batch_size=flags.inference.batch_size,
            overwrite=flags.storage.overwrite,
            progress=bar,
        )
    prefix = card.provenance.imported_below
    print(f"{folder}: {source.weights}" + (f", {'.'.join(prefix)}" if prefix else ""))
    if setting.images is None:
        print("accuracy not measured: no --dataset")
        return 0
    return _check_accuracy(100 * card.metrics["accuracy"], flags.accuracy.expect, setting.images)


def _check(flags: Flags) -> None:
    """Refuse flags that are missing, invalid or contradictory."""
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
    """Print the accuracy, and what to check if it is not the expected one."""
    print(
        f"accuracy {percent:.2f} % on {len(images):,} images ({images.name}: {images.provenance})"
    )
    if expect is None or abs(percent - expect) <= TOLERANCE + 1e-9:
        return 0
    print(
        f"expected {expect:g} %, {percent - expect:+.2f} points off: check --mean and --std, "
        "the order of channels and classes, and for a ResNet with option A --options padding both"
    )
    return 1
