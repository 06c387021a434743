"""Each evaluator's function from what it kept of the images to its numbers."""

from __future__ import annotations

from collections.abc import Mapping

from sdd_eval.comparison.cells import of_corruption
from sdd_eval.comparison.numbers import (
    Key,
    Maker,
    Part,
    key,
    of_accuracy,
    of_attack,
    of_calibration,
    of_fgsm,
)
from sdd_eval.comparison.ranks import of_odin, of_ood, of_selective
from sdd_eval.errors import InputError
from sdd_eval.records import Measurement, Run

#: Evaluator → its parts, and the axes that tell its numbers apart within one run; None is all.
MAKERS: Mapping[str, tuple[Maker, tuple[str, ...] | None]] = {
    "accuracy": (of_accuracy, ()),
    "calibration": (of_calibration, ("temperature", "half")),
    "fgsm": (of_fgsm, ("reading", "gradient", "temperature", "epsilon")),
    "corruption": (of_corruption, ("corruption", "severity")),
    "odin": (of_odin, None),
    "ood": (of_ood, None),
    "selective": (of_selective, ("detector", "corruption", "severity")),
    "attack": (of_attack, ("temperature", "part")),
}


def parts_of(run: Run) -> tuple[Part, ...]:
    """The parts of a run; none of an evaluator that is not known here, or whose arrays are gone."""
    if run.evaluator not in MAKERS:
        return ()
    make, _ = MAKERS[run.evaluator]
    try:
        return tuple(make(dict(run.arrays), run.settings))
    except (InputError, KeyError):
        return ()


def key_in(run: Run, measurement: Measurement) -> Key:
    """What a measurement of a run is called among its parts."""
    _, kept = MAKERS.get(run.evaluator, (None, None))
    at = {n: value for n, value in measurement.at.items() if kept is None or n in kept}
    return key(measurement.metric, **at)
