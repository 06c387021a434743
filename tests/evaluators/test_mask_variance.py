"""The variance of logits over dropout masks equals that over sampled masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sdd_eval.errors import InputError
from sdd_eval.evaluators.mask_variance import MaskVariance
from sdd_eval.models.network import logits_and_features
from sdd_eval.training.methods.sd_dropout import dropped


@pytest.fixture
def subject(network, subject_of, images_of):
    def make(model=None):
        sets = {
            name: images_of(30, classes=0, seed=seed, name=name)
            for name, seed in (("far", 5), ("svhn", 6))
        }
        return subject_of(model or network(), images_of(20), sets=sets)

    return make


def rows_of(evaluator, arrays):
    return {(m.metric, m.at.get("outliers")): m for m in evaluator.score(arrays)}


@pytest.mark.parametrize("drop", [0.5, 0.2])
def test_mask_variance_equals_the_variance_over_sampled_masks(subject, network, drop):
    model = network()
    here = subject(model)
    evaluator = MaskVariance(outliers=("far",), drop_rate=drop)
    rows = rows_of(evaluator, evaluator.collect(here))
    for images, name in ((here.data, None), (here.sets["far"], "far")):
        pixels = next(images.batches(len(images))).float() / 255
        logits, features = logits_and_features(model, pixels)
        last = model.body[-1]
        draws = torch.Generator().manual_seed(1)
        drawn = torch.stack([last(dropped(features, drop, draws)) for _ in range(3000)])
        variance = drawn.var(dim=0).mean(dim=1)
        assert rows["mask_variance", name].value == pytest.approx(float(variance.mean()), rel=0.05)
        relative = (variance / logits.var(dim=1, unbiased=False)).mean()
        measurements = rows["mask_variance_relative", name]
        assert measurements.value == pytest.approx(float(relative), rel=0.05)
        assert measurements.low < measurements.value < measurements.high
    ratio = rows["mask_variance", "far"].value / rows["mask_variance", None].value
    assert rows["mask_variance_ratio", "far"].value == pytest.approx(ratio)


def test_ratios_are_averaged_over_the_sets(subject):
    evaluator = MaskVariance(outliers=("far", "svhn"))
    arrays = evaluator.collect(subject())
    rows = {name: row.value for name, row in rows_of(evaluator, arrays).items()}
    for variance in ("mask_variance", "mask_variance_relative"):
        inside = rows[variance, None]
        ratios = [rows[variance, name] / inside for name in evaluator.outliers]
        ratio = f"{variance}_ratio"
        assert [rows[ratio, name] for name in evaluator.outliers] == pytest.approx(ratios)
        assert rows[ratio, "average"] == pytest.approx(sum(ratios) / 2)
        assert (variance, "average") not in rows
    with pytest.raises(InputError, match="as means over OOD sets are called"):
        MaskVariance(outliers=("average",)).collect(subject())


def test_a_network_whose_logits_do_not_vary_has_no_ratios(subject, network):
    evaluator = MaskVariance(outliers=("far",))
    rows = rows_of(evaluator, evaluator.collect(subject(network(scale=0.0))))
    assert set(rows) == {("mask_variance", None), ("mask_variance", "far")}
    assert rows["mask_variance", "far"].value == 0.0


def test_changing_the_drop_rate_needs_no_forward_pass(subject):
    arrays = MaskVariance(outliers=("far",)).collect(subject())
    half, fifth = (
        rows_of(MaskVariance(drop_rate=d), arrays)["mask_variance", None] for d in (0.5, 0.2)
    )
    assert fifth.value == pytest.approx(half.value * 0.25)
    assert rows_of(MaskVariance(drop_rate=0.0), arrays)["mask_variance", None].value == 0.0


def test_scaling_the_logits_changes_the_variance_but_not_the_relative_variance(subject, network):
    small, large = (
        rows_of(item, item.collect(subject(network(scale=scale))))
        for scale in (1.0, 3.0)
        for item in [MaskVariance(outliers=("far",))]
    )
    plain, relative = ("mask_variance", None), ("mask_variance_relative", None)
    assert large[plain].value == pytest.approx(9 * small[plain].value, rel=1e-4)
    assert large[relative].value == pytest.approx(small[relative].value, rel=1e-4)


def test_invalid_settings_and_networks_are_refused(subject):
    with pytest.raises(InputError, match="--outliers is empty"):
        MaskVariance().collect(subject())
    with pytest.raises(InputError, match="must end in a linear layer"):
        MaskVariance(outliers=("far",)).collect(subject(torch.nn.Flatten()))
    with pytest.raises(InputError, match="--drop-rate is 1"):
        MaskVariance(drop_rate=1.0).score({"squares": np.ones(2), "spread": np.ones(2)})
