"""What calibration error chance alone gives: the same confidences, of a model that is calibrated.

An ECE of n images is never 0, so a number means something only beside this one.

Sources: Bröcker, Smith (2007), "Increasing the reliability of reliability diagrams" (the bands of
the bins); Vaicenavicius et al. (2019), "Evaluating model calibration in classification" (the
distribution of the error under the hypothesis of calibration).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.metrics.arrays import Floats
from sdd_eval.metrics.calibration import bin_index, check_bins, check_confidences

#: Levels of confidence whose images are drawn together, as binomial numbers of right ones: within
#: a level confidences differ by 1/512 at most, which changes no standard deviation by 0.1 %.
LEVELS = 512

#: How many simulations a number is from, unless others are asked for.
SIMULATIONS = 2000


@dataclass(frozen=True)
class EceFloor:
    """The ECE of a calibrated model: its mean and central interval; accuracies per bin (M,).

    `bin_low` and `bin_high` hold each bin's accuracy by itself; NaN in empty bins.
    """

    mean: float
    low: float
    high: float
    bin_low: Floats
    bin_high: Floats


def ece_floor(
    confidence: Any, bins: int = 10, *, level: float = 0.95, draws: int = SIMULATIONS, seed: int = 0
) -> EceFloor:
    """The ECE that a calibrated model with these confidences (n,) would show, simulated.

    In each of `draws` an image is right with the probability that its confidence says. Bins are
    those of `calibration.ece`; the seed fixes the result, whatever the images' order.

    Raises:
        InputError: see `calibration.ece`.

    >>> found = ece_floor(np.linspace(0.1, 1, 10_000))
    >>> round(found.mean, 3), found.low < found.mean < found.high
    (0.01, True)
    """
    check_bins(bins)
    sure, _ = check_confidences(confidence, np.zeros(len(confidence)))
    right, count, expected = _drawn(np.sort(sure), bins, draws, seed)
    errors = np.abs(right - expected).sum(axis=1) / len(sure)
    tails = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(errors, tails)
    with np.errstate(invalid="ignore"):
        bin_low, bin_high = np.quantile(right, tails, axis=0) / count
    return EceFloor(float(errors.mean()), float(low), float(high), bin_low, bin_high)


def _drawn(
    confidence: Floats, bins: int, draws: int, seed: int
) -> tuple[Floats, NDArray[np.int64], Floats]:
    """How many of each bin are right in each draw (draws, M); bins' counts, and expectations (M,).

    Confidences rise, and so does their bin: the images of a group are neighbours.
    """
    in_bin = bin_index(confidence, bins)
    group = in_bin * (LEVELS + 1) + (confidence * LEVELS).astype(np.int64)
    names, first, sizes = np.unique(group, return_index=True, return_counts=True)
    means = np.minimum(np.add.reduceat(confidence, first) / sizes, 1)
    drawn = np.random.default_rng(seed).binomial(sizes, means, (draws, len(sizes)))
    right = np.zeros((draws, bins))
    bin_of_group = names // (LEVELS + 1)
    filled, start = np.unique(bin_of_group, return_index=True)
    right[:, filled] = np.add.reduceat(drawn, start, axis=1)
    count: NDArray[np.int64] = np.bincount(in_bin, minlength=bins)
    expected: Floats = np.bincount(in_bin, confidence, minlength=bins).astype(np.float64)
    return right, count, expected
