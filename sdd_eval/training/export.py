"""A trained network → the files of its checkpoint, with what it says of test images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sdd_eval.checkpoints import checkpoint
from sdd_eval.checkpoints.accuracy import accuracy, logits_of
from sdd_eval.checkpoints.export import Images, write_checkpoint
from sdd_eval.checkpoints.state import State
from sdd_eval.metrics.calibration import ece
from sdd_eval.metrics.classification import confidence_and_correct, nll
from sdd_eval.models.network import Network
from sdd_eval.records import Card, Recipe
from sdd_eval.training.data.training_data import Material


def export(
    place: Path, network: Network, state: State[Recipe], material: Material, device: torch.device
) -> Card:
    """Write weights, history and card; the method's training-only parts stay behind."""
    recipe, train = state.recipe, material.train
    held, test = material.validation, material.test
    return write_checkpoint(
        place,
        network,
        state,
        Images(len(train), train.origin),
        model=network.spec,
        recipe=recipe,
        metrics=_metrics(network, material, device),
        provenance={
            "precision": recipe.precision,
            "standardisation": recipe.standardisation,
            "validation_images": 0 if held is None else len(held),
            "test_images": 0 if test is None else len(test),
            **checkpoint.code_of(recipe.arch),
        },
    )


def _metrics(network: Network, material: Material, device: torch.device) -> dict[str, float]:
    """What the further images say."""
    metrics: dict[str, float] = {}
    test, held = material.test, material.validation
    if held is not None:
        metrics |= _validation(logits_of(network, held, device), held.labels)
    if test is not None and test.labels is not None and len(test):
        metrics["accuracy"] = accuracy(network, test, device)
    return metrics


def _validation(logits: NDArray[np.float32], labels: NDArray[np.int64] | None) -> dict[str, float]:
    """By what a choice may be made: accuracy, ECE (ten bins) and NLL of the held-out images."""
    confidence, correct = confidence_and_correct(logits, labels)
    return {
        "validation_accuracy": float(correct.mean()),
        "validation_ece": ece(confidence, correct),
        "validation_nll": nll(logits, labels),
    }
