"""Selective prediction of small networks, on clean images and under corruption."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from sdd_eval.data.images import ArrayImages
from sdd_eval.errors import InputError
from sdd_eval.evaluation import evaluate
from sdd_eval.evaluators.accuracy import Accuracy
from sdd_eval.evaluators.evaluator import score
from sdd_eval.evaluators.selective import Selective
from sdd_eval.evaluators.settings import loaded_names, settings_that_load
from sdd_eval.metrics.corruption import FIFTEEN, NINETEEN
from sdd_eval.metrics.selective import SCORES, confidence_scores, selective_metrics
from sdd_eval.statistics.closed_form.share import wilson


@dataclass(frozen=True)
class Darkened:
    """A corrupted set whose corruptions darken the images, more with each severity."""

    clean: ArrayImages
    corruptions: tuple[str, ...] = FIFTEEN
    labelled: bool = True
    frost: str = "synthetic"
    provenance: str = "regenerated"
    name: str = "noise_c"
    fingerprint: str = "made"

    def cell(self, corruption, severity):
        strength = severity * (1 + NINETEEN.index(corruption)) // 2
        darker = np.maximum(self.clean.images.astype(int) - 4 * strength, 0).astype(np.uint8)
        labels = self.clean.labels if self.labelled else None
        return replace(self.clean, images=darker, labels=labels, _on_device={})


@pytest.fixture
def subject(network, subject_of, images_of):
    def make(limit=None, **settings):
        clean = images_of(60)
        sets = {"noise_c": Darkened(clean, **settings)}
        return subject_of(network(), clean, sets=sets, limit=limit, batch_size=16)

    return make


def test_each_score_has_the_metrics_of_its_own_ranking(subject, value_of):
    whole = subject()
    measurements = score(Selective(), Selective().collect(whole))
    arrays = Accuracy().collect(whole)
    correct = arrays["logits"].argmax(axis=1) == arrays["labels"]
    for detector, scores in zip(SCORES, confidence_scores(arrays["logits"]).T, strict=True):
        for metric, value in selective_metrics(scores, correct).items():
            assert value_of(measurements, metric, score=detector) == value
    assert len({value_of(measurements, "aurc", score=detector) for detector in SCORES}) > 1
    assert not any("corruption" in measurement.at for measurement in measurements)


def test_a_mean_over_corruptions_is_that_of_its_cells(subject):
    whole, evaluator = subject(), Selective("noise_c")
    measurements = {
        (m.metric, *(m.at.get(axis) for axis in ("score", "corruption", "severity"))): m.value
        for m in score(evaluator, evaluator.collect(whole))
    }
    labels = whole.labels()

    def plain(corruption, severity):
        logits = whole.logits(whole.corrupted("noise_c").cell(corruption, severity))
        scores = confidence_scores(logits)[:, SCORES.index("energy")]
        return selective_metrics(scores, logits.argmax(axis=1) == labels)["augrc"]

    of_fog = [plain("fog", severity) for severity in range(1, 6)]
    assert measurements["augrc", "energy", "fog", None] == pytest.approx(np.mean(of_fog))
    of_fives = [plain(corruption, 5) for corruption in FIFTEEN]
    assert measurements["augrc", "energy", "mean of 15", 5] == pytest.approx(np.mean(of_fives))
    means = [measurements["augrc", "energy", corruption, None] for corruption in FIFTEEN]
    assert measurements["augrc", "energy", "mean of 15", None] == pytest.approx(np.mean(means))
    assert ("augrc", "energy", None, None) in measurements


def test_there_is_no_mean_over_an_incomplete_set(subject):
    evaluator = Selective("noise_c")
    measurements = score(evaluator, evaluator.collect(subject(corruptions=("snow", "fog"))))
    corruptions = {measurement.at.get("corruption") for measurement in measurements}
    assert corruptions == {None, "snow", "fog"}
    snow = next(
        measurement for measurement in measurements if measurement.at.get("corruption") == "snow"
    )
    assert "regenerated, synthetic frost" in snow.protocol.text


def test_a_corrupted_set_without_labels_has_the_same_images_under_a_limit(subject, contents):
    evaluator = Selective("noise_c")
    labelled = evaluator.collect(subject(limit=20))
    bare = evaluator.collect(subject(limit=20, labelled=False))
    assert contents(labelled).keys() == contents(bare).keys()
    assert all((v == contents(bare)[name]).all() for name, v in contents(labelled).items())
    assert len(bare.where(corruption="fog")["scores"]) == 20


def test_an_error_free_network_has_no_auroc(images_of, subject_of, linear_network):
    import torch

    data = images_of(10)
    data = replace(data, labels=np.zeros(10, dtype=np.int64), _on_device={})
    weight = torch.zeros(4, data.images[0].size)
    weight[0] = 1
    measurements = score(Selective(), Selective().collect(subject_of(linear_network(weight), data)))
    metrics = {measurement.metric: measurement.value for measurement in measurements}
    assert metrics["aurc"] == metrics["augrc"] == metrics["aurc_excess"] == 0
    assert metrics["coverage_at_1_percent_risk"] == 1
    assert not any(name.startswith("misclassification") for name in metrics)


def test_the_corrupted_set_is_loaded_only_on_request(network, images_of, tmp_path):
    assert settings_that_load(Selective()) == loaded_names(Selective()) == {}
    assert settings_that_load(Selective("digits_c")) == {"corrupted": "corruptions"}
    run = evaluate(network(), Selective(), data=images_of(12), root=tmp_path)
    assert run.dataset == "noise"
    with pytest.raises(InputError, match="nowhere_c"):
        evaluate(network(), Selective("nowhere_c"), data=images_of(12), root=tmp_path)


def test_a_set_that_is_not_a_corruption_of_the_test_set_is_refused(subject, images_of):
    whole = subject()
    other = replace(whole, sets={"noise_c": Darkened(images_of(7))})
    with pytest.raises(InputError, match="has 7 images, noise has 60"):
        Selective("noise_c").collect(other)


def test_the_interval_of_a_coverage_follows_from_wilsons_intervals_of_the_risk_and_the_share():
    random = np.random.default_rng(0)
    sure = random.normal(0, 1, 2000).round(2)  # with ties
    correct = random.random(2000) < 1 / (1 + np.exp(-2.5 * sure - 2))
    arrays = {"scores": np.tile(sure[:, None], 4), "correct": correct}
    measurements = [
        m for m in score(Selective(), arrays) if m.metric == "coverage_at_5_percent_risk"
    ]
    text = [(k, (~correct[sure >= t]).sum()) for t in set(sure) if (k := (sure >= t).sum())]
    around = {k: wilson(w / k, k) for k, w in text}
    surely = max(k for k, (_, high) in around.items() if high <= 0.05)
    perhaps = max(k for k, (low, _) in around.items() if low <= 0.05)
    for row in measurements:
        low, high = (float(end) - row.value for end in wilson(row.value, 2000))
        below = np.hypot(surely / 2000 - row.value, low)
        above = np.hypot(perhaps / 2000 - row.value, high)
        assert (row.low, row.high) == pytest.approx((row.value - below, row.value + above))
        assert 0 < row.low < row.value < row.high < 1
        assert "same network, new images" in row.interval


def test_a_mean_of_coverages_has_no_interval(subject):
    evaluator = Selective("noise_c")
    measurements = score(evaluator, evaluator.collect(subject()))
    rows = [m for m in measurements if m.metric.startswith("coverage_at")]
    assert all((m.low is None) == ("corruption" in m.at) for m in rows)
    assert len({m.at.get("corruption") for m in rows}) > 2
