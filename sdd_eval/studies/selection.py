"""Which value of a hyper-parameter a study chooses, by which images, and how fair that is."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdd_eval import store
from sdd_eval.data.catalogue import canonical_name
from sdd_eval.errors import InputError
from sdd_eval.records import Card, Run, encode
from sdd_eval.statistics.seeds import SeedSummary, summarize_seeds
from sdd_eval.studies.jobs import Places
from sdd_eval.studies.recipe_groups import key_of_kind, told_kind, value_of
from sdd_eval.studies.study import DETECTION, Study

#: What the card of a checkpoint calls its accuracy on held-out and on test images, and what a
#: detector's run calls its mAP; each in words. What stands first is asked first.
VALIDATION = "validation_accuracy"
WORDS = {
    VALIDATION: "accuracy on the validation images",
    "accuracy": "accuracy on the test images",
    "map": "mAP on the test images",
}


@dataclass(frozen=True)
class Tried:
    """A network that is there: what was tried with it, and its numbers."""

    fields: Mapping[str, Any]
    numbers: Mapping[str, float]


@dataclass(frozen=True)
class Choice:
    """The best values of what a study varies, of one kind of network."""

    kind: str
    values: Mapping[str, Any]
    by: str
    number: SeedSummary
    among: int

    @property
    def fair(self) -> bool:
        """Whether the test images had no part in it."""
        return self.by == VALIDATION


def choices(study: Study, places: Places) -> tuple[Choice, ...]:
    """One choice for each kind of network of which several values are trained.

    By the mean over seeds: of the accuracy on the validation images where every network has held
    some out, else on the test images; of detectors by mAP, which is measured on the test images
    only. Networks that are not there, or not measured, have no part in it.
    """
    return (
        *_choices(_classifiers(study, places.checkpoints), study.varied),
        *_choices(_detectors(study, places.study), study.varied_of_detectors),
    )


def told(choice: Choice) -> str:
    """A choice in one line."""
    values = ", ".join(f"{name.replace('_', ' ')} {v}" for name, v in choice.values.items())
    end = "" if choice.fair else ": chosen on the images that it is measured on, no fair result"
    n = choice.number.n
    return (
        f"{choice.kind}: best of {choice.among} by {WORDS[choice.by]} is {values} "
        f"({100 * choice.number.mean:.2f} %, {n} seed{'s' if n > 1 else ''}){end}"
    )


def _classifiers(study: Study, checkpoints: Path) -> Iterator[Tried]:
    """The classifiers, with the numbers of their cards."""
    for training in study.trainings:
        with contextlib.suppress(InputError):
            card = store.read_record(checkpoints / training.name / "card.json", Card)
            yield Tried(encode(training.recipe), card.metrics)


def _detectors(study: Study, folder: Path) -> Iterator[Tried]:
    """The detectors, with the numbers of their newest runs on all test images of their own set."""
    for detector in study.detectors:
        paths = (folder / "runs" / detector.name).glob(f"{DETECTION}-*.json")
        own = canonical_name(Path(detector.recipe.dataset).name)
        runs = [run for run in _runs(paths) if canonical_name(run.dataset) == own and not run.limit]
        if runs:
            newest = max(runs, key=lambda run: str(run.provenance.get("created", "")))
            yield Tried(detector.fields, {m.metric: m.value for m in newest.measurements})


def _runs(paths: Iterable[Path]) -> Iterator[Run]:
    """The runs that are whole."""
    for path in paths:
        with contextlib.suppress(InputError):
            yield store.read_run(path)


def _choices(networks: Iterable[Tried], varied: Sequence[str]) -> Iterator[Choice]:
    """The choice of each kind, where several values were tried and all have a number."""
    kinds: dict[str, dict[str, list[Tried]]] = {}
    for each in networks:
        values = {name: value_of(each.fields, name) for name in varied}
        of_kind = kinds.setdefault(key_of_kind(each.fields), {})
        of_kind.setdefault(json.dumps(encode(values)), []).append(each)
    for alike in kinds.values():
        every = [each for group in alike.values() for each in group]
        by = next((name for name in WORDS if all(name in each.numbers for each in every)), None)
        if len(alike) > 1 and by is not None:
            yield _choice(told_kind(every[0].fields), alike, by)


def _choice(kind: str, alike: Mapping[str, Sequence[Tried]], by: str) -> Choice:
    """The values with the best mean."""
    means = {v: summarize_seeds(each.numbers[by] for each in group) for v, group in alike.items()}
    best = max(means, key=lambda values: means[values].mean)
    tried = [json.loads(values) for values in means]
    chosen = {
        name: value
        for name, value in json.loads(best).items()
        if any(each[name] != value for each in tried)
    }
    return Choice(kind, chosen, by, means[best], len(means))
