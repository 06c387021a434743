"""`sdd-eval EVALUATOR CHECKPOINT…`: one command for every evaluator that is installed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sdd_eval import plugins
from sdd_eval.cli.evaluation_flags import (
    Checkpoints,
    Looking,
    measure,
    request_of,
    require_checkpoints,
)
from sdd_eval.cli.flags import Work, parse


@dataclass(frozen=True)
class Passes:
    """How networks are run."""

    fold: bool = True
    """Fold batch norms into the layers before them where that changes no number: sooner done."""
    tf32: bool = False
    """Let a GPU compute in TF32 where no gradient is formed; recorded with each run."""
    cache: str | None = None
    """Folder where logits and features are kept between evaluations, or off; by default
    $SDD_EVAL_CACHE, else in the user's cache folder."""


def run(name: str, arguments: Sequence[str]) -> int:
    """Measure each checkpoint by the evaluator of that name."""
    evaluator = plugins.load("evaluators", name)
    command = name.replace("_", "-")
    flags: Any = parse(_flags(evaluator), arguments, command, evaluator.__doc__ or "")
    require_checkpoints(flags.checkpoint, command)
    request = request_of(flags.settings, flags.looking, flags.work)

    from sdd_eval.evaluation import evaluate_checkpoint
    from sdd_eval.evaluation.cache import outputs_folder

    passes: Passes = flags.passes
    request = dataclasses.replace(
        request, fold=passes.fold, tf32=passes.tf32, cache=outputs_folder(passes.cache)
    )
    return measure(evaluate_checkpoint, flags.checkpoint, request, flags.looking)


def _flags(evaluator: Any) -> type[Any]:
    """A dataclass of a command's flags: checkpoints, the evaluator's settings, and the rest."""
    return dataclasses.make_dataclass(
        "Flags",
        [
            ("checkpoint", Checkpoints, field(default=())),
            ("settings", evaluator, field(default_factory=evaluator)),
            ("looking", Looking, field(default_factory=Looking)),
            ("passes", Passes, field(default_factory=Passes)),
            ("work", Work, field(default_factory=Work)),
        ],
        frozen=True,
    )
