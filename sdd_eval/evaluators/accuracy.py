"""How often is the classifier right? Top-1, top-5, and the likelihood of the labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import NDArray

from sdd_eval.evaluators.intervals import INTERVALS, Intervals, beside, share
from sdd_eval.evaluators.settings import scores
from sdd_eval.metrics import classification
from sdd_eval.records import Measurement

if TYPE_CHECKING:
    from sdd_eval.evaluators.subject import Arrays, Subject

TOP = 5


@dataclass(frozen=True)
class Accuracy:
    """Accuracy, top-5 accuracy where there are more than five classes, and the NLL."""

    name: ClassVar[str] = "accuracy"
    version: ClassVar[int] = 1

    intervals: Intervals = scores(INTERVALS)
    """How the intervals are made."""

    def collect(self, subject: Subject) -> Arrays:
        """`logits` (n, classes) float32 and `labels` (n,)."""
        labels = subject.labels()
        return {"logits": subject.logits(), "labels": labels}

    def score(self, arrays: Mapping[str, NDArray[Any]]) -> list[Measurement]:
        """`accuracy`, `accuracy_top5` (fractions) and `nll` (nats)."""
        logits, labels = arrays["logits"], arrays["labels"]
        told = "largest logit against the label; of equal logits the first class counts"
        shares = {1: ("accuracy", told)}
        if logits.shape[1] > TOP:
            told = "label among the 5 largest logits; equal logits ranked by class index"
            shares[TOP] = ("accuracy_top5", told)
        found = []
        for k, (metric, protocol) in shares.items():
            right = classification.top_k_correct(logits, labels, k)
            found.append(share(metric, right, {}, protocol, self.intervals))
        values = classification.nll_per_image(logits, labels)
        protocol = "mean of −log softmax of the label, float64, T = 1"
        nll = Measurement("nll", float(values.mean()), "nats", {}, protocol)
        return [*found, beside(nll, self.intervals.mean(values))]
