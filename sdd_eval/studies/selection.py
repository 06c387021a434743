"""Model selection: the best value of each hyper-parameter that a study varies.

Values are selected within a group of recipes that differ only in hyper-parameters and seeds.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdd_eval import store
from sdd_eval.checkpoints.folder import read_card
from sdd_eval.data.catalogue import canonical_name
from sdd_eval.errors import InputError
from sdd_eval.records import CLASSIFICATION, OBJECT_DETECTION, Task, encode
from sdd_eval.statistics.seeds import SeedSummary, summarize_seeds
from sdd_eval.studies.jobs import Workspace
from sdd_eval.studies.study import Study, Training

#: A recipe: a classifier's, or a detector's together with its backbone's.
Fields = Mapping[str, Any]

#: A card's accuracy on the validation images.
VALIDATION = "validation_accuracy"
#: Metrics to select by, in order of preference, each with a description.
METRICS = {
    VALIDATION: "accuracy on the validation images",
    "accuracy": "accuracy on the test images",
    "map": "mAP on the test images",
}

_OPTIMISATION = ("epochs", "batch_size", "lr", "momentum", "weight_decay", "milestones")
#: Fields of a recipe that are tuned.
HYPER_PARAMETERS = (
    *("sd_dropout", "drop_rate", "temperature", "direction", "position", *_OPTIMISATION),
    *("method_options", "min_size", "max_size", "trainable_layers", "channels", "regions"),
    *(f"backbone_{name}" for name in _OPTIMISATION),
)
#: Tuned fields that have no effect if the weight of the SD-Dropout term is 0.
_OF_THE_TERM = ("drop_rate", "temperature", "direction", "position")


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


def selections(study: Study, workspace: Workspace) -> Iterator[Selection]:
    """Yield the best values of each group of networks in which several are trained.

    The criterion is the mean over seeds of the first of `METRICS` that all networks of a group
    have. Networks that are not trained or not evaluated are left out.
    """
    yield from _selections(study.trainings, study.varied, study.chosen, workspace)
    yield from _selections(study.detectors, study.varied_of_detectors, study.chosen, workspace)


def _selections(
    networks: Sequence[Training],
    names: Sequence[str],
    chosen: Container[str],
    workspace: Workspace,
) -> Iterator[Selection]:
    groups: dict[str, dict[str, list[Mapping[str, float]]]] = {}
    titles: dict[str, str] = {}
    for network in networks:
        with contextlib.suppress(InputError):
            metrics = _METRICS_OF[network.recipe.task](network, workspace)
            values = {name: value_of(network.fields, name) for name in names}
            key = group_key(network.fields, chosen)
            titles.setdefault(key, group_title(network.fields, chosen))
            groups.setdefault(key, {}).setdefault(_json(values), []).append(metrics)
    for key, group in groups.items():
        members = itertools.chain(*group.values())
        shared = set.intersection(set(METRICS), *members)
        if len(group) > 1 and shared:
            yield _best(titles[key], group, min(shared, key=list(METRICS).index))


def _card_metrics(network: Training, workspace: Workspace) -> Mapping[str, float]:
    return read_card(workspace.checkpoints / network.name).metrics


def _run_metrics(network: Training, workspace: Workspace) -> Mapping[str, float]:
    """Return the numbers of each evaluator's newest run on the whole test set."""
    test = canonical_name(Path(network.recipe.dataset).name)
    paths = (workspace.study / "runs" / network.name).glob("*.json")
    runs = [run for _, run in store.readable_runs(paths)]
    runs = [run for run in runs if canonical_name(run.dataset) == test and not run.limit]
    runs.sort(key=lambda run: run.provenance.created)
    if not runs:
        raise InputError(f"{network.name} is not evaluated on {test}")
    return {m.metric: m.value for run in runs for m in run.measurements}


_METRICS_OF: Mapping[Task, Callable[[Training, Workspace], Mapping[str, float]]] = {
    CLASSIFICATION: _card_metrics,
    OBJECT_DETECTION: _run_metrics,
}


