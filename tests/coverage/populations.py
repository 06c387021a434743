"""Populations with known metrics: large pools of images from which samples are drawn.

A pool is finite, so the truth is what the metric is on the whole pool. Two networks classify the
same images with correlated errors, so that their paired differences can be simulated too. Each
population draws a sample of both networks as statistics, made by the evaluators themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import betaincinv, ndtr, ndtri

from sdd_eval.arrays import Array, Arrays
from sdd_eval.evaluators.calibration import calibration_errors
from sdd_eval.evaluators.ood.ood import Ood
from sdd_eval.evaluators.selective import Selective
from sdd_eval.metrics.calibration import bin_sums
from sdd_eval.metrics.classification import confidence_and_correct
from sdd_eval.metrics.corruption import ErrorRatio, cell_calibration_errors, error_ratios
from sdd_eval.metrics.ranking import METRICS, OperatingPoints, operating_points
from sdd_eval.metrics.selective import confidence_scores
from sdd_eval.statistics.statistic import Quantity, Statistic, mean_of_cells, shares

CLASSES, BINS = 10, 10
#: Cells of 15 corruptions, and how much easier clean images are, in standard deviations.
CELLS, EASIER = 75, 0.7
#: Correlation of the errors of two networks on one image, on the scale of a normal variable.
CORRELATION = 0.7


def name_of(quantity: Quantity) -> str:
    """Return the name of a number in the results; empty if it is not counted."""
    if "corruption" in quantity.at:
        return f"{quantity.metric}, {quantity.at['corruption']}"
    return "" if quantity.at.get("outliers") == "average" else quantity.metric


def values_of(statistics: Sequence[Statistic]) -> dict[str, float]:
    """Return the counted numbers of statistics by name."""
    return {
        name_of(quantity): float(value)
        for statistic in statistics
        for quantity, value in zip(statistic.quantities, statistic.values, strict=True)
        if name_of(quantity)
    }


@dataclass(frozen=True)
class Classification:
    """Two networks of one accuracy that are calibrated, or over-confident by some amount.

    Confidences are of kind "smooth" (beta distributed), "ties" (rounded to 0.05) or "saturated"
    (80 % of the images have a softmax of almost 1).
    """

    accuracy: float
    over: float
    kind: str
    size: int = 100_000

    @property
    def name(self) -> str:
        """The population in words."""
        confident = f"over-confident by {self.over:g}" if self.over else "calibrated"
        return f"accuracy {self.accuracy:g}, {confident}, {self.kind}"

    @cached_property
    def pool(self) -> tuple[Any, Any, Any]:
        """Logits of both networks (n, classes) float32, and labels (n,)."""
        random = np.random.default_rng(1)
        shared = random.normal(size=self.size)
        labels = random.integers(CLASSES, size=self.size)
        logits = [self._logits(random, shared, labels) for _ in range(2)]
        return logits[0], logits[1], labels

    def _logits(self, random: Any, shared: Any, labels: Any) -> Any:
        """Return logits whose confidence exceeds the probability of being right by `over`."""
        right_probability = self._probabilities(random)
        own = random.normal(size=self.size)
        latent = ndtr(np.sqrt(CORRELATION) * shared + np.sqrt(1 - CORRELATION) * own)
        right = latent < right_probability
        confidence = np.clip(right_probability + self.over, 1 / CLASSES + 1e-3, 1 - 1e-6)
        wrong_class = (labels + random.integers(1, CLASSES, size=self.size)) % CLASSES
        predicted = np.where(right, labels, wrong_class)
        others = random.dirichlet(np.ones(CLASSES - 1), size=self.size)
        # no other class may be more probable than the predicted one
        others = np.minimum(others, (confidence / (1 - confidence))[:, None] * 0.999)
        others /= others.sum(axis=1, keepdims=True)
        spread = np.insert(others * (1 - confidence)[:, None], 0, confidence, axis=1)
        order = (predicted[:, None] + np.arange(CLASSES)) % CLASSES
        probabilities = np.empty((self.size, CLASSES))
        np.put_along_axis(probabilities, order, spread, axis=1)
        return np.log(np.maximum(probabilities, 1e-30)).astype(np.float32)

    def _probabilities(self, random: Any) -> Any:
        """Return each image's probability of being right; their mean is the accuracy."""
        concentration = 4.0
        a, b = self.accuracy * concentration, (1 - self.accuracy) * concentration
        drawn = np.clip(random.beta(a, b, size=self.size), 1 / CLASSES, 1.0)
        if self.kind == "ties":
            drawn = np.round(drawn * 20) / 20
        if self.kind == "saturated":
            sure = random.random(self.size) < 0.8
            drawn = np.where(sure, 1 - (1 - self.accuracy) / 4, drawn)
        return drawn

    def statistics(self, rows: Any) -> list[list[Statistic]]:
        """Return the statistics of both networks on some images of the pool."""
        first, second, labels = self.pool
        return [self._of_network(logits[rows], labels[rows]) for logits in (first, second)]

    @staticmethod
    def _of_network(logits: Any, labels: Any) -> list[Statistic]:
        _, correct = confidence_and_correct(logits, labels)
        arrays = {"correct": correct, "scores": confidence_scores(logits)}
        accuracy = shares([Quantity("accuracy", "fraction", {}, "")], [correct])
        selective = [
            statistic
            for statistic in Selective().statistics(Arrays.of(arrays))
            if statistic.quantities[0].at["score"] == "msp"
        ]
        return [accuracy, *calibration_errors(logits, labels, BINS, "T = 1", {}), *selective]

    @cached_property
    def truths(self) -> list[dict[str, float]]:
        """The numbers of both networks on the whole pool.

        Debiased errors estimate the population's error over the same bins, which is the pool's.
        """
        truths = [values_of(of_network) for of_network in self.statistics(slice(None))]
        for truth, logits in zip(truths, self.pool[:2], strict=True):
            sums = bin_sums(*confidence_and_correct(logits, self.pool[2]), BINS)
            truth["ece_debiased"] = truth["ece"]
            truth["ece_debiased_l2"] = float(np.sqrt((sums.share * sums.gap**2).sum()))
        return truths

    def draw(self, random: Any, n: int) -> list[list[Statistic]]:
        """Return the statistics of both networks on a sample of n images."""
        return self.statistics(random.integers(self.size, size=n))


