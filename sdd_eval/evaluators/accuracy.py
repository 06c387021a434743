"""Top-1 and top-5 accuracy, and the negative log-likelihood of the labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import NDArray

from sdd_eval.evaluators.intervals import INTERVALS, Intervals, share, with_interval
from sdd_eval.evaluators.settings import scores
from sdd_eval.metrics import classification
from sdd_eval.records import Measurement

if TYPE_CHECKING:
    from sdd_eval.evaluators.subject import Arrays, Subject

TOP = 5


@dataclass(frozen=True)
class Accuracy:
    """Accuracy, top-5 accuracy if there are more than five classes, and NLL."""

    name: ClassVar[str] = "accuracy"
    version: ClassVar[int] = 1

    intervals: Intervals = scores(INTERVALS)
    """Settings of the intervals."""

    def collect(self, subject: Subject) -> Arrays:
        """Return `logits` (n, classes) float32 and `labels` (n,)."""
        labels = subject.labels()
        return {"logits": subject.logits(), "labels": labels}

    def score(self, arrays: Mapping[str, NDArray[Any]]) -> list[Measurement]:
        """Return `accuracy`, `accuracy_top5` (fractions) and `nll` (nats)."""
        logits, labels = arrays["logits"], arrays["labels"]
        top_1 = "largest logit against the label; of equal logits the first class counts"
        shares = {1: ("accuracy", top_1)}
        if logits.shape[1] > TOP:
            top_5 = "label among the 5 largest logits; equal logits ranked by class index"
            shares[TOP] = ("accuracy_top5", top_5)
        rows = []
        for k, (metric, protocol) in shares.items():
            correct = classification.top_k_correct(logits, labels, k)
            rows.append(share(metric, correct, {}, protocol, self.intervals))
        values = classification.nll_per_image(logits, labels)
        protocol = "mean of −log softmax of the label, float64, T = 1"
        nll = Measurement("nll", float(values.mean()), "nats", {}, protocol)
        return [*rows, with_interval(nll, self.intervals.mean(values))]
