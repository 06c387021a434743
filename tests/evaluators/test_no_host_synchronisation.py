"""The number of host synchronisations does not depend on the number of batches."""

from collections import Counter

import pytest
import torch
from torch.overrides import TorchFunctionMode

from sdd_eval.evaluators.accuracy import Accuracy
from sdd_eval.evaluators.adversarial.fgsm import Fgsm
from sdd_eval.evaluators.ood.ood import Odin, Ood

WAITING = {"cpu", "item", "tolist", "nonzero", "equal", "__bool__", "__float__", "__int__"}


class Waits(TorchFunctionMode):
    """Count the operations that synchronise with a GPU."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        if name in WAITING:
            self.counts[name] += 1
        return func(*args, **(kwargs or {}))


def test_the_counter_counts_synchronisations():
    with Waits() as waits:
        one = torch.ones(1)
        result = (float(one), int(one), bool(one), one.item(), one.cpu(), torch.equal(one, one))
    assert len(result) == 6
    assert waits.counts.keys() >= {"__float__", "__int__", "__bool__", "item", "cpu", "equal"}


@pytest.mark.parametrize(
    "evaluator",
    [
        Accuracy(),
        Fgsm(),
        Odin(outliers=("far",), grid=True),
        Ood(("odin", "msp", "energy", "entropy", "max_logit"), ("far",)),
        Ood(("mahalanobis", "knn", "vim", "react"), ("far",), training="noise"),
    ],
    ids=["accuracy", "fgsm", "odin", "scores", "fitted"],
)
def test_synchronisations_do_not_grow_with_the_number_of_batches(
    evaluator, network, images_of, subject_of
):
    sets = {"far": images_of(60, seed=3), "noise training": images_of(240, seed=4)}
    counts = []
    for size in (60, 12):
        subject = subject_of(network(), images_of(60), sets=sets, batch_size=size)
        with Waits() as waits:
            evaluator.collect(subject)
        counts.append(waits.counts)
    assert counts[0] == counts[1]
    assert counts[0]["cpu"] > 0
