"""Scores equal the recorded ones of pytorch-ood on the same features and images."""

import numpy as np
import pytest
import torch

from sdd_eval.evaluators.batch import Batch, Training
from sdd_eval.evaluators.ood.detectors.feature_scores import Knn, Mahalanobis, Vim
from sdd_eval.evaluators.ood.detectors.logit_scores import Energy, Entropy, MaxLogit
from sdd_eval.evaluators.ood.detectors.odin import Odin

OF_FEATURES = ["knn 50", "knn 200", "vim", "mahalanobis", "energy", "entropy", "max_logit"]
OF_IMAGES = ["odin", "odin at T = 1", "odin without a step", "odin, saturated"]


@pytest.fixture(scope="module")
def reference(script):
    return script("pytorch_ood_scores")


@pytest.fixture(scope="module")
def scores(reference):
    """Return this package's scores for the same inputs by the reference's names."""
    labels, *arrays = reference["inputs"]()
    features, result, weight, bias = map(torch.from_numpy, arrays)
    last = torch.nn.Linear(weight.shape[1], weight.shape[0])
    last.weight.data, last.bias.data = weight, bias
    logits = last(features).detach()
    doubles = weight.double(), bias.double()
    training = Training("parity", features, logits, torch.from_numpy(labels), *doubles)
    batch = Batch(last.requires_grad_(False), result)
    near = Knn().fit(training).scores(batch)
    plain = (Energy(), Entropy(), MaxLogit())
    result = {
        "knn 50": near[:, 0],
        "knn 200": near[:, 1],
        "vim": Vim().fit(training).scores(batch),
        "mahalanobis": Mahalanobis().fit(training).scores(batch),
        **{item.name: item.scores(batch) for item in plain},
    }
    return {name: item.numpy() for name, item in result.items()}


@pytest.mark.parametrize("name", OF_FEATURES)
def test_detector_scores_equal_those_of_pytorch_ood(name, scores, written_down):
    """The reference's scores are float32 differences of larger terms: hence the tolerances."""
    theirs = np.array(written_down("pytorch_ood_scores")[name])
    np.testing.assert_allclose(scores[name], theirs, rtol=2e-5, atol=2e-6 * np.abs(theirs).max())
    assert np.array_equal(np.argsort(scores[name]), np.argsort(theirs))


@pytest.mark.parametrize("name", OF_IMAGES)
def test_odin_scores_equal_those_of_pytorch_ood_in_float64(name, reference, written_down):
    """This package's network is float32: the tolerance is relative to the spread of the scores."""
    temperature, epsilon, scale = reference["ODIN"][name]
    pixels = torch.from_numpy(reference["pixels_and_weights"]()[0])
    batch = Batch(reference["network"](scale), pixels)
    ours = Odin(temperature, epsilon).scores(batch).numpy()
    theirs = np.array(written_down("pytorch_ood_scores")[name])
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * theirs.std())
    assert len(np.unique(ours)) == len(ours)


def test_every_score_is_compared(written_down):
    assert written_down("pytorch_ood_scores").keys() == {*OF_FEATURES, *OF_IMAGES}
