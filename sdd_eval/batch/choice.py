"""Which value of a hyper-parameter a study chooses, by which images, and how fair that is."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdd_eval.batch.kinds import key_of_kind, told_kind, value_of
from sdd_eval.batch.study import Study
from sdd_eval.errors import InputError
from sdd_eval.records import Card, encode
from sdd_eval.statistics.seeds import Spread, spread
from sdd_eval.store import read_record

#: What the card of a checkpoint calls its accuracy on held-out and on test images.
VALIDATION, TEST = "validation_accuracy", "accuracy"


@dataclass(frozen=True)
class Choice:
    """The best values of what a study varies, of one kind of network."""

    kind: str
    values: Mapping[str, Any]
    by: str
    accuracy: Spread
    among: int

    @property
    def fair(self) -> bool:
        """Whether the test images had no part in it."""
        return self.by == VALIDATION


def choices(study: Study, checkpoints: Path) -> tuple[Choice, ...]:
    """One choice for each kind of network of which several values are trained.

    By the mean accuracy over seeds: on the validation images where every network has held some
    out, else on the test images. Checkpoints that are not there yet have no part in it.
    """
    kinds: dict[str, dict[str, list[Card]]] = {}
    words: dict[str, str] = {}
    for training in study.trainings:
        with contextlib.suppress(InputError):
            card = read_record(checkpoints / training.name / "card.json", Card)
            kind = key_of_kind(training.recipe)
            words[kind] = told_kind(training.recipe)
            values = {name: value_of(training.recipe, name) for name in study.varied}
            of_kind = kinds.setdefault(kind, {})
            of_kind.setdefault(json.dumps(encode(values)), []).append(card)
    found = [_choice(words[kind], cards) for kind, cards in kinds.items() if len(cards) > 1]
    return tuple(each for each in found if each is not None)


def told(choice: Choice) -> str:
    """A choice in one line."""
    values = ", ".join(f"{name.replace('_', ' ')} {v}" for name, v in choice.values.items())
    images = "validation" if choice.fair else "test"
    end = "" if choice.fair else ": chosen on the images that it is measured on, no fair result"
    n = choice.accuracy.n
    return (
        f"{choice.kind}: best of {choice.among} by accuracy on the {images} images is {values} "
        f"({100 * choice.accuracy.mean:.2f} %, {n} seed{'s' if n > 1 else ''}){end}"
    )


def _choice(kind: str, cards: Mapping[str, Sequence[Card]]) -> Choice | None:
    """The values with the best mean; None where no card says an accuracy."""
    every = [card for group in cards.values() for card in group]
    by = VALIDATION if all(VALIDATION in card.metrics for card in every) else TEST
    if not all(by in card.metrics for card in every):
        return None
    means = {v: spread(card.metrics[by] for card in group) for v, group in cards.items()}
    best = max(means, key=lambda values: means[values].mean)
    tried = [json.loads(values) for values in means]
    chosen = {
        name: value
        for name, value in json.loads(best).items()
        if any(each[name] != value for each in tried)
    }
    return Choice(kind, chosen, by, means[best], len(means))
