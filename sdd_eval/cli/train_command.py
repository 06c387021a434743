"""`sdd-eval train` and `sdd-eval train-detector`, whose flags are the fields of a recipe."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import tyro

from sdd_eval import checkpoints, cli, object_detection, plugins, training
from sdd_eval.cli.flags import Compute, Inputs, parse
from sdd_eval.cli.terminal import say
from sdd_eval.cli.verbosity import Verbosity
from sdd_eval.data.root import data_root
from sdd_eval.device import prepare_device
from sdd_eval.errors import InputError, ReportedElsewhere
from sdd_eval.object_detection.recipe import SCHEDULES, DetectorRecipe
from sdd_eval.records import Card, PaperRecipe, Recipe
from sdd_eval.training.recipe import validated
from sdd_eval.training_options import TrainingOptions
from sdd_eval.validation import FROM_0, bounded

#: Maximum number of processes that load images.
WORKERS = FROM_0.at_most(1024, "more processes than processor cores only wait for each other")


@dataclass(frozen=True)
class TrainingCompute(Compute):
    """Where to compute."""

    workers: int | None = bounded(None, WORKERS)
    """Number of processes that decode and augment photographs; default: one per thread, or none
    with a single thread."""


@dataclass(frozen=True)
class Storage(Inputs):
    """Where files are read and written."""

    name: str | None = None
    """Name of the checkpoint; default: DATASET-ARCH-METHOD[-sddλ]-seedN, with settings that differ
    from their defaults before the seed, e.g. -validation5000; for a detector:
    DATASET-fasterrcnn-Nepochs-BACKBONE."""
    overwrite: bool = False
    """Replace an existing checkpoint with this name that was trained with another recipe."""


@dataclass(frozen=True)
class RecipeFlags(PaperRecipe):
    """How to train; the defaults are the paper's for CIFAR-100."""

    method_options: tyro.conf.Suppress[Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class FurtherFlags(TrainingOptions):
    """Settings that the paper does not use; with the defaults they change nothing."""

    start_from: Annotated[str, tyro.conf.arg(name="from", metavar="CHECKPOINT")] = ""
    start_sha256: tyro.conf.Suppress[str] = ""


@dataclass(frozen=True)
class DetectorRecipeFlags(DetectorRecipe):
    """How to fine-tune; defaults: torchvision's reference with Detectron's 1× schedule."""

    backbone: Annotated[str, tyro.conf.arg(name="from", metavar="CHECKPOINT")] = ""
    """Checkpoint (folder or name) of the classifier that becomes the backbone."""
    backbone_sha256: tyro.conf.Suppress[str] = ""
    schedule: Literal["half", "full"] | None = None
    """half: 0.5×, 7 epochs; full: 1×, 12 epochs; use instead of --epochs."""


@dataclass(frozen=True)
class DetectorFlags:
    """Fine-tune a Faster R-CNN on the backbone of a classifier, on COCO-format data."""

    recipe: DetectorRecipeFlags = field(default_factory=DetectorRecipeFlags)
    storage: Storage = field(default_factory=Storage)
    compute: TrainingCompute = field(default_factory=TrainingCompute)
    output: Verbosity = field(default_factory=Verbosity)


def run(arguments: Sequence[str]) -> int:
    """Train one checkpoint, or resume an interrupted one."""
    with _only_first_process_reports():
        name = _method_name(arguments)
        method = plugins.load("methods", name)
        _refuse_options_of_others(name, arguments)
        description = "Train a checkpoint. Running the same command again resumes the training."
        flags: Any = parse(_flags(method), arguments, "train", description)
        device = prepare_device(flags.compute.device, flags.compute.threads)
        train = functools.partial(training.train, validated(_recipe(flags)))
    card = _train(train, device, flags.storage, flags.compute)
    if training.is_first():
        _print_result(card, flags.storage)
    return 0


def run_detector(arguments: Sequence[str]) -> int:
    """Train one detector, or resume an interrupted one."""
    flags = parse(DetectorFlags, arguments, "train-detector")
    if not flags.recipe.backbone:
        raise InputError("--from is missing; use: sdd-eval train-detector --from CHECKPOINT")
    device = prepare_device(flags.compute.device, flags.compute.threads)
    recipe = _detector_recipe(flags.recipe)
    backbone = checkpoints.find_folder(flags.recipe.backbone, flags.storage.checkpoints)
    train = functools.partial(object_detection.train_detector, backbone, recipe)
    card = _train(train, device, flags.storage, flags.compute)
    _print_result(card, flags.storage)
    return 0


def _train(
    train: Callable[..., Card], device: str, storage: Storage, compute: TrainingCompute
) -> Card:
    with cli.Bar(unit="images") as bar:
        return train(
            folder=storage.checkpoints,
            name=storage.name,
            data_root=data_root(storage.data_root),
            device=device,
            workers=compute.workers,
            overwrite=storage.overwrite,
            progress=bar,
            trust_code=compute.trust_code,
        )


def _print_result(card: Card, storage: Storage) -> None:
    print(storage.checkpoints / card.name)
    say("  ".join(f"{name} {value:.4g}" for name, value in card.metrics.items()))


@contextlib.contextmanager
def _only_first_process_reports() -> Iterator[None]:
    """Let only the first of several processes report what is wrong with the command."""
    try:
        yield
    except InputError as error:
        if training.is_first():
            raise
        raise ReportedElsewhere("the first process reports it") from error


def _method_name(arguments: Sequence[str]) -> str:
    """Return the value of --method, which determines the other flags."""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if argument == "--method":
            return following.replace("-", "_")
        if argument.startswith("--method="):
            return argument.removeprefix("--method=").replace("-", "_")
    return Recipe.method


def _refuse_options_of_others(name: str, arguments: Sequence[str]) -> None:
    options = _options(name)
    for argument in arguments:
        option = argument.partition("=")[0].replace("_", "-")
        others = [other for other in plugins.names("methods") if option in _options(other)]
        if others and option not in options:
            raise InputError(
                f"{option} is an option of method {' and '.join(others)}, not of {name}, whose "
                f"options are: {', '.join(options) or 'none'}"
            )


def _options(name: str) -> list[str]:
    """Return the flags of a method's settings; none for a plugin that cannot be imported."""
    try:
        method = plugins.load("methods", name)
    except InputError:
        return []
    return [f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(method)]


def _flags(method: Any) -> type[Any]:
    """Return a dataclass of the flags of `train`, including the method's settings.

    Raise InputError if a setting has the name of another flag.
    """
    groups: dict[str, Any] = {
        "recipe": RecipeFlags,
        "method": method,
        "further": FurtherFlags,
        "storage": Storage,
        "compute": TrainingCompute,
        "output": Verbosity,
    }
    others = [kind for kind in groups.values() if kind != method]
    own = {f.name for kind in others for f in dataclasses.fields(kind)}
    for option in dataclasses.fields(method):
        if option.name in own:
            raise InputError(
                f"method {method.__name__} has an option {option.name!r}, which is a flag of "
                "train; its author must rename it"
            )
    fields = [(name, kind, field(default_factory=kind)) for name, kind in groups.items()]
    return dataclasses.make_dataclass("Flags", fields, frozen=True)


def _recipe(flags: Any) -> Recipe:
    groups = (flags.recipe, flags.further)
    values = {f.name: getattr(group, f.name) for group in groups for f in dataclasses.fields(group)}
    values["method"] = flags.recipe.method.replace("-", "_")
    values["method_options"] = dataclasses.asdict(flags.method)
    return Recipe(**values)


def _detector_recipe(flags: DetectorRecipeFlags) -> DetectorRecipe:
    """Return the recipe with its schedule converted to a number of epochs."""
    values = {f.name: getattr(flags, f.name) for f in dataclasses.fields(DetectorRecipe)}
    if flags.schedule is not None:
        epochs = SCHEDULES[flags.schedule]
        if flags.epochs not in (DetectorRecipe.epochs, epochs):
            raise InputError(
                f"--schedule {flags.schedule} means {epochs} epochs, but --epochs is {flags.epochs}"
            )
        values["epochs"] = epochs
    return DetectorRecipe(**values)
