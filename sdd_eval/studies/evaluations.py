"""Tables `[[evaluate]]` of a study: what is asked of each checkpoint, of each kind its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from sdd_eval import plugins
from sdd_eval.errors import unknown_name
from sdd_eval.evaluators.settings import with_settings
from sdd_eval.former_names import current_settings
from sdd_eval.records import decode, encode
from sdd_eval.studies.smoke import Small
from sdd_eval.studies.study import DETECTION, Evaluation, Study, evaluators
from sdd_eval.studies.toml import Node

EVALUATE = ("evaluator", "settings", "dataset", "limit", "of")


def evaluations_of(
    top: Node, size: Small, study: Study, ids: Mapping[str, set[str]]
) -> tuple[Evaluation, ...]:
    """What is asked of each checkpoint, checkpoint by checkpoint.

    Raises:
        InputError: an evaluator or a setting is unknown, or there is nothing for it to measure.
    """
    classifiers = [*(each.name for each in study.trainings), *top.all("checkpoints", str)]
    detectors = [*(each.name for each in study.detectors), *top.all("detectors", str)]
    if not classifiers and not detectors:
        raise top.wrong("there is nothing to measure: no [[train]] and no checkpoints")
    asked = [each for node in top.tables("evaluate") for each in _asked(node, size, ids)]
    for evaluation, of, node in asked:
        _require_some(evaluation, of, node, classifiers, detectors)
    return tuple(
        dataclasses.replace(each, checkpoint=name)
        for names, detect in ((classifiers, False), (detectors, True))
        for name in names
        for each, of, _ in asked
        if (each.evaluator == DETECTION) == detect and (of is None or name in of)
    )


def _asked(
    node: Node, size: Small, ids: Mapping[str, set[str]]
) -> list[tuple[Evaluation, set[str] | None, Node]]:
    """The evaluations of a table without their checkpoints, and of which ids' these are."""
    node.only(EVALUATE, "field of an evaluation")
    names = node.all("evaluator", str)
    if not names:
        raise node.wrong('which evaluator? evaluator = "NAME"')
    of = chosen(node, ids)
    limit = node.get("limit", (int, type(None)), None)
    if limit is not None and limit < 1:
        raise node.wrong(f"limit is {limit}, not a positive number of images", "limit")
    found = []
    for name in names:
        with node.at("evaluator"):
            spelled = name.replace("-", "_")
            if spelled not in evaluators():
                raise unknown_name("evaluator", name, evaluators())
        given = size.settings(spelled, node.get("settings", dict, {}))
        settings = current_settings(spelled, given)
        with node.at("settings"):
            check_settings(spelled, settings)
        for dataset in node.all("dataset", str) or (None,):
            used = size.name(dataset) if dataset else None
            found.append((Evaluation("", spelled, settings, used, limit), of, node))
    return found


def _require_some(
    evaluation: Evaluation,
    of: set[str] | None,
    node: Node,
    classifiers: Sequence[str],
    detectors: Sequence[str],
) -> None:
    """Refuse an evaluation of checkpoints that are all of the other kind."""
    detect = evaluation.evaluator == DETECTION
    own = detectors if detect else classifiers
    if not own or (of is not None and not of & set(own)):
        kind = "detectors, made by [[train-detector]]" if detect else "classifiers"
        raise node.wrong(
            f"{evaluation.evaluator} measures {kind}, and there are none here",
            "of" if own else "evaluator",
        )


def chosen(node: Node, ids: Mapping[str, set[str]]) -> set[str] | None:
    """The checkpoints of the trainings that a table is about (`of`); None for all."""
    if "of" not in node:
        return None
    with node.at("of"):
        found: set[str] = set()
        for name in node.all("of", str):
            if name not in ids:
                raise unknown_name("id of a training", name, filter(None, ids))
            found |= ids[name]
        return found


def check_settings(evaluator: str, settings: Mapping[str, Any]) -> Any:
    """The evaluator with these settings.

    Raises:
        InputError: it has no such setting, or that is of another type.
    """
    kind = _kind(evaluator)
    with_settings(kind(), **dict.fromkeys(settings))
    return decode(kind, encode(settings), f"settings of {evaluator}")


def _kind(evaluator: str) -> Any:
    if evaluator == DETECTION:
        from sdd_eval.object_detection.evaluator import Detection

        return Detection
    return plugins.load("evaluators", evaluator)
