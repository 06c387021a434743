"""`sdd-eval show CHECKPOINT`: what is known of a checkpoint."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from sdd_eval.cli.evaluation_flags import found_checkpoint
from sdd_eval.cli.flags import parse
from sdd_eval.errors import InputError
from sdd_eval.records import Card, encode
from sdd_eval.store import read_record


@dataclass(frozen=True)
class Flags:
    """Which checkpoints, and where they lie."""

    checkpoint: Annotated[
        tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="CHECKPOINT…")
    ] = ()
    """Folder of a checkpoint, or its name."""
    checkpoints: Path = Path("checkpoints")
    """Where checkpoints are looked for by name."""


def run(arguments: Sequence[str]) -> int:
    """Print the card of each checkpoint."""
    flags = parse(Flags, arguments, "show", "What is known of a checkpoint: its card.")
    if not flags.checkpoint:
        raise InputError("which checkpoint? sdd-eval show CHECKPOINT… names at least one")
    for name in flags.checkpoint:
        card = read_record(found_checkpoint(name, flags.checkpoints) / "card.json", Card)
        print(json.dumps(encode(card), indent=1, ensure_ascii=False))
    return 0