def _best(title: str, group: Mapping[str, Sequence[Mapping[str, float]]], metric: str) -> Selection:
    scores = {v: summarize_seeds(seed[metric] for seed in seeds) for v, seeds in group.items()}
    best = max(scores, key=lambda values: scores[values].mean)
    tried = list(map(json.loads, scores))
    selected = {
        name: value
        for name, value in json.loads(best).items()
        if any(values[name] != value for values in tried)
    }
    return Selection(title, selected, metric, scores[best], len(scores))


def varied(recipes: Iterable[Fields], chosen: Container[str] = ()) -> tuple[str, ...]:
    """Return the hyper-parameters that have several values within a group, without the `chosen`.

    >>> ce = {"method": "ce", "sd_dropout": 0.0}
    >>> varied([ce, {**ce, "sd_dropout": 0.1}, {**ce, "sd_dropout": 1.0}, {**ce, "method": "ls"}])
    ('sd_dropout',)
    """
    groups: dict[str, list[Fields]] = {}
    for recipe in recipes:
        groups.setdefault(group_key(recipe, chosen), []).append(recipe)
    return tuple(
        name
        for name in HYPER_PARAMETERS
        if any(len({_json(value_of(recipe, name)) for recipe in g}) > 1 for g in groups.values())
    )


def group_key(recipe: Fields, chosen: Container[str] = ()) -> str:
    """Return what the recipes of a group share: all fields except hyper-parameters and seed.

    It includes `chosen` hyper-parameters, whose values were chosen before the study, a method's
    non-numeric options, and whether there is an SD-Dropout term.
    """
    tuned = [name for name in HYPER_PARAMETERS if name not in chosen]
    fixed = {n: v for n, v in recipe.items() if n not in (*tuned, "seed")}
    return _json({**fixed, "variants": _variants(recipe), "term": bool(recipe.get("sd_dropout"))})


def value_of(recipe: Fields, name: str) -> Any:
    """Return the value of a hyper-parameter, of method options the numbers; None without effect."""
    if name in _OF_THE_TERM and not recipe.get("sd_dropout"):
        return None
    value = recipe.get(name)
    if isinstance(value, Mapping):
        return {option: number for option, number in value.items() if _is_number(number)}
    return value


def group_title(recipe: Fields, chosen: Container[str] = ()) -> str:
    """Describe a group in words; for a detector on a foreign backbone, by that backbone.

    The words include the values of the `chosen` hyper-parameters.

    >>> ce = {"method": "ce", "arch": "resnet18", "dataset": "cifar100"}
    >>> group_title({**ce, "sd_dropout": 0.1, "hidden_layers": 1})
    'ce with SD-Dropout of resnet18 with 1 hidden layer on cifar100'
    >>> group_title({**ce, "weight_decay": 0.002}, ["weight_decay"])
    'ce of resnet18 on cifar100, weight decay 0.002'
    """
    values = {name: value_of(recipe, name) for name in HYPER_PARAMETERS if name in chosen}
    words = [f", {n.replace('_', ' ')} {v}" for n, v in values.items() if v is not None]
    where = "".join([f" on {recipe['dataset']}", *words])
    if "backbone" in recipe:
        return f"{recipe['arch']}{recipe['backbone']}{where}"
    term = " with SD-Dropout" if recipe.get("sd_dropout") else ""
    method = " ".join([recipe["method"], *map(str, _variants(recipe).values())])
    hidden = recipe.get("hidden_layers", 0)
    layers = f" with {hidden} hidden layer{'s' if hidden > 1 else ''}" if hidden else ""
    return f"{method}{term} of {recipe['arch']}{layers}{where}"


def _variants(recipe: Fields) -> Fields:
    return {n: v for n, v in recipe.get("method_options", {}).items() if not _is_number(v)}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _json(value: Any) -> str:
    return json.dumps(encode(value), sort_keys=True)
