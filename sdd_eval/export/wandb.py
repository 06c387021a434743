"""Export to Weights & Biases."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from sdd_eval.errors import InputError, one_line
from sdd_eval.export.libraries import required
from sdd_eval.export.numbers import CheckpointNumbers


def to_wandb(
    source: CheckpointNumbers,
    project: str,
    mode: Literal["online", "offline"] | None = None,
    folder: Path | None = None,
) -> str:
    """Create a wandb run with a checkpoint's numbers and curves; return its address or folder.

    Numbers are in the summary, the recipe in the configuration, and curves in the history by epoch.
    Characters that wandb does not allow in names become underscores. `mode` and `folder` default to
    wandb's own settings.

    Raises:
        InputError: wandb is not installed, nobody is logged in, or the server refuses the run.
    """
    with required("wandb"):
        import wandb

    try:
        with wandb.init(
            project=project,
            name=source.name,
            config=source.facts,
            job_type="sdd_eval",
            mode=mode,
            dir=None if folder is None else str(folder),
        ) as run:
            run.define_metric("epoch")
            run.define_metric("training/*", step_metric="epoch")
            for epoch, values in source.epochs:
                named = {_key(f"training/{column}"): value for column, value in values.items()}
                run.log({"epoch": epoch, **named})
            for number in source.numbers:
                run.summary.update({_key(name): value for name, value in number.values.items()})
            return str(run.url or Path(run.dir).parent)
    except wandb.errors.Error as error:
        message = one_line(error).rstrip(".")
        raise InputError(f"wandb: {message}; --mode offline needs no account") from error


def _key(name: str) -> str:
    return re.sub(r"[^\w/]+", "_", name)
