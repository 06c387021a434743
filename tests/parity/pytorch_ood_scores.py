"""The scores that pytorch-ood gives for the inputs of its parity test.

    make parity                                  # compare them with those written down
    python tests/parity/pytorch_ood_scores.py    # write them down anew

Its scores rise with outlierness, ours fall, so they are negated; its Mahalanobis distance is half
of one whose scatter is not divided by N, so it is multiplied by 2 N (its ridge of 1e-6 stays).
Its ODIN forms the softmax in the network's own precision, where at T = 1000 in float32 many scores
become one: it is given the network in float64. (Before 0.4 it also took `nll_loss` of raw logits
and dropped the temperature from the score; the loss is named here, and the score is its own.)
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np

REFERENCE = Path(__file__).with_name("pytorch_ood_scores.json")
PACKAGES = ("pytorch-ood", "torch", "scikit-learn")
IMAGES, WIDTH, CLASSES = 24, 16, 5
#: Temperature, step ε, and what the logits are scaled by: by 30 the softmax is saturated.
ODIN = {
    "odin": (1000.0, 0.0028, 1.0),
    "odin at T = 1": (1.0, 0.01, 1.0),
    "odin without a step": (1000.0, 0.0, 1.0),
    "odin, saturated": (1000.0, 0.0028, 30.0),
}


def inputs():
    """Training features and labels, features to score, and a last linear layer; float32."""
    random = np.random.default_rng(20220)
    labels = np.arange(300) % CLASSES
    centres = random.normal(0, 2, (CLASSES, WIDTH))
    training = centres[labels] + random.normal(0, 1, (300, WIDTH)) * np.linspace(0.2, 2, WIDTH)
    result = random.normal(0, 2.5, (IMAGES, WIDTH))
    weight, bias = random.normal(0, 0.5, (CLASSES, WIDTH)), random.normal(0, 1, CLASSES)
    arrays = (np.maximum(training, 0), np.maximum(result, 0), weight, bias)
    return (labels, *(array.astype(np.float32) for array in arrays))


def pixels_and_weights():
    """Images (n, 3, 4, 4) in [0, 1] and the weights of two layers with a tanh between; float32."""
    random = np.random.default_rng(2018)
    pixels = random.integers(0, 256, (IMAGES, 3, 4, 4)) / 255
    first, last = random.normal(0, 0.3, (32, 48)), random.normal(0, 1, (CLASSES, 32))
    return tuple(item.astype(np.float32) for item in (pixels, first, last))


def network(scale):
    """The network of those weights, frozen, its logits scaled."""
    import torch

    _, first, last = pixels_and_weights()
    model = torch.nn.Sequential(
        torch.nn.Flatten(),
        torch.nn.Linear(48, 32, bias=False),
        torch.nn.Tanh(),
        torch.nn.Linear(32, CLASSES, bias=False),
    )
    model[1].weight.data = torch.from_numpy(first)
    model[3].weight.data = scale * torch.from_numpy(last)
    return model.eval().requires_grad_(False)


def computed():
    """Every score by name, in the order of the images; higher = more in-distribution."""
    import torch
    from pytorch_ood.detector import KNN, EnergyBased, Entropy, Mahalanobis, MaxLogit, ViM
    from pytorch_ood.detector import ODIN as Odin

    labels, *arrays = inputs()
    training, result, weight, bias = map(torch.from_numpy, arrays)
    labels, logits = torch.from_numpy(labels), result @ weight.T + bias
    fitted = {
        "knn 50": KNN(None, k=50),
        "knn 200": KNN(None, k=200),
        "vim": ViM(None, WIDTH // 2, weight, bias),
        "mahalanobis": Mahalanobis(None),
    }
    scores = {name: item.fit_features(training, labels) for name, item in fitted.items()}
    scores = {name: -item.predict_features(result) for name, item in scores.items()}
    scores["mahalanobis"] *= 2 * len(training)
    for name, kind in (("energy", EnergyBased), ("entropy", Entropy), ("max_logit", MaxLogit)):
        scores[name] = -kind(None).predict_logits(logits)
    pixels = torch.from_numpy(pixels_and_weights()[0]).double()
    for name, (temperature, epsilon, scale) in ODIN.items():
        loss = torch.nn.functional.cross_entropy
        theirs = Odin(network(scale).double(), loss, epsilon, temperature)
        scores[name] = -theirs.predict(pixels)
    return {name: item.double().tolist() for name, item in scores.items()}


def main():
    """Record the numbers with the versions of the libraries."""
    text = {"versions": {name: version(name) for name in PACKAGES}, "numbers": computed()}
    REFERENCE.write_text(json.dumps(text, indent=1) + "\n")


if __name__ == "__main__":
    main()
