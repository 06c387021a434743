"""Evaluate checkpoints and store the runs; a finished run is not repeated."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec import structs

from sdd_eval import store
from sdd_eval.checkpoints.checkpoint import Checkpoint
from sdd_eval.checkpoints.history import gradient_study
from sdd_eval.errors import InputError
from sdd_eval.evaluation.partial_results import PartialResultFiles, delete
from sdd_eval.evaluation.request import PROBABILITIES, Inputs, Request, inputs_of, validated
from sdd_eval.evaluation.run import run
from sdd_eval.evaluators.settings import of_stage, without_runs
from sdd_eval.former_names import key_settings
from sdd_eval.progress import Progress
from sdd_eval.provenance import DataProvenance, RunProvenance
from sdd_eval.records import OBJECT_DETECTION, Card, Measurement, Run, encode

#: The evaluator name of runs that hold measurements from training; it is not a plugin.
HISTORY = "history"

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """A finished run, its file, and whether this call ran the network or rescored the arrays."""

    run: Run
    path: Path
    evaluated: bool
    scored: bool


def evaluate_checkpoint(
    checkpoint: Path, request: Request, progress: Progress | None = None
) -> Outcome:
    """Evaluate a checkpoint folder unless its run is already stored.

    A stored run with different scoring settings is rescored from its arrays, and an interrupted run
    is resumed.

    Raises:
        InputError: the checkpoint, the data or a setting is invalid, or another process is writing
            the run.
    """
    return _evaluated(_resolved(checkpoint, request), progress, wait=False)


def evaluate_inputs(
    checkpoint: Checkpoint, inputs: Inputs, request: Request, progress: Progress | None = None
) -> Outcome:
    """Evaluate an in-memory network on loaded inputs unless its run is already stored."""
    return _evaluated(_Evaluation(checkpoint, request, inputs), progress, wait=False)


def is_measured(checkpoint: Path, request: Request) -> bool:
    """Return whether the run is already stored; raise InputError for an invalid request."""
    return _complete_run(_resolved(checkpoint, request).path) is not None


@dataclass(frozen=True)
class _Evaluation:
    """An opened checkpoint, the validated request, the loaded inputs, and the path of the run."""

    checkpoint: Checkpoint
    request: Request
    inputs: Inputs

    @property
    def path(self) -> Path:
        """Return reports/STUDY/runs/CHECKPOINT/EVALUATOR-DATASET-KEY.json."""
        folder, dataset = self.request.study / "runs", self.inputs.dataset.replace("/", "_")
        name = f"{self.inputs.evaluator.name}-{dataset}-{store.key_of(self._key())}.json"
        return folder / self.checkpoint.name / name

    def _key(self) -> dict[str, Any]:
        evaluator, request, inputs = self.inputs.evaluator, self.request, self.inputs
        common = {
            "evaluator": evaluator.name,
            "version": evaluator.version,
            "weights": self.checkpoint.weights_sha256,
            "model": self.checkpoint.spec,
            "data": inputs.content,
            "limit": request.limit,
        }
        if request.task == OBJECT_DETECTION:
            return {**common, "seed": request.seed if request.limit else 0}
        resizing = self.checkpoint.card.provenance.resizing
        return {
            **common,
            **({"resizing": resizing} if resizing else {}),
            "settings": key_settings(evaluator.name, of_stage(evaluator, "collect")),
            "seed": request.seed,
            "folding": request.fold,
            **({"outputs": PROBABILITIES} if request.outputs == PROBABILITIES else {}),
            **({"tf32": True} if request.tf32 else {}),
            **({"networks": inputs.compared} if inputs.networks else {}),
        }


def _resolved(checkpoint: Path | Checkpoint, request: Request) -> _Evaluation:
    """Open the checkpoint, validate the request and load the inputs."""
    request = validated(request)
    if not isinstance(checkpoint, Checkpoint):
        trust_code, task = request.trust_code, request.task
        checkpoint = Checkpoint.open(checkpoint, trust_code=trust_code, task=task)
    inputs = inputs_of(request, checkpoint)
    request = dataclasses.replace(request, limit=inputs.limit(request.limit))
    return _Evaluation(checkpoint, request, inputs)


def _evaluated(evaluation: _Evaluation, progress: Progress | None, *, wait: bool) -> Outcome:
    """Evaluate a checkpoint; with `wait`, wait for another process that is writing the run."""
    checkpoint, request, path = evaluation.checkpoint, evaluation.request, evaluation.path
    store_history(checkpoint, request.study)
    inputs = evaluation.inputs.with_runs(_runs_against(evaluation, progress))
    stored = _complete_run(path)
    if stored and _is_scored(stored, inputs):
        return _logged(Outcome(stored, path, evaluated=False, scored=False))
    with store.locked(path, "writing", wait=wait):
        stored = _complete_run(path)  # another process may have finished it meanwhile
        if stored and _has_readable_arrays(stored):
            return _logged(_scored_again(stored, path, inputs))
        store.require_writable_run(path)
        finished = run(checkpoint, inputs, request, progress, PartialResultFiles(path, request))
        store.write_run(path, finished)
        delete(path)
    return _logged(Outcome(finished, path, evaluated=True, scored=True))


def _logged(outcome: Outcome) -> Outcome:
    """Log what was done and how long the network took, and the protocols of the numbers."""
    run = outcome.run
    seconds = f"{run.provenance.seconds or 0:.1f} s"
    how = f"stored run reused, measured in {seconds}"
    if outcome.evaluated:
        parts = run.provenance.resumed
        how = f"measured in {seconds}" + (f", {parts} parts of an interrupted run" if parts else "")
    elif outcome.scored:
        how = f"scored again from stored arrays, measured in {seconds}"
    _LOGGER.info("%s of %s on %d images: %s", run.evaluator, run.checkpoint, run.n, how)
    protocols = dict.fromkeys(number.protocol.text for number in run.measurements)
    if protocols:
        text, others = next(iter(protocols)), len(protocols) - 1
        more = f"; {others} more protocols in {outcome.path}" if others else ""
        _LOGGER.info("  %s: %s%s", run.measurements[0].metric, text, more)
    return outcome


def _runs_against(evaluation: _Evaluation, progress: Progress | None) -> dict[str, Run]:
    """Return the run of each checkpoint that this one is compared with, evaluated if missing.

    Only the arrays of a stored run are needed, so it is not rescored. If another process is writing
    the run, wait for it, as both may need the same run.
    """
    request, inputs = evaluation.request, evaluation.inputs
    dataset = request.dataset or evaluation.checkpoint.card.dataset
    plain = dataclasses.replace(request, evaluator=without_runs(inputs.evaluator), dataset=dataset)
    runs = {}
    for name, other in inputs.against.items():
        resolved = _resolved(other, plain)
        stored = _complete_run(resolved.path)
        runs[name] = stored or _evaluated(resolved, progress, wait=True).run
    return runs


def _complete_run(path: Path) -> Run | None:
    """Return a stored run with readable arrays; warn and return None if it is damaged."""
    if not path.exists():
        return None
    try:
        stored = store.read_run(path)
        len(stored.arrays)
    except InputError as error:
        store.warn_of_damage(error, "the run is measured again")
        return None
    return stored


def _has_readable_arrays(stored: Run) -> bool:
    try:
        for entry in stored.arrays.entries:
            entry.read()
    except InputError as error:
        store.warn_of_damage(error, "the run is measured again")
        return False
    return True


def _settings(stored: Run, evaluator: Any) -> dict[str, Any]:
    return {**stored.settings, **encode(of_stage(evaluator, "score"))}


def _is_scored(stored: Run, inputs: Inputs) -> bool:
    """Return whether a run was scored with these settings and against these checkpoints."""
    known = stored.provenance.scored_against or {}
    return _settings(stored, inputs.evaluator) == stored.settings and inputs.scored_against == {
        name: known.get(name) for name in inputs.runs
    }


def _scored_again(stored: Run, path: Path, inputs: Inputs) -> Outcome:
    known, now = stored.provenance.scored_against or {}, inputs.scored_against
    # Discard numbers relative to a replaced checkpoint of the same name.
    replaced = any(name in known and known[name] != parts for name, parts in now.items())
    before = () if replaced else stored.measurements
    stored = dataclasses.replace(
        stored,
        settings=_settings(stored, inputs.evaluator),
        measurements=_merged(before, inputs.score(stored.arrays)),
        provenance=structs.replace(
            stored.provenance, scored_against=now if replaced else {**known, **now}
        ),
    )
    store.write_record(path, stored)
    return Outcome(stored, path, evaluated=False, scored=True)


def _merged(old: Sequence[Measurement], new: Sequence[Measurement]) -> tuple[Measurement, ...]:
    """Merge old and new measurements; the new ones win for the same metric and axes."""
    merged = {(m.metric, repr(sorted(m.at.items()))): m for m in (*old, *new)}
    return tuple(merged.values())


def store_history(checkpoint: Checkpoint, study: Path) -> Path | None:
    """Store a training's gradient study as a run; None without one, InputError if damaged."""
    path, card = checkpoint.history, checkpoint.card
    measurements = tuple(gradient_study(path))
    if not measurements or card.recipe is None:
        return None
    content = hashlib.sha256(path.read_bytes()).hexdigest()
    key = store.key_of({"evaluator": HISTORY, "weights": card.weights_sha256, "history": content})
    dataset = card.recipe.dataset
    target = study / "runs" / card.name / f"{HISTORY}-{dataset.replace('/', '_')}-{key}.json"
    if not target.exists():
        store.write_run(target, _history_run(card, dataset, measurements))
    return target


def _history_run(card: Card, dataset: str, measurements: tuple[Measurement, ...]) -> Run:
    assert card.recipe is not None
    source = card.provenance
    fingerprint = source.data_fingerprint or ""
    versions = {"python": source.python, "torch": source.torch}
    data = DataProvenance(origin=source.data_origin or "unknown", fingerprint=fingerprint)
    return Run(
        checkpoint=card.name,
        weights_sha256=card.weights_sha256,
        dataset=dataset,
        data_fingerprint=fingerprint,
        evaluator=HISTORY,
        evaluator_version=1,
        settings={},
        limit=None,
        n=card.recipe.probe_images,
        measurements=measurements,
        provenance=RunProvenance(
            recipe=encode(card.recipe),
            model=encode(card.model),
            data={dataset: data},
            versions={name: version for name, version in versions.items() if version},
            created=source.created,
        ),
    )
