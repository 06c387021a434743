"""`sdd-eval show CHECKPOINT…`: the card of a checkpoint."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from sdd_eval import checkpoints
from sdd_eval.cli.flags import Checkpoints, CheckpointsFolder, parse
from sdd_eval.errors import InputError
from sdd_eval.records import encode


@dataclass(frozen=True)
class Flags:
    """Print the card of a checkpoint as JSON."""

    checkpoint: Checkpoints = ()
    storage: CheckpointsFolder = field(default_factory=CheckpointsFolder)


def run(arguments: Sequence[str]) -> int:
    """Print the card of each checkpoint as JSON."""
    flags = parse(Flags, arguments, "show")
    if not flags.checkpoint:
        raise InputError("no checkpoint is named; use: sdd-eval show CHECKPOINT…")
    for name in flags.checkpoint:
        card = checkpoints.read_card(checkpoints.find_folder(name, flags.storage.checkpoints))
        print(json.dumps(encode(card), indent=1, ensure_ascii=False))
    return 0
