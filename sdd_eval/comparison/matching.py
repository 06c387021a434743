"""Determine which runs of two networks are comparable, and why others are not."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdd_eval import plugins, store
from sdd_eval.errors import InputError, unknown_name
from sdd_eval.evaluation.derived import derived_runs
from sdd_eval.records import Run

#: Kinds of runs that evaluate nothing: training curves.
NOT_EVALUATED = ("history",)


@dataclass(frozen=True)
class StoredRun:
    """A run and the path of its file, or of the file of the run it is derived from."""

    path: Path
    run: Run


def load_runs(study: Path, checkpoint: str) -> tuple[StoredRun, ...]:
    """Read the runs of a checkpoint's newest weights, sorted by file name; InputError if none.

    A run on a subset of the images is omitted if there is one on all images. Accuracy that was not
    measured is derived from stored logits, as a run with the path of the run that stores them.
    """
    folder = study / "runs" / store.folder_name("checkpoint", checkpoint)
    stored = [
        StoredRun(path, run) for path, run in store.readable_runs(sorted(folder.glob("*.json")))
    ]
    stored = [one for one in stored if one.run.evaluator not in NOT_EVALUATED]
    if not stored:
        known = sorted({path.parent.name for path in store.run_paths(study)})
        if not known:
            raise InputError(f"{study} has no finished run; evaluate checkpoints first")
        raise unknown_name(f"checkpoint in {study}", checkpoint, known)
    newest = max(stored, key=_created).run.weights_sha256
    stored = [one for one in stored if one.run.weights_sha256 == newest]
    derived = derived_runs([one.run for one in stored])
    stored += [StoredRun(stored[source].path, run) for source, run in derived]
    complete = [_request(one.run) for one in stored if one.run.limit is None]
    return tuple(
        one for one in stored if one.run.limit is None or _request(one.run) not in complete
    )


def _request(run: Run) -> tuple[str, str, str]:
    """Return what identifies a run's measurement, apart from the number of images."""
    scoring = scoring_settings(run.evaluator)
    settings = {name: value for name, value in run.settings.items() if name not in scoring}
    return run.evaluator, run.dataset, repr(sorted(settings.items()))


def has_runs(study: Path, checkpoint: str) -> bool:
    """Whether a study contains evaluations of a checkpoint."""
    names = [path.name for path in (study / "runs" / checkpoint).glob("*.json")]
    return any(not name.startswith(NOT_EVALUATED) for name in names)


def _created(stored: StoredRun) -> str:
    return stored.run.provenance.created


def match_runs(
    base: Sequence[StoredRun], other: Sequence[StoredRun]
) -> tuple[list[tuple[StoredRun, StoredRun]], list[str]]:
    """Return pairs of comparable runs, and a line with the reason for each unmatched run.

    If several runs match, the newest is used.
    """
    pairs, unmatched = [], []
    for one in base:
        candidates = [two for two in other if _task(two.run) == _task(one.run)]
        matches = [two for two in candidates if not run_differences(one.run, two.run)]
        if matches:
            pairs.append((one, max(matches, key=_created)))
        elif candidates:
            unmatched.append(_mismatch(one, candidates))
        else:
            unmatched.append(f"{_describe(one.run)}: only the first side was measured")
    tasks = {_task(one.run) for one in base}
    unmatched += [
        f"{_describe(two.run)}: only the second side was measured"
        for two in other
        if _task(two.run) not in tasks
    ]
    return pairs, unmatched


def _mismatch(one: StoredRun, candidates: Sequence[StoredRun]) -> str:
    """Return a line with the fewest differences between a run and its candidates."""
    reasons = min((run_differences(one.run, two.run) for two in candidates), key=len)
    note = ""
    if one.run.settings.get("audit") and any(two.run.settings.get("audit") for two in candidates):
        note = " (audits that did not try equally hard do not compare networks)"
    return f"{_describe(one.run)}: differ: {'; '.join(reasons)}{note}"


def _task(run: Run) -> tuple[str, str]:
    return run.evaluator, run.dataset


def _describe(run: Run) -> str:
    return f"{run.evaluator} on {run.dataset}"


def run_differences(base: Run, other: Run) -> list[str]:
    """Return the differences that make two runs of an evaluator incomparable; empty if none.

    Comparable runs share evaluator version, images and their content, subset, settings that affect
    the network's outputs, and standardisation; otherwise, a difference would not be due to the
    networks alone.
    """
    values = [
        f"{name} {_short(one)} and {_short(two)}"
        for name, one, two in _compared_values(base, other)
        if one != two
    ]
    return [*values, *_setting_differences(base, other), *_content_differences(base, other)]


def _compared_values(base: Run, other: Run) -> Iterator[tuple[str, Any, Any]]:
    yield "evaluator version", base.evaluator_version, other.evaluator_version
    yield "data", base.data_fingerprint, other.data_fingerprint
    yield "images", base.n, other.n
    yield "limit", base.limit, other.limit
    if base.limit is not None:
        yield "seed of the subset", base.provenance.seed, other.provenance.seed
    for name in ("mean", "std"):
        yield f"standardisation, {name}", _model_value(base, name), _model_value(other, name)


def _model_value(run: Run, name: str) -> Any:
    value = (run.provenance.model or {}).get(name)
    return list(value) if isinstance(value, list | tuple) else value


def _setting_differences(base: Run, other: Run) -> Iterator[str]:
    """Yield the differing settings that affect the network's outputs."""
    for name in sorted({*base.settings, *other.settings} - scoring_settings(base.evaluator)):
        one, two = base.settings.get(name), other.settings.get(name)
        empty = one in (None, "") and two in (None, "")  # older runs may lack the setting
        if one != two and not empty:
            yield f"{name.replace('_', ' ')} {_short(one)} and {_short(two)}"


def scoring_settings(evaluator: str) -> set[str]:
    """Return the settings that only affect scoring; empty if the evaluator is not installed."""
    try:
        fields = dataclasses.fields(plugins.load("evaluators", evaluator))
    except (InputError, TypeError):
        return set()
    return {field.name for field in fields if field.metadata.get("stage") != "collect"}


def _content_differences(base: Run, other: Run) -> Iterator[str]:
    """Yield the additional data sets, of OOD or corrupted images, whose content differs."""
    one, two = _fingerprints(base), _fingerprints(other)
    for name in sorted({*one, *two}):
        if one.get(name) != two.get(name):
            yield f"content of {name} {_short(one.get(name))} and {_short(two.get(name))}"


def _fingerprints(run: Run) -> dict[str, Any]:
    """Return the fingerprint of each data set except the network's training set, split by seed."""
    sets = run.provenance.data.items()
    return {name: facts.fingerprint for name, facts in sets if not facts.own}


def _short(value: Any) -> str:
    """Return a value as short text."""
    if isinstance(value, list | tuple):
        return "(" + ", ".join(_short(item) for item in value) + ")"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 24 else f"{text[:12]}…"
