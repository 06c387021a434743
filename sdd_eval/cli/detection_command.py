"""`sdd-eval detection CHECKPOINT…`: mAP of object detectors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from sdd_eval.cli.bars import Bar
from sdd_eval.cli.evaluate_command import found_checkpoint, told
from sdd_eval.cli.flags import Work, command_line, parse, prepared
from sdd_eval.data.root import data_root
from sdd_eval.errors import InputError
from sdd_eval.records import encode
from sdd_eval.store import plain_name


@dataclass(frozen=True)
class Looking:
    """What to look at, and where results go."""

    dataset: str | None = None
    """Set of COCO's format; by default the one that the detector was trained on."""
    limit: int | None = None
    """Look at only so many images: a seeded subset."""
    seed: int = 0
    """Seed of the subset."""
    batch_size: int = 8
    """Images a step."""
    checkpoints: Path = Path("checkpoints")
    """Where checkpoints are looked for by name."""
    reports: Path = Path("reports")
    """Where studies lie."""
    study: str = "default"
    """The study that the run belongs to."""
    json: bool = False
    """Print the runs as JSON instead of a table."""


@dataclass(frozen=True)
class Flags:
    """Detectors, and how to measure them."""

    checkpoint: Annotated[
        tyro.conf.Positional[tuple[str, ...]],
        tyro.conf.arg(help="folder of a detector's checkpoint, or its name", metavar="CHECKPOINT…"),
    ] = ()
    looking: Looking = field(default_factory=Looking)
    work: Work = field(default_factory=Work)


def run(arguments: Sequence[str]) -> int:
    """Measure each detector."""
    program = "mAP and mAP@0.5 of object detectors on the validation images of a COCO-format set."
    flags = parse(Flags, arguments, "detection", program)
    if not flags.checkpoint:
        raise InputError("which checkpoint? sdd-eval detection CHECKPOINT… names at least one")
    looking = flags.looking
    device = prepared(flags.work)
    folders = [found_checkpoint(each, looking.checkpoints) for each in flags.checkpoint]

    from sdd_eval.detection.evaluation import evaluate_detector
    from sdd_eval.detection.evaluator import Detection
    from sdd_eval.evaluation import Request

    request = Request(
        evaluator=Detection(),
        study=looking.reports / plain_name("--study", looking.study),
        data_root=data_root(flags.work.data_root),
        dataset=looking.dataset,
        limit=looking.limit,
        seed=looking.seed,
        device=device,
        batch_size=looking.batch_size,
        command=command_line(),
        trust_code=flags.work.trust_code,
    )
    for folder in folders:
        with Bar(f"detection {folder.name}: ", "images") as bar:
            outcome = evaluate_detector(folder, request, bar)
        if looking.json:
            print(json.dumps(encode(outcome.run), indent=1, ensure_ascii=False))
        else:
            print(told(outcome))
    return 0
