"""Logits without their network give the numbers that the network gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sdd_eval.errors import InputError
from sdd_eval.evaluation import evaluate, evaluate_logits
from sdd_eval.evaluators.ood.ood import Ood
from sdd_eval.store import read_run, run_paths


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (300, 4, 4), np.uint8)


LABELS = np.arange(300) % 3


def logits_of(network: torch.nn.Module, images: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return network(torch.from_numpy(images)[:, None].float() / 255).numpy()


def numbers(run: Any) -> dict[Any, Any]:
    """Return values and intervals, NaN for an end that is missing, by metric and axes."""
    return {
        (m.metric, *m.at.items()): [np.nan if x is None else x for x in (m.value, m.low, m.high)]
        for m in run.measurements
    }


@pytest.mark.parametrize("evaluator", ["accuracy", "calibration", "selective"])
@pytest.mark.parametrize("limit", [None, 50])
def test_logits_give_the_numbers_of_their_network(
    evaluator: str, limit: int | None, network: torch.nn.Module, images: np.ndarray
) -> None:
    expected = numbers(evaluate(network, evaluator, data=(images, LABELS), limit=limit))
    run = evaluate_logits(logits_of(network, images), LABELS, evaluator, limit=limit)
    assert run.n == (limit or 300)
    for number, values in numbers(run).items():
        assert values == pytest.approx(expected[number], rel=1e-5, abs=1e-6, nan_ok=True)


def test_files_of_outputs_of_a_sigmoid_carry_a_warning(
    network: torch.nn.Module, images: np.ndarray
) -> None:
    outputs = 1 / (1 + np.exp(-logits_of(network, images)))
    (warning,) = evaluate_logits(outputs, LABELS, "calibration").provenance.warnings or ()
    assert "only numbers from 0 to 1 that do not sum to 1" in warning


def test_logits_of_outliers_give_the_numbers_of_detectors(
    network: torch.nn.Module, images: np.ndarray
) -> None:
    inliers, far = logits_of(network, images), logits_of(network, images[::-1] // 3)
    detectors = Ood(detectors=("msp", "energy"))
    run = evaluate_logits(inliers, LABELS, detectors, outliers={"far away": far})
    energies = [torch.logsumexp(torch.from_numpy(z).double(), 1) for z in (inliers, far)]
    above = (energies[0][:, None] > energies[1]).double().mean()
    at = {"detector": "energy", "outliers": "far away"}
    (auroc,) = (m for m in run.measurements if m.metric == "auroc" and m.at == at)
    assert auroc.value == pytest.approx(float(above), abs=1e-4)


def test_probabilities_are_refused_unless_they_are_named(
    network: torch.nn.Module, images: np.ndarray
) -> None:
    logits = torch.from_numpy(logits_of(network, images))
    probabilities = logits.softmax(1).numpy()
    with pytest.raises(InputError, match="returns probabilities"):
        evaluate_logits(probabilities, LABELS, "calibration")
    run = evaluate_logits(probabilities, LABELS, "calibration", outputs="probabilities")
    expected = numbers(evaluate_logits(logits, LABELS, "calibration"))
    assert numbers(run)["ece", ("bins", 10)] == pytest.approx(
        expected["ece", ("bins", 10)], abs=1e-5
    )


def test_a_run_of_a_study_is_stored_once(
    network: torch.nn.Module, images: np.ndarray, tmp_path: Path
) -> None:
    logits = logits_of(network, images)
    for scale in (1, 1, 2):
        evaluate_logits(scale * logits, LABELS, "accuracy", study=tmp_path, name="mine")
    assert [path.parent.name for path in run_paths(tmp_path)] == ["mine", "mine"]


def test_runs_of_other_outliers_of_one_network_are_told_apart(
    network: torch.nn.Module, images: np.ndarray, tmp_path: Path
) -> None:
    logits = logits_of(network, images)
    for evaluator, scale in (
        (Ood(detectors=("msp",)), 1),
        (Ood(detectors=("msp",)), 2),
        ("accuracy", 1),
    ):
        far = None if evaluator == "accuracy" else {"far": scale * logits[:9]}
        evaluate_logits(logits, LABELS, evaluator, outliers=far, study=tmp_path)
    runs = [read_run(path) for path in run_paths(tmp_path)]
    assert len(runs) == 3
    assert len({run.weights_sha256 for run in runs}) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((4, 2)), [0, 1, 0, 1], "fgsm"), "fgsm needs the network"),
        ((np.zeros((4, 2)), [0, 1, 0, 1], "ood"), "ood needs the network"),
        ((np.zeros((4, 2)), [0, 1, 0, 1], Ood(detectors=("msp",))), "needs logits of OOD sets"),
        ((np.zeros((4, 1)), [0, 0, 0, 0], "accuracy"), "not numbers (images, classes), 2 or more"),
        ((np.zeros(4), [0, 0, 0, 0], "accuracy"), "not numbers (images, classes)"),
        ((np.full((4, 2), np.nan), [0, 1, 0, 1], "accuracy"), "contain NaN or infinite"),
        ((np.full((4, 2), np.inf), [0, 1, 0, 1], "accuracy"), "contain NaN or infinite"),
        ((np.zeros((4, 2)), [0, 1, 0], "accuracy"), "not 4 class indices"),
        ((np.zeros((4, 2)), [0, 1, 0, 2], "accuracy"), "labels of 3 classes"),
        ((np.zeros((4, 2)), [0, 1, 0, 0.5], "accuracy"), "float64 (4,), not 4 class indices"),
    ],
)
def test_what_cannot_be_measured_is_refused(arguments: Any, message: str) -> None:
    with pytest.raises(InputError) as error:
        evaluate_logits(*arguments)
    assert message in str(error.value)


def test_all_logits_have_as_many_classes() -> None:
    outliers = {"far": np.zeros((2, 3))}
    with pytest.raises(InputError, match="as many classes, not 2 and 3"):
        evaluate_logits(np.eye(2), [0, 1], Ood(detectors=("msp",)), outliers=outliers)
