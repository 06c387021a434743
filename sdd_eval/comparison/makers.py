"""Each evaluator's function from what it kept of the images to its numbers."""

from __future__ import annotations

from collections.abc import Mapping

from sdd_eval.comparison.attacks import of_attack, of_audit, of_fgsm
from sdd_eval.comparison.baselines import with_baseline
from sdd_eval.comparison.calibration import of_calibration
from sdd_eval.comparison.cells import of_corruption
from sdd_eval.comparison.masks import of_mask_variance
from sdd_eval.comparison.matching import Evaluated
from sdd_eval.comparison.numbers import Key, Maker, Part, key, of_accuracy
from sdd_eval.comparison.ranks import of_odin, of_ood, of_selective
from sdd_eval.errors import InputError
from sdd_eval.records import Measurement, Run

#: Kind of run → its parts, and the axes that tell its numbers apart within one run; None is all.
MAKERS: Mapping[str, tuple[Maker, tuple[str, ...] | None]] = {
    "accuracy": (of_accuracy, ()),
    "calibration": (of_calibration, ("temperature", "half")),
    "fgsm": (of_fgsm, ("reading", "gradient", "temperature", "epsilon")),
    "corruption": (of_corruption, ("corruption", "severity")),
    "odin": (of_odin, None),
    "ood": (of_ood, None),
    "selective": (of_selective, ("detector", "corruption", "severity")),
    "attack": (of_attack, ("temperature", "part", "gradient")),
    "audit": (of_audit, ("temperature", "attack", "epsilon", "gradient")),
    "mask_variance": (of_mask_variance, ("outliers",)),
}


def kind_of_run(run: Run) -> str:
    """The evaluator; "audit" where `attack` audits."""
    return "audit" if run.settings.get("audit") else run.evaluator


def parts_of(found: Evaluated) -> tuple[Part, ...]:
    """The parts of a run; none of an evaluator that is not known here, or whose arrays are gone."""
    kind = kind_of_run(found.run)
    if kind not in MAKERS:
        return ()
    try:
        return tuple(MAKERS[kind][0](with_baseline(found), found.run.settings))
    except (InputError, KeyError):
        return ()


def key_in(run: Run, measurement: Measurement) -> Key:
    """What a measurement of a run is called among its parts."""
    _, kept = MAKERS.get(kind_of_run(run), (None, None))
    at = {n: value for n, value in measurement.at.items() if kept is None or n in kept}
    return key(measurement.metric, **at)
