"""Checkpoint × evaluator → run on the disk, doing only what is missing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdd_eval import store
from sdd_eval.errors import InputError
from sdd_eval.evaluation.gradient_history import bring_history
from sdd_eval.evaluation.inputs import Inputs, inputs_of
from sdd_eval.evaluation.partial_results import Pieces, forget
from sdd_eval.evaluation.request import Request, checked
from sdd_eval.evaluation.run import Examined, run
from sdd_eval.evaluators.settings import alone, of_stage
from sdd_eval.former_names import key_settings
from sdd_eval.progress import Progress
from sdd_eval.records import Card, Measurement, Run, encode


@dataclass(frozen=True)
class Outcome:
    """A finished run, where it lies, and whether this call had to look at images or to score."""

    run: Run
    path: Path
    looked: bool
    scored: bool


def evaluate_checkpoint(
    checkpoint: Path, request: Request, progress: Progress | None = None, *, wait: bool = False
) -> Outcome:
    """Evaluate one checkpoint folder, unless the run is there already.

    A run that differs only in settings of scoring is scored again from its stored arrays, and one
    that was interrupted goes on from the pieces that it left. `wait` until a process that is at the
    same run has finished it.

    Raises:
        InputError: the checkpoint, the data or a setting is wrong, or another process is at it.
    """
    from sdd_eval.checkpoints import checkpoint as checkpoints

    request, card, inputs = _asked(checkpoint, request)
    bring_history(checkpoint, card, request.study)
    inputs = inputs.with_runs(_scored_against(request, card, inputs, progress))
    path = _run_path(request, card, inputs)
    stored = _whole(path)
    if stored and _is_scored(stored, inputs):
        return Outcome(stored, path, looked=False, scored=False)
    with store.locked(path, "writing", wait=wait):
        stored = _whole(path)  # the process that held the lock a moment ago may have finished it
        if stored:
            return _scored_again(stored, path, inputs)
        model = checkpoints.load(checkpoint, device=request.device, trust_code=request.trust_code)
        examined = Examined(model, card.model, card.name, card.weights_sha256, card)
        found = run(examined, inputs, request, progress, Pieces(path, request))
        store.write_run(path, found)
        forget(path)
    return Outcome(found, path, looked=True, scored=True)


def _scored_against(
    request: Request, card: Card, inputs: Inputs, progress: Progress | None
) -> dict[str, Run]:
    """The run of each checkpoint that this one is scored against, made where it is not there.

    A run that is there is taken as it is, however it was scored: only its arrays are needed. One
    that another process is making, which may want it for the same reason, is waited for.
    """
    dataset = request.dataset or card.dataset
    plain = dataclasses.replace(request, evaluator=alone(inputs.evaluator), dataset=dataset)
    found = {}
    for name, other in inputs.against.items():
        stored = _whole(_run_path(*_asked(other.folder, plain)))
        found[name] = stored or evaluate_checkpoint(other.folder, plain, progress, wait=True).run
    return found


def is_measured(checkpoint: Path, request: Request) -> bool:
    """Whether the run is there, so that `evaluate_checkpoint` would look at no image.

    Raises:
        InputError: the checkpoint, the data or a setting is wrong.
    """
    request, card, inputs = _asked(checkpoint, request)
    return _whole(_run_path(request, card, inputs)) is not None


def _asked(checkpoint: Path, request: Request) -> tuple[Request, Card, Inputs]:
    """What is asked, with everything that it names loaded and the limit settled."""
    from sdd_eval.checkpoints import checkpoint as checkpoints

    request = checked(request)
    card = checkpoints.read_card(checkpoint)
    checkpoints.require_trust(card, request.trust_code)
    checkpoints.verify(checkpoint, card)
    # Its folder is what it is called by: a copy must not pass for the original.
    card = dataclasses.replace(card, name=checkpoint.resolve().name)
    inputs = inputs_of(request, card, checkpoint.absolute().parent)
    return dataclasses.replace(request, limit=inputs.limit(request.limit)), card, inputs


def _run_path(request: Request, card: Card, inputs: Inputs) -> Path:
    """reports/STUDY/runs/CHECKPOINT/EVALUATOR-DATASET-KEY.json."""
    evaluator = inputs.evaluator
    key = store.key_of(
        {
            "evaluator": evaluator.name,
            "version": evaluator.version,
            "settings": key_settings(evaluator.name, of_stage(evaluator, "collect")),
            "weights": card.weights_sha256,
            "model": card.model,
            "data": inputs.content,
            "limit": request.limit,
            "seed": request.seed,
            "folding": request.fold,
            **({"tf32": True} if request.tf32 else {}),
            **({"networks": inputs.compared} if inputs.networks else {}),
        }
    )
    folder = request.study / "runs" / card.name
    dataset = inputs.dataset.replace("/", "_")
    return folder / f"{evaluator.name}-{dataset}-{key}.json"


def _whole(path: Path) -> Run | None:
    """A run that is there with all its arrays; None where there is none, or a damaged one."""
    try:
        run = store.read_run(path)
        len(run.arrays)
    except InputError:
        return None
    return run


def _settings(run: Run, evaluator: Any) -> dict[str, Any]:
    """The run's settings with the evaluator's settings of scoring."""
    return {**run.settings, **encode(of_stage(evaluator, "score"))}


def _is_scored(run: Run, inputs: Inputs) -> bool:
    """Whether a run is scored by these settings, against these very checkpoints."""
    known = run.provenance.get("scored_against", {})
    return _settings(run, inputs.evaluator) == run.settings and inputs.scored_against == {
        name: known.get(name) for name in inputs.runs
    }


def _scored_again(run: Run, path: Path, inputs: Inputs) -> Outcome:
    """A stored run with what other settings of scoring make of its arrays."""
    known, now = run.provenance.get("scored_against", {}), inputs.scored_against
    # What another checkpoint of the same name led to must not stand beside what this one does.
    replaced = any(name in known and known[name] != each for name, each in now.items())
    measurements = _merged(() if replaced else run.measurements, inputs.score(run.arrays))
    run = dataclasses.replace(
        run,
        settings=_settings(run, inputs.evaluator),
        measurements=measurements,
        provenance={**run.provenance, "scored_against": now if replaced else {**known, **now}},
    )
    store.write_record(path, run)
    return Outcome(run, path, looked=False, scored=True)


def _merged(old: Sequence[Measurement], new: Sequence[Measurement]) -> tuple[Measurement, ...]:
    """New measurements beside old ones: the same metric at the same place is replaced."""
    place = {(m.metric, repr(sorted(m.at.items()))): m for m in (*old, *new)}
    return tuple(place.values())
