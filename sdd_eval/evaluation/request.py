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


def checked(request: Request) -> Request:
    """The request, if it can be meant, with the evaluator's `usual_limit` where none is asked for.

    Raises:
        InputError: a limit or a batch of no images.
    """
    if request.limit is not None and request.limit < 1:
        raise InputError(f"--limit is {request.limit}, not a positive number of images")
    if request.batch_size < 1:
        raise InputError(f"--batch-size is {request.batch_size}, not a positive number of images")
    usual = getattr(request.evaluator, "usual_limit", None)
    return request if request.limit else replace(request, limit=usual)
