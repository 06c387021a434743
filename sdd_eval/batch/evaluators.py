"""What a study can ask of checkpoints."""

from __future__ import annotations

from sdd_eval import plugins

#: The one evaluator that measures detectors; all others measure classifiers.
DETECTION = "detection"


def evaluators() -> tuple[str, ...]:
    """The names of all that can be asked."""
    return (*plugins.names("evaluators"), DETECTION)
