"""Populations whose numbers are known: large pools of images from which samples are drawn.

A pool is finite, so the truth is what the metric is on the whole pool. Two networks classify the
same images with correlated errors, so that their paired differences can be simulated too. Each
population draws a sample of both networks as statistics, made by the evaluators themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import betaincinv, ndtr, ndtri

from sdd_eval.evaluators.calibration import calibration_errors
from sdd_eval.evaluators.corruption.corruption import Corruption
from sdd_eval.evaluators.ood.ood import Ood
from sdd_eval.evaluators.selective import Selective
from sdd_eval.metrics.calibration import bin_sums
from sdd_eval.metrics.classification import confidence_and_correct
from sdd_eval.metrics.corruption import FIFTEEN
from sdd_eval.metrics.ranking import METRICS, OperatingPoints, operating_points
from sdd_eval.metrics.selective import confidence_scores
from sdd_eval.statistics.statistic import Quantity, Statistic, shares

CLASSES, BINS = 10, 10
#: Correlation of the errors of two networks on one image, on the scale of a normal variable.
CORRELATION = 0.7


def name_of(quantity: Quantity) -> str:
    """Return the name of a number in the results; empty if it is not counted."""
    at = quantity.at
    if quantity.metric in ("accuracy", "ece") and "corruption" in at:
        over_all = at["corruption"] == "mean of 15" and "severity" not in at
        return "ece, mean of 75 cells" if over_all and quantity.metric == "ece" else ""
    return "" if at.get("outliers") == "average" else quantity.metric


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
            for statistic in Selective().statistics(arrays)
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
        found = []
        for network in range(2):
            points = operating_points(inside[network], outside[network])
            scaled = OperatingPoints(
                points.inliers * (self.n / self.size), points.outliers * (self.m / self.size)
            )
            found.append({name: float(metric(scaled)) for name, metric in METRICS.items()})
            counts = OperatingPoints(points.inliers, points.outliers)
            for name in ("fpr_at_95_tpr", "fpr_at_95_tpr_out"):
                found[-1][name] = float(METRICS[name](counts))
        return found

    def draw(self, random: Any, n: int) -> list[list[Statistic]]:
        """Return the statistics of both networks on a sample of inliers and outliers."""
        inside, outside = self.pool
        rows, others = (random.integers(self.size, size=count) for count in (n, self.m))
        return [
            list(
                Ood(detectors=("msp",)).statistics(
                    {"msp": inside[network][rows], "msp:set": outside[network][others]}
                )
            )
            for network in range(2)
        ]


@dataclass(frozen=True)
class Cells:
    """Two networks on 15 corruptions at 5 severities; an image's renderings are correlated.

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
    def pool(self) -> list[dict[str, Any]]:
        """The arrays of the corruption evaluator of both networks."""
        random = np.random.default_rng(3)
        image = random.normal(size=(self.size, 1))
        return [self._arrays(random, image) for _ in range(2)]

    def _arrays(self, random: Any, image: Any) -> dict[str, Any]:
        origin = np.full(self.size, "official")
        arrays: dict[str, Any] = {"frost": origin, "origin": origin}
        own = self._correlated(random, CORRELATION, image)
        another = random.normal(size=image.shape)
        for name in ("clean", *FIFTEEN):
            cells = (self.size, 1 if name == "clean" else 5)
            latent = self._correlated(random, self.correlation, own, cells)
            if self.kind == "reserved":
                correct = latent < ndtri(self.accuracy)
                confidence = np.clip(ndtr(ndtri(self.accuracy) - latent * 0.3) + 0.05, 0.1, 1.0)
            else:
                a, b = 4 * self.accuracy, 4 * (1 - self.accuracy)
                confidence = np.clip(betaincinv(a, b, ndtr(-latent)), 0.1, 1.0)
                chance = self._correlated(random, self.correlation, another, cells)
                correct = ndtr(chance) < confidence
            shape = cells[:1] if name == "clean" else cells
            arrays[f"correct_{name}"] = correct.reshape(shape)
            arrays[f"confidence_{name}"] = confidence.astype(np.float32).reshape(shape)
        return arrays

    @staticmethod
    def _correlated(random: Any, correlation: float, shared: Any, shape: Any = None) -> Any:
        own = random.normal(size=shared.shape if shape is None else shape)
        return np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own

    def statistics(self, rows: Any) -> list[list[Statistic]]:
        """Return the means over cells of both networks on some images of the pool."""
        return [self._means(arrays, rows) for arrays in self.pool]

    @staticmethod
    def _means(arrays: dict[str, Any], rows: Any) -> list[Statistic]:
        drawn = {name: array[rows] for name, array in arrays.items()}
        statistics = Corruption(corruptions=FIFTEEN).statistics(drawn)
        return [one for one in statistics if any(map(name_of, one.quantities))]

    @cached_property
    def truths(self) -> list[dict[str, float]]:
        """The numbers of both networks on the whole pool."""
        return [values_of(of_network) for of_network in self.statistics(slice(None))]

    def draw(self, random: Any, n: int) -> list[list[Statistic]]:
        """Return the statistics of both networks on a sample of n images."""
        return self.statistics(random.integers(self.size, size=n))
