"""Mean accuracies under corruption, and which corruptions a mean is over.

Source: Hendrycks, Dietterich (2019), "Benchmarking neural network robustness to common
corruptions and perturbations".
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sdd_eval.corruptions import FIFTEEN, SEVERITIES
from sdd_eval.errors import InputError


def mean_per_corruption(cells: Mapping[tuple[str, int], float]) -> dict[str, float]:
    """Mean over the five severities of every corruption, from accuracies per cell.

    Raises:
        InputError: a severity of a corruption is missing.

    >>> mean_per_corruption({("fog", severity): severity / 10 for severity in (1, 2, 3, 4, 5)})
    {'fog': 0.3}
    """
    for corruption, _ in cells:
        missing = [severity for severity in SEVERITIES if (corruption, severity) not in cells]
        if missing:
            raise InputError(f"{corruption} lacks severity {missing[0]}; a mean is over 1 to 5")
    names = dict.fromkeys(corruption for corruption, _ in cells)
    return {
        name: float(np.mean([cells[name, severity] for severity in SEVERITIES])) for name in names
    }


def mean_corruption_accuracy(
    means: Mapping[str, float], over: tuple[str, ...] = FIFTEEN
) -> float | None:
    """Mean accuracy over a set of corruptions (mCA), or None where one of them is missing.

    >>> mean_corruption_accuracy({"fog": 0.3, "snow": 0.5}, over=("fog", "snow"))
    0.4
    >>> mean_corruption_accuracy({"fog": 0.3}) is None
    True
    """
    if any(corruption not in means for corruption in over):
        return None
    return float(np.mean([means[corruption] for corruption in over]))