@dataclass(frozen=True)
class Ranking:
    """Two networks' scores of inliers, and of outliers at a distance of some standard deviations.

    Scores are normal, rounded to 0.5 ("ties"), or the largest possible for 80 % of the inliers
    ("saturated").
    """

    separation: float
    kind: str
    n: int
    m: int
    size: int = 200_000

    @property
    def name(self) -> str:
        """The population in words."""
        return f"separation {self.separation:g}, {self.m:,} outliers, {self.kind}"

    @cached_property
    def pool(self) -> tuple[Any, Any]:
        """Scores of inliers and of outliers by both networks, each (2, size)."""
        random = np.random.default_rng(2)
        return self._scores(random, self.separation), self._scores(random, 0.0)

    def _scores(self, random: Any, mean: float) -> Any:
        shared = np.sqrt(CORRELATION) * random.normal(size=self.size)
        own = np.sqrt(1 - CORRELATION) * random.normal(size=(2, self.size))
        scores = shared + own + mean
        if self.kind == "ties":
            return np.round(scores * 2) / 2
        if self.kind == "saturated":
            return np.minimum(scores, self.separation - 0.84)
        return scores

    @cached_property
    def truths(self) -> list[dict[str, float]]:
        """The metrics of both pools, weighted as if there were n inliers and m outliers."""
        inside, outside = self.pool
        result = []
        for network in range(2):
            points = operating_points(inside[network], outside[network])
            scaled = OperatingPoints(
                points.inliers * (self.n / self.size), points.outliers * (self.m / self.size)
            )
            result.append({name: float(metric(scaled)) for name, metric in METRICS.items()})
            counts = OperatingPoints(points.inliers, points.outliers)
            for name in ("fpr_at_95_tpr", "fpr_at_95_tpr_out"):
                result[-1][name] = float(METRICS[name](counts))
        return result

    def draw(self, random: Any, n: int) -> list[list[Statistic]]:
        """Return the statistics of both networks on a sample of inliers and outliers."""
        inside, outside = self.pool
        rows, others = (random.integers(self.size, size=count) for count in (n, self.m))
        return [self._of_network(inside[i][rows], outside[i][others]) for i in range(2)]

    @staticmethod
    def _of_network(inside: Any, outside: Any) -> list[Statistic]:
        scores = [Array("scores", inside), Array("scores", outside, at={"outliers": "set"})]
        return list(Ood(detectors=("msp",)).statistics(Arrays(scores).at(detector="msp")))


