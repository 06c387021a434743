"""The calibration errors that torchmetrics gives for the inputs of its parity test.

    make parity                                   # compare them with those written down
    python tests/parity/torchmetrics_errors.py    # write them down anew

A confidence of exactly 1.0 goes into a bin of its own there: the inputs whose name says so show it.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np

REFERENCE = Path(__file__).with_name("torchmetrics_errors.json")
PACKAGES = ("torchmetrics", "torch")
CLASSES = 10
BINS = (10, 15)


def inputs():
    """Confidences (n,) float32 in (0.1, 1] and what is right (n,), by name.

    All but "confidence one" are away from edges of bins, on which side of which an image falls
    each library decides for itself.
    """
    random = np.random.default_rng(1706)
    spread = random.uniform(0.11, 0.999, 4000).astype(np.float32)
    away = np.abs(spread[:, None] * BINS - np.round(spread[:, None] * BINS)).min(axis=1) > 1e-3
    sets = {
        "random": spread[away],
        "tied": random.choice(np.float32([0.25, 0.35, 0.55, 0.85, 0.95]), 500),
        "saturated": 1 - random.choice(np.float32([1e-6, 3e-5, 1e-4]), 500),
        "tiny: one": np.float32([0.45]),
        "tiny: two": np.float32([0.45, 0.99]),
        "tiny: three alike": np.float32([0.75, 0.75, 0.75]),
        "confidence one": np.float32([1.0, 0.95]),
        "confidence one in many": np.where(random.random(500) < 0.5, 1.0, 0.96).astype("f4"),
    }
    result = {name: (sure, random.random(len(sure)) < 0.8 * sure) for name, sure in sets.items()}
    result["confidence one"] = (sets["confidence one"], np.array([False, True]))
    many, right = result["confidence one in many"]  # those at 1.0 too sure, the others not enough
    result["confidence one in many"] = (many, right | (many < 1))
    return result


def computed():
    """ECE ("l1") and maximum calibration error ("max") of each input, by name."""
    import torch
    from torchmetrics.functional.classification import multiclass_calibration_error

    result = {}
    for name, (sure, right) in inputs().items():
        # The first class has the confidence, the others share what is left.
        top = torch.from_numpy(np.asarray(sure, dtype=np.float64))[:, None]
        others = (1 - top).expand(-1, CLASSES - 1) / (CLASSES - 1)
        probabilities = torch.cat([top, others], dim=1)
        labels = torch.from_numpy(np.where(right, 0, 1))
        for bins in BINS:
            for norm in ("l1", "max"):
                error = multiclass_calibration_error(probabilities, labels, CLASSES, bins, norm)
                result[f"{name}, {bins} bins, {norm}"] = float(error)
    return result


def main():
    """Record the numbers with the versions of the libraries."""
    text = {"versions": {name: version(name) for name in PACKAGES}, "numbers": computed()}
    REFERENCE.write_text(json.dumps(text, indent=1) + "\n")


if __name__ == "__main__":
    main()
