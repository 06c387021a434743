"""What the commands that train share: flags, the training under a bar, and what is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sdd_eval.cli.flags import Work
from sdd_eval.cli.progress_bar import Bar
from sdd_eval.data.root import data_root
from sdd_eval.records import Card


@dataclass(frozen=True)
class Place:
    """Where the checkpoint goes."""

    name: str | None = None
    """Name of the checkpoint; by default DATASET-ARCH-METHOD[-sddλ]-seedN, and before the seed what
    is unusual in the method, e.g. -drop0.3 or -validation5000; of a detector
    DATASET-fasterrcnn-Nepochs-BACKBONE."""
    checkpoints: Path = Path("checkpoints")
    """Folder of checkpoints."""
    overwrite: bool = False
    """Replace a checkpoint of this name that has another recipe."""


@dataclass(frozen=True)
class Reading:
    """How photographs are read."""

    workers: int | None = None
    """Processes that decode and augment photographs; default: as many as threads, none for one."""


def trained(
    train: Callable[..., Card], device: str, place: Place, reading: Reading, work: Work
) -> Card:
    """The card of a training that takes the keywords of `train` and `train_detector`."""
    with Bar(unit="images") as bar:
        return train(
            folder=place.checkpoints,
            name=place.name,
            data_root=data_root(work.data_root),
            device=device,
            workers=reading.workers,
            overwrite=place.overwrite,
            progress=bar,
            trust_code=work.trust_code,
        )


def told(card: Card, place: Place) -> str:
    """Where a checkpoint lies, and what came out."""
    numbers = "  ".join(f"{name} {value:.4g}" for name, value in card.metrics.items())
    return f"{place.checkpoints / card.name}\n{numbers}"
