"""Write the scores that pytorch-ood gives for the inputs of its parity test.

    pip install pytorch-ood && python tests/parity/pytorch_ood_scores.py

Its scores rise with outlierness, ours fall, so they are negated; its Mahalanobis distance is half
of one whose scatter is not divided by N, so it is multiplied by 2 N (its ridge of 1e-6 stays).
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np

REFERENCE = Path(__file__).with_name("pytorch_ood_scores.json")
IMAGES, WIDTH, CLASSES = 24, 16, 5


def inputs():
    """Training features and labels, features to score, and a last linear layer; float32."""
    random = np.random.default_rng(20220)
    labels = np.arange(300) % CLASSES
    centres = random.normal(0, 2, (CLASSES, WIDTH))
    training = centres[labels] + random.normal(0, 1, (300, WIDTH)) * np.linspace(0.2, 2, WIDTH)
    found = random.normal(0, 2.5, (IMAGES, WIDTH))
    weight, bias = random.normal(0, 0.5, (CLASSES, WIDTH)), random.normal(0, 1, CLASSES)
    arrays = (np.maximum(training, 0), np.maximum(found, 0), weight, bias)
    return (labels, *(each.astype(np.float32) for each in arrays))


def main():
    """Score, and write down with which versions."""
    import torch
    from pytorch_ood.detector import KNN, EnergyBased, Entropy, Mahalanobis, MaxLogit, ViM

    labels, *arrays = inputs()
    training, found, weight, bias = map(torch.from_numpy, arrays)
    labels, logits = torch.from_numpy(labels), found @ weight.T + bias
    fitted = {
        "knn 50": KNN(None, k=50),
        "knn 200": KNN(None, k=200),
        "vim": ViM(None, WIDTH // 2, weight, bias),
        "mahalanobis": Mahalanobis(None),
    }
    scores = {name: each.fit_features(training, labels) for name, each in fitted.items()}
    scores = {name: -each.predict_features(found) for name, each in scores.items()}
    scores["mahalanobis"] *= 2 * len(training)
    for name, kind in (("energy", EnergyBased), ("entropy", Entropy), ("max_logit", MaxLogit)):
        scores[name] = -kind(None).predict_logits(logits)
    told = {
        "versions": {name: version(name) for name in ("pytorch-ood", "torch", "scikit-learn")},
        "scores": {name: each.double().tolist() for name, each in scores.items()},
    }
    REFERENCE.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
