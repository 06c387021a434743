"""The command that measures a claim that was not tested."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from sdd_eval import studies
from sdd_eval.paper.claims import Claim
from sdd_eval.paper.sides import StudySides, side_pairs, study_sides

#: The suffix of the name of a small study.
_SMALL = "-small"


def with_commands(claims: Sequence[Claim], names: Sequence[str]) -> list[Claim]:
    """Return the claims, each with the command of the first of these studies that measures it.

    `names` are the names of report folders. Claims that no built-in study among them measures keep
    the command of a full-size study.
    """
    commanded = list(claims)
    for name in reversed(names):
        for command, study in _built_in(name):
            sides = study_sides(studies.record_of(study), {})
            evaluators = _evaluators(study)
            commanded = [
                dataclasses.replace(claim, command=command)
                if _measures(claim, sides, evaluators)
                else claim
                for claim in commanded
            ]
    return commanded


def _built_in(name: str) -> Iterator[tuple[str, studies.Study]]:
    """Yield the command and the content of the built-in study with this name, if any."""
    for file in studies.builtin_names():
        if file.replace("/", "-") == name.removesuffix(_SMALL):
            command = f"sdd-eval batch {file}{' --small' if name.endswith(_SMALL) else ''}"
            yield command, studies.read_study(studies.study_file(file))


def _evaluators(study: studies.Study) -> set[str]:
    names = {evaluation.evaluator for evaluation in study.evaluations}
    probed = any(training.fields["probe_epochs"] for training in study.trainings)
    return {*names, "history"} if probed else names


def _measures(claim: Claim, sides: StudySides, evaluators: set[str]) -> bool:
    pairs = side_pairs(claim, claim.pair, sides)
    return claim.number.evaluator in evaluators and next(pairs, None) is not None
