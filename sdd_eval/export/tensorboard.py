"""Export to TensorBoard."""

from __future__ import annotations

from pathlib import Path

from sdd_eval.errors import InputError, file_errors
from sdd_eval.export.libraries import required
from sdd_eval.export.numbers import CheckpointNumbers

#: Event files in a folder.
EVENTS = "events.out.tfevents.*"


def to_tensorboard(source: CheckpointNumbers, logdir: Path, *, overwrite: bool = False) -> Path:
    """Write a checkpoint's numbers and curves as scalars; return the folder, LOGDIR/NAME.

    The step of a curve is the epoch, that of a number the last epoch. The description of a scalar
    says how its number was measured.

    Raises:
        InputError: TensorBoard is not installed, or the folder already has event files and is not
            to be overwritten; TensorBoard would show both as one.
    """
    with required("tensorboard"):
        from tensorboard.summary import Writer

    folder = logdir / source.name
    present = sorted(folder.glob(EVENTS))
    if present and not overwrite:
        raise InputError(f"{folder} has event files already; use --overwrite or another --logdir")
    with file_errors("write", folder):
        for path in present:
            path.unlink()
        writer = Writer(str(folder))
        for epoch, values in source.epochs:
            for column, value in values.items():
                writer.add_scalar(f"training/{column}", value, epoch)
        last = max((epoch for epoch, _ in source.epochs), default=0)
        for number in source.numbers:
            for name, value in number.values.items():
                writer.add_scalar(name, value, last, description=number.description)
        writer.close()
    return folder
