"""Model selection: the best value of each hyper-parameter that a study varies."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdd_eval import store
from sdd_eval.checkpoints.folder import read_card
from sdd_eval.data.catalogue import canonical_name
from sdd_eval.errors import InputError
from sdd_eval.records import Run, encode
from sdd_eval.statistics.seeds import SeedSummary, summarize_seeds
from sdd_eval.studies.jobs import Workspace
from sdd_eval.studies.recipe_groups import group_key, group_title, value_of
from sdd_eval.studies.study import DETECTION, Study

#: A card's accuracy on the validation images.
VALIDATION = "validation_accuracy"
#: Metrics to select by, in order of preference, each in words.
METRICS = {
    VALIDATION: "accuracy on the validation images",
    "accuracy": "accuracy on the test images",
    "map": "mAP on the test images",
}


@dataclass(frozen=True)
class _Candidate:
    """A trained network: the fields of its recipe, and its metrics."""

    fields: Mapping[str, Any]
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Selection:
    """The best values within one group of networks, out of `candidates` combinations."""

    group: str
    values: Mapping[str, Any]
    metric: str
    score: SeedSummary
    candidates: int

    def __str__(self) -> str:
        values = ", ".join(f"{name.replace('_', ' ')} {v}" for name, v in self.values.items())
        biased = "" if self.metric == VALIDATION else "; selected on the test set, so biased"
        seeds = f"{self.score.n} seed{'s' if self.score.n > 1 else ''}"
        return (
            f"{self.group}: best of {self.candidates} by {METRICS[self.metric]} is {values} "
            f"({100 * self.score.mean:.2f} %, {seeds}){biased}"
        )


def selections(study: Study, workspace: Workspace) -> tuple[Selection, ...]:
    """Return the best values of each group of networks in which several are trained.

    The criterion is the mean over seeds of the accuracy on the validation images if every network
    has some, else of the accuracy on the test images; of detectors, of mAP on the test images.
    Networks that are not trained or not evaluated are left out.
    """
    return (
        *_selections(_classifiers(study, workspace.checkpoints), study.varied),
        *_selections(_detectors(study, workspace.study), study.varied_of_detectors),
    )


def _classifiers(study: Study, checkpoints: Path) -> Iterator[_Candidate]:
    for training in study.trainings:
        with contextlib.suppress(InputError):
            card = read_card(checkpoints / training.name)
            yield _Candidate(encode(training.recipe), card.metrics)


def _detectors(study: Study, folder: Path) -> Iterator[_Candidate]:
    """Yield the detectors with the metrics of their newest runs on the whole test set."""
    for detector in study.detectors:
        paths = (folder / "runs" / detector.name).glob(f"{DETECTION}-*.json")
        test = canonical_name(Path(detector.recipe.dataset).name)
        runs: list[Run] = []
        for path in paths:
            with contextlib.suppress(InputError):
                runs.append(store.read_run(path))
        runs = [run for run in runs if canonical_name(run.dataset) == test and not run.limit]
        if runs:
            newest = max(runs, key=lambda run: run.provenance.created)
            yield _Candidate(detector.fields, {m.metric: m.value for m in newest.measurements})


def _selections(networks: Iterable[_Candidate], varied: Sequence[str]) -> Iterator[Selection]:
    """Yield the selection of each group with several values of which all have a metric."""
    groups: dict[str, dict[str, list[_Candidate]]] = {}
    for network in networks:
        values = {name: value_of(network.fields, name) for name in varied}
        group = groups.setdefault(group_key(network.fields), {})
        group.setdefault(json.dumps(encode(values)), []).append(network)
    for group in groups.values():
        members = [network for seeds in group.values() for network in seeds]
        shared = [name for name in METRICS if all(name in each.metrics for each in members)]
        if len(group) > 1 and shared:
            yield _best(group_title(members[0].fields), group, shared[0])


def _best(title: str, group: Mapping[str, Sequence[_Candidate]], metric: str) -> Selection:
    scores = {
        v: summarize_seeds(each.metrics[metric] for each in seeds) for v, seeds in group.items()
    }
    best = max(scores, key=lambda values: scores[values].mean)
    tried = [json.loads(values) for values in scores]
    selected = {
        name: value
        for name, value in json.loads(best).items()
        if any(values[name] != value for values in tried)
    }
    return Selection(title, selected, metric, scores[best], len(scores))
