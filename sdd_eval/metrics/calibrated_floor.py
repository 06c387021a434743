"""The ECE that a perfectly calibrated model would show by chance.

The ECE of finitely many images is never 0, so it should be compared with this floor.

Sources: Bröcker, Smith (2007), "Increasing the reliability of reliability diagrams" (consistency
bars); Vaicenavicius et al. (2019), "Evaluating model calibration in classification" (the
distribution of the calibration error under the hypothesis of calibration).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.metrics.arrays import Floats
from sdd_eval.metrics.calibration import bin_index, check_bins, check_confidences

#: Images are drawn in groups whose confidences differ by at most 1/512; within a group, the number
#: of correct images is binomial, which changes no standard deviation by more than 0.1 %.
LEVELS = 512
#: Default number of simulations.
SIMULATIONS = 2000


@dataclass(frozen=True)
class EceFloor:
    """The simulated ECE of a calibrated model (fractions).

    Attributes:
        mean: mean ECE.
        low, high: central interval of the ECE.
        bin_low, bin_high: central intervals of each bin's accuracy (bins,); NaN in empty bins.
    """

    mean: float
    low: float
    high: float
    bin_low: Floats
    bin_high: Floats


def ece_floor(
    confidence: Any, bins: int = 10, *, level: float = 0.95, draws: int = SIMULATIONS, seed: int = 0
) -> EceFloor:
    """Simulate the ECE of a calibrated model with the given confidences.

    In each of `draws` simulations, an image is correct with a probability equal to its confidence.
    `level` is the coverage of the central intervals. Confidences (n,) may be in any order; they,
    `bins` and errors are as in `calibration.ece`.

    >>> floor = ece_floor(np.linspace(0.1, 1, 10_000))
    >>> round(floor.mean, 3), floor.low < floor.mean < floor.high
    (0.01, True)
    """
    check_bins(bins)
    confidences, _ = check_confidences(confidence, np.zeros(len(confidence)))
    correct, counts, expected = _simulate(np.sort(confidences), bins, draws, seed)
    errors = np.abs(correct - expected).sum(axis=1) / len(confidences)
    tails = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(errors, tails)
    with np.errstate(invalid="ignore"):
        bin_low, bin_high = np.quantile(correct, tails, axis=0) / counts
    return EceFloor(float(errors.mean()), float(low), float(high), bin_low, bin_high)


def _simulate(
    confidence: Floats, bins: int, draws: int, seed: int
) -> tuple[Floats, NDArray[np.int64], Floats]:
    """Return correct images by draw and bin (draws, bins), counts and expectations (bins,).

    `confidence` must be sorted, so that the images of a group are adjacent.
    """
    bin_of_image = bin_index(confidence, bins)
    group = bin_of_image * (LEVELS + 1) + (confidence * LEVELS).astype(np.int64)
    groups, starts, sizes = np.unique(group, return_index=True, return_counts=True)
    means = np.minimum(np.add.reduceat(confidence, starts) / sizes, 1)
    drawn = np.random.default_rng(seed).binomial(sizes, means, (draws, len(sizes)))
    correct = np.zeros((draws, bins))
    filled, bin_starts = np.unique(groups // (LEVELS + 1), return_index=True)
    correct[:, filled] = np.add.reduceat(drawn, bin_starts, axis=1)
    counts: NDArray[np.int64] = np.bincount(bin_of_image, minlength=bins)
    expected: Floats = np.bincount(bin_of_image, confidence, minlength=bins).astype(np.float64)
    return correct, counts, expected
