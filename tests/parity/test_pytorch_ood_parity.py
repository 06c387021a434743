"""Scores on the same features as pytorch-ood's, whose numbers and version are written down."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from sdd_eval.evaluators.detectors.batch import Batch
from sdd_eval.evaluators.detectors.energy import Energy
from sdd_eval.evaluators.detectors.entropy import Entropy
from sdd_eval.evaluators.detectors.knn import Knn
from sdd_eval.evaluators.detectors.mahalanobis import Mahalanobis
from sdd_eval.evaluators.detectors.max_logit import MaxLogit
from sdd_eval.evaluators.detectors.training import Training
from sdd_eval.evaluators.detectors.vim import Vim

REFERENCE = runpy.run_path(str(Path(__file__).with_name("pytorch_ood_scores.py")))


@pytest.fixture(scope="module")
def scores():
    """Our scores for the same inputs, by the names of the reference."""
    labels, *arrays = REFERENCE["inputs"]()
    features, found, weight, bias = map(torch.from_numpy, arrays)
    last = torch.nn.Linear(weight.shape[1], weight.shape[0])
    last.weight.data, last.bias.data = weight, bias
    logits = last(features).detach()
    doubles = weight.double(), bias.double()
    training = Training("parity", features, logits, torch.from_numpy(labels), *doubles)
    batch = Batch(last.requires_grad_(False), found)
    near = Knn().fit(training).scores(batch)
    plain = (Energy(), Entropy(), MaxLogit())
    found = {
        "knn 50": near[:, 0],
        "knn 200": near[:, 1],
        "vim": Vim().fit(training).scores(batch),
        "mahalanobis": Mahalanobis().fit(training).scores(batch),
        **{each.name: each.scores(batch) for each in plain},
    }
    return {name: each.numpy() for name, each in found.items()}


@pytest.mark.parametrize(
    "name", ["knn 50", "knn 200", "vim", "mahalanobis", "energy", "entropy", "max_logit"]
)
def test_a_detector_scores_as_pytorch_ood_does(name, scores):
    """Theirs are float32 and differences of larger terms: hence the tolerances."""
    told = json.loads(REFERENCE["REFERENCE"].read_text())
    assert told["versions"]["pytorch-ood"]
    theirs = np.array(told["scores"][name])
    np.testing.assert_allclose(scores[name], theirs, rtol=2e-5, atol=2e-6 * np.abs(theirs).max())
    assert np.array_equal(np.argsort(scores[name]), np.argsort(theirs))
