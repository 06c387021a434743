"""`sdd-eval train-detector --from CHECKPOINT`: a Faster R-CNN on a classifier's backbone."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro

from sdd_eval.cli.evaluation_flags import found_checkpoint
from sdd_eval.cli.flags import Work, parse, prepared
from sdd_eval.cli.training_flags import Place, Reading, told, trained
from sdd_eval.errors import InputError
from sdd_eval.object_detection.recipe import SCHEDULES, DetectorRecipe


@dataclass(frozen=True)
class RecipeFlags(DetectorRecipe):
    """How to fine-tune; the defaults are torchvision's reference on Detectron's 1× schedule."""

    backbone: Annotated[str, tyro.conf.arg(name="from", metavar="CHECKPOINT")] = ""
    """The classifier's checkpoint that it starts from: its folder, or its name."""
    backbone_sha256: tyro.conf.Suppress[str] = ""
    schedule: Literal["half", "full"] | None = None
    """half: 0.5×, 7 epochs; full: 1×, 12; in place of --epochs."""


@dataclass(frozen=True)
class Flags:
    """Everything that can be said of the training of a detector."""

    recipe: RecipeFlags = field(default_factory=RecipeFlags)
    place: Place = field(default_factory=Place)
    reading: Reading = field(default_factory=Reading)
    work: Work = field(default_factory=Work)


def run(arguments: Sequence[str]) -> int:
    """Train one detector, or go on with one that was interrupted."""
    program = "Fine-tune a Faster R-CNN on the backbone of a checkpoint, on COCO or in its format."
    flags = parse(Flags, arguments, "train-detector", program)
    if not flags.recipe.backbone:
        raise InputError("from which checkpoint? sdd-eval train-detector --from CHECKPOINT")
    device = prepared(flags.work)
    recipe = _recipe(flags.recipe)
    backbone = found_checkpoint(flags.recipe.backbone, flags.place.checkpoints)

    from sdd_eval.object_detection.train import train_detector

    make = functools.partial(train_detector, backbone, recipe)
    card = trained(make, device, flags.place, flags.reading, flags.work)
    print(told(card, flags.place))
    return 0


def _recipe(flags: RecipeFlags) -> DetectorRecipe:
    """The recipe with its schedule as a number of epochs.

    Raises:
        InputError: schedule and epochs are both said, and differ.
    """
    values = {f.name: getattr(flags, f.name) for f in dataclasses.fields(DetectorRecipe)}
    if flags.schedule is not None:
        epochs = SCHEDULES[flags.schedule]
        if flags.epochs not in (DetectorRecipe.epochs, epochs):
            raise InputError(
                f"--schedule {flags.schedule} is {epochs} epochs, --epochs says {flags.epochs}"
            )
        values["epochs"] = epochs
    return DetectorRecipe(**values)
