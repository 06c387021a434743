"""Top-1 and top-5 accuracy, and the negative log-likelihood of the labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sdd_eval.evaluators.evaluator import Evaluator
from sdd_eval.evaluators.temperature import logits_and_labels
from sdd_eval.metrics import classification
from sdd_eval.statistics.statistic import Quantity, Statistic, shares

if TYPE_CHECKING:
    from sdd_eval.arrays import Arrays
    from sdd_eval.evaluators.subject import Subject

TOP = 5


@dataclass(frozen=True)
class Accuracy(Evaluator):
    """Accuracy, top-5 accuracy if there are more than five classes, and NLL."""

    name: ClassVar[str] = "accuracy"
    version: ClassVar[int] = 1
    from_logits: ClassVar[bool] = True
    stores_logits: ClassVar[bool] = True

    def collect(self, subject: Subject) -> Arrays:
        """Return `logits` (images, classes) float32 and `labels` (images,), class indices."""
        return logits_and_labels(subject)

    def statistics(self, arrays: Arrays) -> Iterator[Statistic]:
        """Yield `accuracy`, `accuracy_top5` (fractions) and `nll` (nats)."""
        logits, labels = arrays["logits"], arrays["labels"]
        top_1 = {
            "definition": "largest logit against the label",
            "ties": "of equal logits the first class counts",
        }
        quantities = {1: Quantity("accuracy", "fraction", {}, top_1)}
        if logits.shape[1] > TOP:
            top_5 = {
                "definition": "label among the 5 largest logits",
                "ties": "equal logits ranked by class index",
            }
            quantities[TOP] = Quantity("accuracy_top5", "fraction", {}, top_5)
        correct = [classification.top_k_correct(logits, labels, k) for k in quantities]
        yield shares(list(quantities.values()), correct)
        protocol = {"definition": "mean of −log softmax of the label, float64, T = 1"}
        nll = Quantity("nll", "nats", {}, protocol)
        yield classification.loss_statistic(nll, classification.nll_per_image, logits, labels)
