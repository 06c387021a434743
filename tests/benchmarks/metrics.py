"""Time of the metrics: python tests/benchmarks/metrics.py

Prints the median seconds of each, and of the ECE of a million images of a hundred classes the
ratio to the one chunked softmax that nobody can do without. Run it on an idle machine; no test
depends on it.
"""

from __future__ import annotations

import functools
import statistics

import numpy as np
from pairs import seconds, where

from sdd_eval.metrics.calibration import ece
from sdd_eval.metrics.classification import confidence_and_correct
from sdd_eval.metrics.ranking import ood_metrics
from sdd_eval.metrics.smooth_ece import smooth_ece

ROWS = 1310


def softmax_pass(logits: np.ndarray) -> None:
    """Convert, shift, exponentiate, divide."""
    for start in range(0, len(logits), ROWS):
        block = logits[start : start + ROWS].astype(np.float64)
        block -= block.max(axis=1, keepdims=True)
        np.exp(block, out=block)
        block /= block.sum(axis=1, keepdims=True)


def main() -> None:
    where()
    random = np.random.default_rng(0)
    for size in (10_000, 1_000_000):
        inliers, outliers = random.normal(1, 1, size), random.normal(0, 1, size)
        work = functools.partial(ood_metrics, inliers, outliers)
        median = statistics.median(seconds(work) for _ in range(7))
        print(f"ood_metrics, {size:,} + {size:,} scores   {median:.4f} s")
    confidence = random.random(10_000)
    correct = random.random(10_000) < confidence
    median = statistics.median(seconds(lambda: smooth_ece(confidence, correct)) for _ in range(7))
    print(f"smooth_ece, 10,000 images   {median:.4f} s")
    logits = random.normal(0, 2, (1_000_000, 100)).astype(np.float32)
    labels = random.integers(0, 100, len(logits))
    ratios = []
    for _ in range(5):
        bare = seconds(lambda: softmax_pass(logits))
        ratios.append(seconds(lambda: ece(*confidence_and_correct(logits, labels), 15)) / bare)
    print(f"ece, 1,000,000 × 100 logits   {statistics.median(ratios):.3f} × a softmax pass")


if __name__ == "__main__":
    main()
