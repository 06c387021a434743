"""`sdd-eval export model-card | wandb | tensorboard | mlflow NAME…`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sdd_eval import cli, export
from sdd_eval.cli.flags import Checkpoints, CheckpointsFolder, Reports, parse
from sdd_eval.cli.verbosity import Verbosity
from sdd_eval.errors import InputError, unknown_name
from sdd_eval.store import folder_name


@dataclass(frozen=True)
class Storage(Reports, CheckpointsFolder):
    """Where files are read."""

    study: str = "default"
    """Name of the study whose runs are exported."""


@dataclass(frozen=True)
class Source:
    """Which checkpoints."""

    checkpoint: Checkpoints = ()
    storage: Storage = field(default_factory=Storage)

    def numbers(self, command: str) -> list[export.CheckpointNumbers]:
        """Read all checkpoints, then return the numbers and curves of each."""
        if not self.checkpoint:
            raise InputError(f"no checkpoint is named; use: sdd-eval export {command} CHECKPOINT…")
        study = self.storage.reports / folder_name("--study", self.storage.study)
        parent = self.storage.checkpoints
        return [export.read_numbers(name, study, parent) for name in self.checkpoint]


@dataclass(frozen=True)
class CardFlags(Source):
    """Write a model card for the Hugging Face Hub: findings, results as metadata, figures."""

    into: Path = Path("model-cards")
    """Folder in which each checkpoint gets a subfolder with README.md and its figures."""
    license: str = ""
    """License identifier for the card, such as apache-2.0; default: none."""
    output: Verbosity = field(default_factory=Verbosity)


@dataclass(frozen=True)
class WandbFlags(Source):
    """Create a run of Weights & Biases for each checkpoint: numbers, intervals, curves, recipe."""

    project: str = "sdd_eval"
    """Project of the runs."""
    mode: Literal["online", "offline"] | None = None
    """offline writes a folder for `wandb sync`; default: $WANDB_MODE, else online."""


@dataclass(frozen=True)
class TensorboardFlags(Source):
    """Write event files of TensorBoard for each checkpoint: numbers, intervals, curves."""

    logdir: Path = Path("tensorboard")
    """Folder in which each checkpoint gets a subfolder."""
    overwrite: bool = False
    """Replace existing event files."""


@dataclass(frozen=True)
class MlflowFlags(Source):
    """Create a run of MLflow for each checkpoint: numbers, intervals, curves, recipe."""

    experiment: str = "sdd_eval"
    """Experiment of the runs; created if it does not exist."""
    tracking_uri: str | None = None
    """Server, database or folder of runs; default: $MLFLOW_TRACKING_URI, else MLflow's default."""


def run(arguments: Sequence[str]) -> int:
    """Call the command named by the first argument with the remaining arguments."""
    if not arguments or arguments[0] in ("-h", "--help"):
        lines = "\n".join(f"  {name:<13}{line}" for name, (_, line) in COMMANDS.items())
        print(f"usage: sdd-eval export TARGET CHECKPOINT… [OPTIONS]\n\n{lines}")
        return 0
    if arguments[0] not in COMMANDS:
        raise unknown_name("target of export", arguments[0], COMMANDS)
    return COMMANDS[arguments[0]][0](arguments[1:])


def _model_card(arguments: Sequence[str]) -> int:
    flags = parse(CardFlags, arguments, "export model-card")
    for one in flags.numbers("model-card"):
        with cli.Bar(f"{one.name}: ") as bar:
            folder = flags.into / one.name
            card = export.write_model_card(one, folder, license_name=flags.license, progress=bar)
        print(card)
    return 0


def _wandb(arguments: Sequence[str]) -> int:
    flags = parse(WandbFlags, arguments, "export wandb")
    for one in flags.numbers("wandb"):
        print(export.to_wandb(one, flags.project, flags.mode))
    return 0


def _tensorboard(arguments: Sequence[str]) -> int:
    flags = parse(TensorboardFlags, arguments, "export tensorboard")
    for one in flags.numbers("tensorboard"):
        print(export.to_tensorboard(one, flags.logdir, overwrite=flags.overwrite))
    return 0


def _mlflow(arguments: Sequence[str]) -> int:
    flags = parse(MlflowFlags, arguments, "export mlflow")
    for one in flags.numbers("mlflow"):
        print(export.to_mlflow(one, flags.experiment, flags.tracking_uri))
    return 0


COMMANDS: dict[str, tuple[Callable[[Sequence[str]], int], str]] = {
    "model-card": (_model_card, "a model card for the Hugging Face Hub"),
    "wandb": (_wandb, "a run of Weights & Biases"),
    "tensorboard": (_tensorboard, "event files of TensorBoard"),
    "mlflow": (_mlflow, "a run of MLflow"),
}
