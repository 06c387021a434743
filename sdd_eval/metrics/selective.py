"""Selective prediction: accept the most confident predictions, reject the others.

Intervals of areas and coverages are those of `statistics.closed_form.risk_coverage`, and those of
misclassification detection are those of `closed_form.ranking` with correct predictions as inliers.
The sums in the paired test are as in `ranking_statistics`. Cells are several renderings of the same
images, such as corruptions of the test set; means over cells average each image's influence over
the cells.

Sources: Geifman, El-Yaniv (2017), "Selective classification for deep neural networks" (risk and
coverage); Geifman, Uziel, El-Yaniv (2019), "Bias-reduced uncertainty estimation for deep neural
classifiers" (AURC and excess AURC); Traub et al. (2024), "Overcoming common flaws in the evaluation
of selective classification systems" (AUGRC); Hendrycks, Gimpel (2017), "A baseline for detecting
misclassified and out-of-distribution examples in neural networks" (misclassification AUROC).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdd_eval.errors import InputError
from sdd_eval.metrics.arrays import Floats, float64_blocks, float_array, logit_matrix
from sdd_eval.metrics.ranking import OperatingPoints, operating_points, ranking_metrics
from sdd_eval.metrics.ranking_statistics import (
    AUROC,
    THRESHOLD,
    accepted_counts,
    mean_of_ends,
    method_of_mean,
    rank_columns,
)
from sdd_eval.statistics.closed_form import ranking
from sdd_eval.statistics.closed_form.risk_coverage import (
    Area,
    augrc_area,
    aurc_area,
    coverage_bounds,
    excess_area,
    mean_area,
)
from sdd_eval.statistics.closed_form.share import Bounds
from sdd_eval.statistics.statistic import Quantity, Statistic
from sdd_eval.statistics.sums import SumStatistic

#: The risk at which each coverage metric is measured.
COVERAGE_RISKS = {"coverage_at_1_percent_risk": 0.01, "coverage_at_5_percent_risk": 0.05}


def selective_metrics(scores: Any, correct: Any) -> dict[str, float]:
    """Return the metrics of selective prediction as fractions.

    Images are accepted in order of decreasing score. Images with equal scores are accepted in
    random order, and each metric is the expected value; only coverage does not split ties.

    - `aurc`: the mean over k = 1 … n of the risk (share of wrong predictions) among the k most
      confident.
    - `aurc_excess`: AURC minus that of the best order, all correct predictions before all wrong
      ones.
    - `augrc`: area under the generalised risk (wrong and accepted, as a share of all n images) over
      coverage, by the trapezoidal rule from 0; = (1 − AUROC) · a · (1 − a) + (1 − a)² / 2 with
      accuracy a.
    - `coverage_at_1_percent_risk`, `coverage_at_5_percent_risk`: the largest share of images that a
      threshold accepts at no more than that risk; 0 if there is none.
    - `misclassification_auroc`: P(correct > wrong) + ½ P(equal), and
      `misclassification_fpr_at_95_tpr`: the share of wrong predictions accepted at the highest
      threshold that at least 95 % of the correct ones reach. Both are missing if all or no
      predictions are correct.

    Scores (n,) are higher for more confident predictions; `correct` (n,) is whether each is
    correct. Raise InputError for empty arrays or different lengths, a NaN score, or a flag that is
    not 0 or 1.

    >>> metrics = selective_metrics([4.0, 3.0, 2.0, 1.0], [1, 1, 0, 1])  # risks 0, 0, 1/3, 1/4
    >>> {name: round(value, 4) for name, value in metrics.items() if name.startswith("a")}
    {'aurc': 0.1458, 'aurc_excess': 0.0833, 'augrc': 0.0938}
    """
    values, flags = float_array(scores, "scores"), float_array(correct, "correct flags")
    if len(values) != len(flags):
        raise InputError(f"there are {len(values)} scores and {len(flags)} correct flags")
    if ((flags != 0) & (flags != 1)).any():
        raise InputError("correct flags must be 0 or 1 (False or True), and some are neither")
    points = operating_points(values[flags == 1], values[flags == 0])
    metrics = selective_metrics_of(points)
    return {name: float(value) for name, value in metrics.items() if not np.isnan(value)}


def selective_metrics_of(points: OperatingPoints) -> dict[str, Floats]:
    """Return all metrics (…) from counts of correct ("inliers") and wrong predictions (…, T).

    AUROC and FPR are NaN where all predictions are correct or all are wrong.
    """
    right, wrong = points.totals
    images = right + wrong
    accepted = points.inliers + points.outliers
    risks = _sum_of_risks(accepted, points.outliers)
    # In the best order, the risk is 0 among the correct predictions and then (k − right) / k.
    harmonic = _harmonic_numbers(int(images.max()))
    best = wrong - right * (_look_up(harmonic, images) - _look_up(harmonic, right))
    sizes, new_wrong = np.diff(accepted, axis=-1), np.diff(points.outliers, axis=-1)
    area = (points.outliers[..., :-1] * sizes + new_wrong * (sizes + 1) / 2).sum(axis=-1)
    metrics = {
        "aurc": risks / images,
        "aurc_excess": np.maximum(0, (risks - best) / images),
        "augrc": (area - wrong / 2) / images**2,
    }
    for metric, risk in COVERAGE_RISKS.items():
        # Compare counts, so that 1 wrong in 100 does not exceed 1 % by rounding.
        allowed = points.outliers <= np.round(accepted * risk, 9)
        metrics[metric] = np.where(allowed, accepted, 0).max(axis=-1) / images
    with np.errstate(invalid="ignore", divide="ignore"):
        separation = ranking_metrics(points, ("auroc", "fpr_at_95_tpr"))
    defined = (right > 0) & (wrong > 0)
    return metrics | {
        f"misclassification_{name}": np.where(defined, value, np.nan)
        for name, value in separation.items()
    }


def _sum_of_risks(accepted: Floats, wrong: Floats) -> Floats:
    """Return Σ over k = 1 … n of the expected risk among the first k (…), from counts at ties.

    Within a tie, wrong predictions are spread evenly: after N images with A wrong, the j-th image
    of a tie with a share r of wrong predictions has the risk (A + j r) / (N + j). With harmonic
    numbers H, the sum over the W images of the tie is r W + (A − r N) (H(N + W) − H(N)).
    """
    before, after = accepted[..., :-1], accepted[..., 1:]
    sizes = after - before
    share = np.divide(np.diff(wrong, axis=-1), sizes, out=np.zeros(sizes.shape), where=sizes > 0)
    harmonic = _harmonic_numbers(int(accepted.max()))
    difference = _look_up(harmonic, after) - _look_up(harmonic, before)
    terms = share * sizes + (wrong[..., :-1] - share * before) * difference
    return np.asarray(terms.sum(axis=-1))


def _harmonic_numbers(n: int) -> Floats:
    """Return the harmonic numbers H(0) … H(n)."""
    return np.concatenate([[0.0], np.cumsum(1 / np.arange(1, n + 1))])


def _look_up(table: Floats, counts: Floats) -> Floats:
    values: Floats = table[counts.astype(np.int64)]
    return values


#: Confidence scores, in the order of the columns of `confidence_scores`.
SCORES = ("msp", "max_logit", "energy", "entropy")


def confidence_scores(logits: Any) -> Floats:
    """Return the confidence scores (n, 4) of logits (n, classes), one column for each of `SCORES`.

    - `msp`: log-odds of the maximum softmax probability. They rank images as the probability does,
      but do not saturate where it rounds to 1.0.
    - `max_logit`: the largest logit.
    - `energy`: the negative energy, log Σ exp.
    - `entropy`: the negative entropy of the softmax, in nats, computed without cancellation near 0.

    Raises:
        InputError: there are fewer than two classes, or logits are NaN or infinite.

    >>> confidence_scores([[0.0, 0.0], [100.0, 0.0]]).round(3).tolist()
    [[0.0, 0.0, 0.693, -0.693], [100.0, 100.0, 100.0, -0.0]]
    """
    values = logit_matrix(logits)
    if values.shape[1] < 2:
        raise InputError("the logits have 1 class; confidence scores need at least 2")
    scores = np.empty((len(values), len(SCORES)))
    for rows, block in float64_blocks(values):
        scores[rows] = _block_scores(block)
    return scores


def _block_scores(block: Floats) -> Floats:
    """Return the scores of a block; `others` is Σ exp(z − max z) over the other classes."""
    top = block.argmax(axis=1)[:, None]
    largest = np.take_along_axis(block, top, axis=1)
    margins = largest - block
    relative = np.exp(-margins)
    np.put_along_axis(relative, top, 0.0, axis=1)
    others = relative.sum(axis=1)
    entropy = np.log1p(others) + (relative * margins).sum(axis=1) / (1 + others)
    # −log Σ exp(−margin) over the other classes, exact where all of them underflow to 0
    np.put_along_axis(margins, top, np.inf, axis=1)
    nearest = margins.min(axis=1)
    log_odds = nearest - np.log(np.exp(nearest[:, None] - margins).sum(axis=1))
    energy = largest[:, 0] + np.log1p(others)
    return np.stack([log_odds, largest[:, 0], energy, -entropy], axis=1)


AREAS = ("aurc", "aurc_excess", "augrc")
AUROC_METRIC, FPR_METRIC = "misclassification_auroc", "misclassification_fpr_at_95_tpr"
COVERAGE = (
    "thresholds at which a score test leaves the risk open, Wilson interval of the share accepted, "
    "square-and-add"
)
AREA = "Wilson interval, effective number of images by the influence function"
ONE_SIDED = "fewer than 2 images are {}"
MEAN_COVERAGE = "no method covers a mean of coverages at a risk"
MANY_RANKS = "the ranks of many cells are too many sums for a permutation test"


@dataclass(frozen=True)
class Cell:
    """Confidence and correctness of the images in one rendering."""

    scores: NDArray[np.float64]
    correct: NDArray[np.bool_]

    @cached_property
    def values(self) -> Mapping[str, float]:
        """The metrics that are defined."""
        return selective_metrics(self.scores, self.correct)

    def sums(self, metrics: Sequence[str]) -> SumStatistic:
        """Return metrics as functions of the numbers of correct and wrong predictions by rank."""

        def finish(sums: Floats) -> Floats:
            accepted = accepted_counts(sums, 2)
            values = selective_metrics_of(OperatingPoints(accepted[:, 0], accepted[:, 1]))
            return np.stack([values[name] for name in metrics], axis=1)

        wrong = 1 - np.asarray(self.correct, dtype=np.int64)
        return SumStatistic(rank_columns(self.scores, wrong, 2), finish, len(wrong))

    @cached_property
    def areas(self) -> Mapping[str, Area]:
        """The areas, with their influence functions."""
        correct = self.correct.astype(np.float64)
        aurc, augrc = aurc_area(self.scores, correct), augrc_area(self.scores, correct)
        return {"aurc": aurc, "aurc_excess": excess_area(aurc, correct), "augrc": augrc}

    @cached_property
    def sides(self) -> tuple[Floats, Floats]:
        """The scores of the correct and of the wrong predictions."""
        return self.scores[self.correct], self.scores[~self.correct]

    @cached_property
    def placed(self) -> ranking.Placements:
        """DeLong's components of the correct and of the wrong predictions."""
        return ranking.placements(*self.sides)

    @property
    def one_sided(self) -> str:
        """Why the AUROC has no interval; empty if it has one."""
        sides = zip(("right", "wrong"), self.sides, strict=True)
        return next((ONE_SIDED.format(name) for name, side in sides if len(side) < 2), "")

    @property
    def influence(self) -> Floats:
        """Each image's influence (n,) on 1 − AUROC."""
        error, n = self.placed.outliers.mean(), len(self.correct)
        influence = np.empty(n)
        influence[self.correct] = (self.placed.inliers - error) * n / len(self.placed.inliers)
        influence[~self.correct] = (self.placed.outliers - error) * n / len(self.placed.outliers)
        return influence

    def coverage(self, risk: float, level: float) -> Bounds:
        """Return the coverage at a risk, with its interval."""
        points = operating_points(*self.sides)
        return coverage_bounds(points.inliers + points.outliers, points.outliers, risk, level)


