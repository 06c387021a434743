"""Accuracy and calibration of networks with known predictions."""

import numpy as np
import pytest
import torch

from sdd_eval.errors import InputError
from sdd_eval.evaluators.accuracy import Accuracy
from sdd_eval.evaluators.calibration import Calibration
from sdd_eval.evaluators.evaluator import Intervals
from sdd_eval.metrics.calibration import ece

FEW = Intervals(resamples=20)


class Constant(torch.nn.Module):
    """The same logits for every image."""

    def __init__(self, logits):
        super().__init__()
        self.logits = torch.tensor(logits)

    def forward(self, pixels):
        return self.logits.expand(len(pixels), -1)


def test_the_accuracy_of_a_constant_prediction_is_the_share_of_its_class(
    subject_of, images_of, value_of
):
    data = images_of(50)
    measurements = Accuracy().score(
        Accuracy().collect(subject_of(Constant([0.0, 0.0, 3.0, 0.0]), data, batch_size=7))
    )
    assert value_of(measurements, "accuracy") == (data.labels == 2).mean()
    assert [measurement.metric for measurement in measurements] == ["accuracy", "nll"]


def test_more_than_five_classes_have_a_top_five_accuracy(subject_of, images_of, value_of):
    data = images_of(60, classes=6)
    model = Constant([5.0, 4.0, 3.0, 2.0, 1.0, 0.0])
    measurements = Accuracy().score(Accuracy().collect(subject_of(model, data, classes=6)))
    assert value_of(measurements, "accuracy_top5") == (data.labels < 5).mean()


def test_logits_are_stored_in_float32_with_images_first(subject_of, images_of, network):
    for evaluator in (Accuracy(), Calibration()):
        arrays = evaluator.collect(subject_of(network(), images_of(20), batch_size=6))
        assert arrays["logits"].dtype == np.float32
        assert {len(array) for array in arrays.values()} == {20}


def test_a_confident_and_wrong_model_has_an_error_of_one(subject_of, images_of, value_of):
    data = images_of(30, classes=3)
    subject = subject_of(Constant([0.0, 0.0, 0.0, 200.0]), data)
    measurements = Calibration(intervals=FEW).score(Calibration().collect(subject))
    plain = [measurement for measurement in measurements if "temperature" not in measurement.at]
    assert value_of(plain, "ece", bins=10) == 1.0
    assert value_of(measurements, "bin_count", bin=10) == 30
    assert value_of(measurements, "bin_confidence", bin=10) == 1.0
    assert value_of(measurements, "bin_accuracy", bin=10) == 0.0


def test_an_empty_bin_has_only_a_count(subject_of, images_of):
    subject = subject_of(Constant([0.0, 0.0, 0.0, 200.0]), images_of(30))
    measurements = Calibration(intervals=FEW).score(Calibration().collect(subject))
    of_first = [item for item in measurements if item.at.get("bin") == 1]  # before scaling
    assert [(item.metric, item.value) for item in of_first] == [("bin_count", 0)]


def test_changing_the_number_of_bins_scores_the_same_arrays_again(
    subject_of, images_of, network, value_of
):
    arrays = Calibration().collect(subject_of(network(), images_of(80)))
    probabilities = torch.tensor(arrays["logits"], dtype=torch.float64).softmax(dim=1).numpy()
    correct = probabilities.argmax(axis=1) == arrays["labels"]
    for bins in (1, 10, 15):
        measurements = Calibration(bins=bins, intervals=FEW).score(arrays)
        expected = ece(probabilities.max(axis=1), correct, bins)
        (plain,) = [
            measurement
            for measurement in measurements
            if measurement.metric == "ece" and measurement.at == {"bins": bins}
        ]
        assert plain.value == pytest.approx(expected, abs=1e-12)
        assert sum(measurement.metric == "bin_count" for measurement in measurements) == bins


def test_a_limit_selects_that_many_images(subject_of, images_of, network):
    arrays = Accuracy().collect(subject_of(network(), images_of(40), limit=8))
    assert len(arrays["logits"]) == len(arrays["labels"]) == 8


def test_every_measurement_names_its_convention(subject_of, images_of, network):
    for evaluator in (Accuracy(), Calibration(bins=12, intervals=FEW)):
        for item in evaluator.score(evaluator.collect(subject_of(network(), images_of(9)))):
            assert item.protocol.text
            if item.at.get("bins"):
                assert (
                    "12 equal-width bins" in item.protocol.text
                    or "12 bins of equ" in item.protocol.text
                )


def test_invalid_inputs_are_refused(subject_of, images_of, network):
    with pytest.raises(InputError, match="--bins is 0"):
        Calibration(bins=0).collect(subject_of(network(), images_of(5)))
    with pytest.raises(InputError, match="has no labels"):
        Accuracy().collect(subject_of(network(), images_of(5, classes=0)))
    broken = Constant([float("nan"), 0.0, 0.0, 0.0])
    for evaluator in (Accuracy(), Calibration()):
        arrays = evaluator.collect(subject_of(broken, images_of(5)))
        with pytest.raises(InputError, match="5 of 20 logits are NaN"):
            evaluator.score(arrays)
