"""AutoAttack: the standard version, and the worst case of its four attacks for each image."""

import dataclasses
from functools import partial

import numpy as np
import pytest
import torch
import torchattacks

from sdd_eval.data.images import ArrayImages
from sdd_eval.evaluators.adversarial import torchattacks_wrapper
from sdd_eval.evaluators.adversarial.attack import Attack
from sdd_eval.evaluators.adversarial.attack_run import attack_seed, clean, under_attack
from sdd_eval.evaluators.adversarial.threat import threat_of
from sdd_eval.evaluators.adversarial.torchattacks_wrapper import (
    AttackedNetwork,
    parts_of,
    worst_case,
)
from sdd_eval.evaluators.gradients import LossGradient


def reduce_effort(monkeypatch, steps, targets, queries):
    effort = {"STEPS": steps, "TARGETS": targets, "QUERIES": queries}
    for name, number in effort.items():
        monkeypatch.setattr(torchattacks_wrapper, name, number)


@pytest.fixture
def small(monkeypatch):
    reduce_effort(monkeypatch, 8, 3, 40)


def parts(model, eps=8 / 255, classes=4):
    threat = threat_of("AutoAttack", {"eps": eps}, classes=classes)
    path = AttackedNetwork(model, "cpu")
    return parts_of(threat, path, classes, partial(attack_seed, 0, 0), LossGradient())


@pytest.mark.parametrize(("classes", "targets"), [(100, 9), (10, 9), (4, 3)])
def test_iterations_and_targets_are_those_of_the_standard_version(classes, targets, network):
    created = {}
    for part in parts(network(), classes=classes):
        attack = getattr(torchattacks, part.threat.attack)(network(), **part.threat.parameters)
        created[part.threat.attack] = attack
    assert list(created) == ["APGD", "APGDT", "FAB", "Square"]
    assert [created[name].steps for name in ("APGD", "APGDT", "FAB")] == [100, 100, 100]
    assert created["APGDT"].n_target_classes == created["FAB"].n_target_classes == targets
    assert created["FAB"].multi_targeted
    assert created["APGD"].loss == "ce"
    assert (created["Square"].n_queries, created["Square"].rescale_schedule) == (5000, False)
    assert {attack.n_restarts for attack in created.values()} == {1}
    assert {attack.eps for attack in created.values()} == {8 / 255}


def test_robust_accuracy_is_the_worst_case_and_misclassified_images_are_not_attacked_again(
    network, images_of, small
):
    model, data = network(), images_of(80)
    pixels = next(data.batches(80)).float() / 255
    with torch.no_grad():
        labels = model(pixels).argmax(dim=1)
    seen, broken = [], []

    def recorded(part):
        def run(left, truth):
            moved = part.run(left, truth)
            places = [int((pixels == one).flatten(1).all(dim=1).nonzero()[0]) for one in left]
            with torch.no_grad():
                wrong = model(moved).argmax(dim=1) != truth
            seen.append(set(places))
            broken.append({folder for folder, bad in zip(places, wrong, strict=True) if bad})
            return moved

        return dataclasses.replace(part, run=run)

    item = [recorded(part) for part in parts(model, eps=0.8 / 255)]
    # The weak parts first, so that every one breaks something and leaves something.
    outcome = worst_case(model, item[::-1], pixels, labels, torch.ones(80, dtype=torch.bool))
    assert len(seen) == 4
    for number in range(1, 4):
        assert seen[number] == seen[number - 1] - broken[number - 1]
    assert len(broken[0]) > 0
    assert len(broken[1]) > 0
    survivors = set(outcome["survives"].nonzero().flatten().tolist())
    assert survivors == set(range(80)) - set().union(*broken)
    assert 0 < len(survivors) < 80


def test_robust_accuracy_of_a_linear_network_equals_the_closed_form(
    linear_network, subject_of, monkeypatch
):
    torch.manual_seed(1)
    weight = torch.randn(5, 3 * 6 * 6)
    pixels = np.random.default_rng(0).integers(80, 176, (60, 3, 6, 6), dtype=np.uint8)
    model = linear_network(weight)
    logits = model(torch.from_numpy(pixels).float() / 255)
    labels = logits.argmax(dim=1)
    norms = (weight[labels][:, None] - weight[None]).abs().sum(dim=2)
    distances = (logits.max(dim=1, keepdim=True).values - logits) / norms
    distances[torch.arange(60), labels] = torch.inf
    nearest = distances.min(dim=1).values.detach().numpy()
    epsilon = float(np.sort(nearest)[29:31].mean())
    data = ArrayImages("inner", pixels, labels.numpy(), "inner", "made here")
    subject = subject_of(model, data, classes=5)
    threat = threat_of("AutoAttack", {"eps": epsilon}, classes=5)
    reduce_effort(monkeypatch, 20, 4, 20)
    results = under_attack(subject, threat, *clean(subject))
    for temperature in (1.0, "fitted"):
        survives = results.where(temperature=temperature)["survives"]
        np.testing.assert_array_equal(survives, nearest > epsilon)


def test_measurements_give_the_accuracy_after_each_attack_and_the_reduced_targets(
    network, subject_of, images_of, value_of, small
):
    evaluator = Attack("AutoAttack", eps="1/255")
    arrays = evaluator.collect(subject_of(network(), images_of(40)))
    measurements = evaluator.score(arrays)
    left = [
        value_of(measurements, "attack_accuracy_after", part=part, temperature=1.0)
        for part in ("APGD-CE", "APGD-T", "FAB-T", "Square")
    ]
    assert left == sorted(left, reverse=True)
    assert left[-1] == value_of(measurements, "attack_accuracy", temperature=1.0)
    assert left[0] < value_of(measurements, "attack_right_before")
    assert (
        "3 targets, all that the network has, Square 5,000 queries" in measurements[1].protocol.text
    )


def test_the_ensemble_of_torchattacks_has_its_own_name_iterations_and_targets(network):
    threat = threat_of("torchattacks-autoattack", {"eps": "8/255"}, classes=100)
    assert threat.at["attack"] == "torchattacks-autoattack"
    ensemble = torchattacks.AutoAttack(network(), **threat.parameters, seed=0)
    steps = [getattr(part, "steps", None) for part in ensemble._autoattack.attacks]
    assert steps == [10, 10, 10, None]


def test_the_rows_of_torchattacks_ensemble_say_that_it_is_not_autoattack(
    network, subject_of, images_of
):
    evaluator = Attack("torchattacks-autoattack", eps=0, parameters=("version=rand",))
    measurements = evaluator.score(evaluator.collect(subject_of(network(), images_of(4))))
    (text, *_) = [
        measurement.protocol.text
        for measurement in measurements
        if measurement.metric == "attack_accuracy"
    ]
    assert "torchattacks' own ensemble, not AutoAttack: 10 steps where that makes 100" in text