def selective_statistic(quantities: Sequence[Quantity], cells: Sequence[Cell]) -> Statistic:
    """Return means of metrics over cells of the same images; they must be defined in each cell.

    The metrics of one cell have a permutation test; means over several cells do not.

    >>> cell = Cell(np.array([3.0, 2.0, 1.0]), np.array([True, True, False]))
    >>> selective_statistic([Quantity("augrc", "fraction", {}, "")], [cell]).values.round(3)
    array([0.056])
    """
    metrics = [quantity.metric for quantity in quantities]
    values = [[cell.values[metric] for metric in metrics] for cell in cells]
    several = len(cells) > 1
    return Statistic(
        quantities=tuple(quantities),
        values=np.mean(values, axis=0),
        make_sums=None if several else partial(cells[0].sums, metrics),
        bounds=lambda level: [_mean_bounds(metric, cells, level) for metric in metrics],
        method=[_method(metric, len(cells)) for metric in metrics],
        influence=_influence(metrics, cells) if several else None,
        untested=MANY_RANKS if several else "",
    )


def _influence(metrics: Sequence[str], cells: Sequence[Cell]) -> Callable[[], Floats] | None:
    """Return a function for each image's influence (n, metrics) on the means; None if unknown."""
    defined = not any(cell.one_sided for cell in cells)
    if not all(metric in AREAS or (metric == AUROC_METRIC and defined) for metric in metrics):
        return None

    def of_image(metric: str) -> Floats:
        if metric in AREAS:
            return mean_area([cell.areas[metric] for cell in cells]).influence
        return np.asarray(np.mean([cell.influence for cell in cells], axis=0))

    return lambda: np.stack([of_image(metric) for metric in metrics], axis=1)


