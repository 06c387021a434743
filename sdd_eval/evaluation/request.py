"""What is asked of a network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sdd_eval.errors import InputError


@dataclass(frozen=True)
class Request:
    """What is asked of every checkpoint: an evaluator over a test set, and where the run goes."""

    evaluator: Any
    study: Path
    data_root: Path
    dataset: str | None = None
    """The test set; None is the one that the checkpoint was trained for."""
    limit: int | None = None
    seed: int = 0
    device: str = "cpu"
    batch_size: int = 256
    command: str = ""
    trust_code: bool = False
    """Run the code that a card names as its network's factory."""
    fold: bool = True
    """Fold batch norms into the layers before them, where that changes no number."""
    tf32: bool = False
    """Let a GPU compute in TF32 where no gradient is formed."""
    cache: Path | None = None
    """Folder in which logits and features are kept between evaluations; None keeps nothing."""


def checked(request: Request) -> Request:
    """The request, if it can be meant, with the evaluator's `usual_limit` where none is asked for.

    TF32 is left out where the device has none.

    Raises:
        InputError: a limit or a batch of no images.
    """
    if request.limit is not None and request.limit < 1:
        raise InputError(f"--limit is {request.limit}, not a positive number of images")
    if request.batch_size < 1:
        raise InputError(f"--batch-size is {request.batch_size}, not a positive number of images")
    usual = getattr(request.evaluator, "usual_limit", None)
    tf32 = request.tf32 and request.device.startswith("cuda")
    return replace(request, limit=request.limit or usual, tf32=tf32)