@dataclass(frozen=True)
class Cells:
    """Two networks and a baseline on 15 corruptions at 5 severities, correlated within images.

    Confidences are calibrated, or those of networks that know when they are wrong but say so too
    cautiously ("reserved").
    """

    accuracy: float
    correlation: float
    kind: str = "reserved"
    size: int = 40_000

    @property
    def name(self) -> str:
        """The population in words."""
        return f"75 {self.kind} cells, accuracy {self.accuracy:g}, correlation {self.correlation:g}"

    @cached_property
    def pool(self) -> list[tuple[Any, Any]]:
        """Confidence and correctness (size, 1 + 75) of all three: clean images, then cells."""
        random = np.random.default_rng(3)
        image = random.normal(size=(self.size, 1))
        return [self._network(random, image) for _ in range(3)]

    def _network(self, random: Any, image: Any) -> tuple[Any, Any]:
        own, another = self._correlated(random, CORRELATION, image), random.normal(size=image.shape)
        shape = (self.size, 1 + CELLS)
        latent = self._correlated(random, self.correlation, own, shape)
        latent[:, 0] -= EASIER
        if self.kind == "reserved":
            confidence = np.clip(ndtr(ndtri(self.accuracy) - latent * 0.3) + 0.05, 0.1, 1.0)
            return confidence, latent < ndtri(self.accuracy)
        a, b = 4 * self.accuracy, 4 * (1 - self.accuracy)
        confidence = np.clip(betaincinv(a, b, ndtr(-latent)), 0.1, 1.0)
        chance = self._correlated(random, self.correlation, another, shape)
        return confidence, ndtr(chance) < confidence

    @staticmethod
    def _correlated(random: Any, correlation: float, shared: Any, shape: Any = None) -> Any:
        own = random.normal(size=shared.shape if shape is None else shape)
        return np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own

    def statistics(self, rows: Any) -> list[list[Statistic]]:
        """Return mCA, mean ECE and, where it is defined, mCE of both networks on some images."""
        *networks, (_, baseline) = [(of[rows], correct[rows]) for of, correct in self.pool]
        return [[*self._of_network(*of), *self._ratios(of[1], baseline)] for of in networks]

    @staticmethod
    def _of_network(confidence: Any, correct: Any) -> list[Statistic]:
        mca = mean_of_cells([Quantity("mca", "fraction", {}, "")], [correct[:, 1:].mean(axis=1)])
        ece = Quantity("ece", "fraction", {"corruption": "mean of 75 cells"}, "")
        cells = [range(CELLS)]
        return [mca, cell_calibration_errors([ece], cells, confidence[:, 1:], correct[:, 1:], BINS)]

    @staticmethod
    def _ratios(correct: Any, baseline: Any) -> Iterator[Statistic]:
        own, reference = _errors(correct), _errors(baseline)
        clean, corrupted = reference.mean(axis=0)[0], reference.mean(axis=0)[1:]
        for relative, defined in ((False, corrupted > 0), (True, corrupted > clean)):
            if defined.all():
                name = f"{'relative_' * relative}mean_corruption_error"
                ratio = ErrorRatio(Quantity(name, "%", {}, ""), range(15), relative)
                yield error_ratios([ratio], own, reference)

    @cached_property
    def truths(self) -> list[dict[str, float]]:
        """The numbers of both networks on the whole pool."""
        return [values_of(of_network) for of_network in self.statistics(slice(None))]

    def draw(self, random: Any, n: int) -> list[list[Statistic]]:
        """Return the statistics of both networks on a sample of n images."""
        return self.statistics(random.integers(self.size, size=n))


def _errors(correct: Any) -> Any:
    """Return the clean error of each image, then its mean error in each corruption (n, 16)."""
    wrong = 1.0 - correct
    corrupted = wrong[:, 1:].reshape(len(wrong), 15, 5).mean(axis=2)
    return np.concatenate([wrong[:, :1], corrupted], axis=1)
