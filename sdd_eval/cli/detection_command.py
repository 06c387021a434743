"""`sdd-eval detection CHECKPOINT…`: mAP of object detectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sdd_eval.cli.evaluation_flags import (
    Checkpoints,
    Looking,
    measure,
    request_of,
    require_checkpoints,
)
from sdd_eval.cli.flags import Work, parse
from sdd_eval.object_detection.recipe import EVALUATION_BATCH_SIZE


@dataclass(frozen=True)
class Flags:
    """Detectors, and how to measure them."""

    checkpoint: Checkpoints = ()
    looking: Looking = field(default_factory=lambda: Looking(batch_size=EVALUATION_BATCH_SIZE))
    work: Work = field(default_factory=Work)


def run(arguments: Sequence[str]) -> int:
    """Measure each detector."""
    program = "mAP and mAP@0.5 of object detectors on the validation images of a COCO-format set."
    flags = parse(Flags, arguments, "detection", program)
    require_checkpoints(flags.checkpoint, "detection")

    from sdd_eval.object_detection.evaluation import evaluate_detector
    from sdd_eval.object_detection.evaluator import Detection

    request = request_of(Detection(), flags.looking, flags.work)
    return measure(evaluate_detector, flags.checkpoint, request, flags.looking)
