"""Which runs of two networks may be set against each other, and why others may not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdd_eval import store
from sdd_eval.errors import InputError, unknown_name
from sdd_eval.records import Run

#: Runs that nothing was evaluated in: what was seen in training is no test of a network.
NOT_TESTED = ("history",)
#: What stands behind in what two audits differ.
AUDITS = "audits that did not try equally hard say nothing of the networks"


@dataclass(frozen=True)
class StoredRun:
    """A run, and the file that it lies in."""

    path: Path
    run: Run


def load_runs(study: Path, checkpoint: str) -> tuple[StoredRun, ...]:
    """The runs of a checkpoint as it is now: those of its newest weights, in order of their names.

    A run on a part of the images is left out where one on all of them is there.

    Raises:
        InputError: the study has no run of it.
    """
    folder = study / "runs" / store.folder_name("checkpoint", checkpoint)
    found = [StoredRun(path, store.read_run(path)) for path in sorted(folder.glob("*.json"))]
    found = [each for each in found if each.run.evaluator not in NOT_TESTED]
    if not found:
        there = sorted({path.parent.name for path in store.run_paths(study)})
        if not there:
            raise InputError(f"{study} has no finished run; evaluate checkpoints first")
        raise unknown_name(f"checkpoint in {study}", checkpoint, there)
    newest = max(found, key=_created).run.weights_sha256
    found = [each for each in found if each.run.weights_sha256 == newest]
    whole = [_question(each.run) for each in found if each.run.limit is None]
    return tuple(e for e in found if e.run.limit is None or _question(e.run) not in whole)


def _question(run: Run) -> tuple[str, str, str]:
    """What was asked of which set, whatever the number of images."""
    scored = scoring_settings(run.evaluator)
    settings = {name: value for name, value in run.settings.items() if name not in scored}
    return run.evaluator, run.dataset, repr(sorted(settings.items()))


def has_runs(study: Path, checkpoint: str) -> bool:
    """Whether a checkpoint was evaluated in a study; what was seen in training does not count."""
    names = [path.name for path in (study / "runs" / checkpoint).glob("*.json")]
    return any(not name.startswith(NOT_TESTED) for name in names)


def _created(found: StoredRun) -> str:
    return str(found.run.provenance.get("created", ""))


def match_runs(
    base: Sequence[StoredRun], other: Sequence[StoredRun]
) -> tuple[list[tuple[StoredRun, StoredRun]], list[str]]:
    """Pairs of runs that may be joined, and a line for each run that has no partner, with why.

    Of several partners the newest is taken.
    """
    pairs, apart = [], []
    for one in base:
        alike = [each for each in other if _place(each.run) == _place(one.run)]
        partners = [each for each in alike if not run_differences(one.run, each.run)]
        if partners:
            pairs.append((one, max(partners, key=_created)))
        elif alike:
            reasons = min((run_differences(one.run, each.run) for each in alike), key=len)
            audits = one.run.settings.get("audit") and any(
                e.run.settings.get("audit") for e in alike
            )
            note = f" ({AUDITS})" if audits else ""
            apart.append(f"{_told(one.run)}: differ: {'; '.join(reasons)}{note}")
        else:
            apart.append(f"{_told(one.run)}: differ: only the first was measured")
    places = {_place(each.run) for each in base}
    lonely = [each.run for each in other if _place(each.run) not in places]
    return pairs, apart + [f"{_told(run)}: differ: only the second was measured" for run in lonely]


def _place(run: Run) -> tuple[str, str]:
    return run.evaluator, run.dataset


def _told(run: Run) -> str:
    return f"{run.evaluator} on {run.dataset}"


def run_differences(base: Run, other: Run) -> list[str]:
    """In what two runs of an evaluator differ that forbids to join them; empty where they may be.

    Both have looked at the same images in the same way, or a difference would be of more than the
    networks: evaluator and its version, images and their content, subset, settings, and the
    standardisation of the network.
    """
    found = [
        f"{name} {_short(one)} and {_short(two)}"
        for name, one, two in _compared(base, other)
        if one != two
    ]
    return [*found, *_settings(base, other), *_contents(base, other)]


def _compared(base: Run, other: Run) -> Iterator[tuple[str, Any, Any]]:
    yield "evaluator version", base.evaluator_version, other.evaluator_version
    yield "data", base.data_fingerprint, other.data_fingerprint
    yield "images", base.n, other.n
    yield "limit", base.limit, other.limit
    if base.limit is not None:
        yield "seed of the subset", base.provenance.get("seed"), other.provenance.get("seed")
    for name in ("mean", "std"):
        yield f"standardisation, {name}", _of_model(base, name), _of_model(other, name)


def _of_model(run: Run, name: str) -> Any:
    model = run.provenance.get("model")
    found = model.get(name) if isinstance(model, Mapping) else None
    return list(found) if isinstance(found, list | tuple) else found


def _settings(base: Run, other: Run) -> Iterator[str]:
    """Settings that change what a network computes, and differ."""
    scored = scoring_settings(base.evaluator)
    for name in sorted({*base.settings, *other.settings} - scored):
        one, two = base.settings.get(name), other.settings.get(name)
        empty = one in (None, "") and two in (None, "")  # a run of before the setting was there
        if one != two and not empty:
            yield f"{name.replace('_', ' ')} {_short(one)} and {_short(two)}"


def scoring_settings(evaluator: str) -> set[str]:
    """The settings that only scoring depends on; none of an evaluator that is not installed."""
    import dataclasses

    from sdd_eval import plugins

    try:
        fields = dataclasses.fields(plugins.load("evaluators", evaluator))
    except (InputError, TypeError):
        return set()
    return {field.name for field in fields if field.metadata.get("stage") != "collect"}


def _contents(base: Run, other: Run) -> Iterator[str]:
    """Further data sets, of outliers or corrupted, whose content differs."""
    one, two = (_fingerprints(run) for run in (base, other))
    for name in sorted({*one, *two}):
        if one.get(name) != two.get(name):
            yield f"content of {name} {_short(one.get(name))} and {_short(two.get(name))}"


def _fingerprints(run: Run) -> dict[str, Any]:
    """Of each set; those of the network's own training images differ from seed to seed."""
    data = run.provenance.get("data")
    sets = data if isinstance(data, Mapping) else {}
    return {
        str(name): told.get("fingerprint")
        for name, told in sets.items()
        if isinstance(told, dict) and not told.get("own")
    }


def _short(value: Any) -> str:
    """A value in few letters."""
    if isinstance(value, list | tuple):
        return "(" + ", ".join(_short(each) for each in value) + ")"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 24 else f"{text[:12]}…"


#: A value that an evaluator fits to each network, as its protocol names it.
_FITTED = re.compile(r" = [0-9.eE+-]+(?:, a bound of the range)?(?=, fitted\b)")


def comparable_protocol(protocol: str) -> str:
    """A protocol without the values fitted to one network, so that seeds share it.

    >>> comparable_protocol("T = 1.43, fitted by NLL; ε = 0.2"), comparable_protocol("T = 1000")
    ('T, fitted by NLL; ε = 0.2', 'T = 1000')
    """
    return _FITTED.sub("", protocol)