def _method(metric: str, cells: int) -> str:
    known = {AUROC_METRIC: AUROC, FPR_METRIC: method_of_mean(THRESHOLD, cells)}
    return AREA if metric in AREAS else known.get(metric, COVERAGE)


def _mean_bounds(metric: str, cells: Sequence[Cell], level: float) -> Bounds | str:
    """Return the interval of the mean of a metric over cells of the same images.

    - Areas, and the AUROC: from the variance of each image's influence, averaged over cells.
    - FPR: the means of the cells' ends.
    - Coverage at a risk: for a single cell only.
    """
    if metric in AREAS:
        return mean_area([cell.areas[metric] for cell in cells]).bounds(level)
    if metric == AUROC_METRIC:
        return _mean_auroc(cells, level)
    if metric == FPR_METRIC:
        return mean_of_ends([ranking.fpr_at_tpr(*cell.sides, level=level) for cell in cells])
    return MEAN_COVERAGE if len(cells) > 1 else cells[0].coverage(COVERAGE_RISKS[metric], level)


def _mean_auroc(cells: Sequence[Cell], level: float) -> Bounds | str:
    """Return the interval of a mean AUROC; one pseudo error on each side is wrong in all cells."""
    reasons = [cell.one_sided for cell in cells if cell.one_sided]
    if reasons:
        return reasons[0]
    if len(cells) == 1:
        return ranking.mean_auroc([cells[0].placed], level)
    influence = np.mean([cell.influence for cell in cells], axis=0)
    sizes = np.array([[len(side) for side in cell.sides] for cell in cells])
    pseudo = np.mean(1 / sizes, axis=0)
    variance = float((influence**2).sum() / len(influence) ** 2 + np.square(pseudo).sum())
    error = float(np.mean([cell.placed.outliers.mean() for cell in cells]))
    fewest = 1 / float(np.mean(1 / sizes.min(axis=1)))
    return ranking.auroc_bounds(error, variance, float(pseudo.sum()), fewest, level)
