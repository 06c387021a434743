"""Training of a detector: its checkpoint, resuming, schedule and invalid recipes."""

from __future__ import annotations

import dataclasses
import math
import shutil

import pytest
import torch
from safetensors.torch import load_file

from sdd_eval import store
from sdd_eval.checkpoints import Checkpoint, load, read_card
from sdd_eval.checkpoints.folder import CARD, WEIGHTS
from sdd_eval.errors import InputError
from sdd_eval.models.faster_rcnn import build_detector
from sdd_eval.object_detection import train
from sdd_eval.object_detection.recipe import (
    DetectorRecipe,
    detector_spec,
    learning_rate,
    resolved_recipe,
)
from sdd_eval.object_detection.train import train_detector
from sdd_eval.records import Card, ModelSpec


def trained(made, folder, recipe, **more):
    backbone = made / "checkpoints" / "backbone"
    return train_detector(
        backbone, recipe, folder, data_root=made / "data", name="again", threads=1, **more
    )


def weights(folder):
    return load_file(folder / WEIGHTS)


def test_the_card_has_the_recipe_and_the_backbone(made):
    card = read_card(made / "checkpoints" / "detector")
    assert card.model.arch == "fasterrcnn_fpn:resnet18w16"
    assert card.model.classes == 2
    assert card.model.options["class_names"] == ["kite", "boat"]
    assert card.model.mean == (0.45, 0.45, 0.45)
    assert card.dataset == "shapes"
    assert card.provenance.backbone["recipe"]["sd_dropout"] == 0.1
    assert card.provenance.detector["seed"] == 3, "the backbone's"
    assert math.isfinite(card.metrics["loss"])
    assert not (made / "checkpoints" / "detector" / "state.pt").exists()


def test_training_starts_from_the_backbone_and_keeps_frozen_layers(made):
    ours = weights(made / "checkpoints" / "detector")
    theirs = weights(made / "checkpoints" / "backbone")
    for name in ("conv1.weight", "layer1.0.conv1.weight", "layer3.0.bn1.weight"):
        assert torch.equal(ours[f"backbone.body.{name}"], theirs[f"backbone.{name}"]), name
    name = "layer4.1.bn2.running_var"
    assert torch.equal(ours[f"backbone.body.{name}"], theirs[f"backbone.{name}"])
    for name in ("layer2.0.conv1.weight", "layer4.1.conv2.weight"):
        assert not torch.equal(ours[f"backbone.body.{name}"], theirs[f"backbone.{name}"]), name
    assert not any("classifier" in name for name in ours)


def test_a_finished_detector_is_not_trained_again(made, quick, monkeypatch):
    monkeypatch.setattr(train, "learning_rate", None)
    folder = made / "checkpoints"
    card = train_detector(
        folder / "backbone", quick, folder, data_root=made / "data", name="detector"
    )
    assert card == read_card(folder / "detector")


def test_an_interrupted_training_ends_in_the_same_weights(made, quick, tmp_path, monkeypatch):
    rate = train.learning_rate

    def interrupted(recipe, epoch, step, steps):
        if (epoch, step) == (1, 1):
            raise KeyboardInterrupt
        return rate(recipe, epoch, step, steps)

    monkeypatch.setattr(train, "learning_rate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trained(made, tmp_path, quick)
    assert not (tmp_path / "again" / CARD).exists()
    monkeypatch.setattr(train, "learning_rate", rate)
    card = trained(made, tmp_path, quick)
    whole = read_card(made / "checkpoints" / "detector")
    assert card.weights_sha256 == whole.weights_sha256
    assert card.metrics == whole.metrics


def test_a_loaded_detector_has_the_written_weights(made):
    folder = made / "checkpoints" / "detector"
    detector = Checkpoint.open(folder, task="object_detection").network()
    state = detector.state_dict()
    for name, tensor in weights(folder).items():
        assert torch.equal(tensor, state[name])
    assert not any(item.requires_grad for item in detector.parameters())


def test_a_folder_with_another_recipe_is_refused_without_overwrite(made, quick, tmp_path):
    one = dataclasses.replace(quick, epochs=1)
    trained(made, tmp_path, one)
    with pytest.raises(InputError, match=r"seed is 3 there, 4 here.*--overwrite"):
        trained(made, tmp_path, dataclasses.replace(one, seed=4))
    card = trained(made, tmp_path, dataclasses.replace(one, seed=4), overwrite=True)
    assert card.provenance.detector["seed"] == 4


def test_a_classifier_s_folder_is_refused(made, quick, tmp_path):
    folder = made / "checkpoints"
    shutil.copytree(folder / "backbone", tmp_path / "again")
    with pytest.raises(InputError, match="again is not a training of an object detector"):
        trained(made, tmp_path, quick)
    with pytest.raises(InputError, match="backbone is the backbone itself"):
        train_detector(folder / "backbone", quick, folder, name="backbone", overwrite=True)
    assert (folder / "backbone" / CARD).exists()


def test_a_detector_cannot_be_loaded_as_a_classifier(made):
    with pytest.raises(InputError, match="detector is an object detector, not a classifier"):
        load(made / "checkpoints" / "detector")


def test_a_network_without_stages_is_refused(quick):
    flat = ModelSpec("torchvision:mobilenet_v3_small", 2, (0.5,) * 3, (0.2,) * 3, 64)
    with pytest.raises(InputError, match="mobilenet_v3_small' has no stages layer1"):
        build_detector(detector_spec(flat, quick, {1: "kite"}))


def test_a_non_finite_loss_stops_the_training(made, quick, tmp_path):
    with pytest.raises(InputError, match=r"is not finite at step .* of epoch 1"):
        trained(made, tmp_path, dataclasses.replace(quick, lr=1e20))


@pytest.mark.parametrize(("epochs", "falls"), [(7, (5, 6)), (12, (8, 11)), (24, (16, 22))])
def test_the_learning_rate_follows_detectron_s_schedules(epochs, falls):
    card = Card("b", ModelSpec("resnet18", 2, (0.5,), (0.5,), 32), None, {}, "0")
    recipe = resolved_recipe(DetectorRecipe(epochs=epochs), card)
    rates = [learning_rate(recipe, epoch, 1999, 2000) for epoch in range(epochs)]
    changed = tuple(n for n in range(1, epochs) if rates[n] < rates[n - 1])
    assert changed == falls
    assert rates[0] == 0.02
    assert rates[-1] == pytest.approx(0.0002)


def test_the_learning_rate_warms_up_and_scales_with_the_batch_size():
    card = Card("b", ModelSpec("resnet18", 2, (0.5,), (0.5,), 32), None, {}, "0")
    recipe = resolved_recipe(DetectorRecipe(batch_size=4), card)
    warm = [learning_rate(recipe, 0, step, 5000) for step in (0, 500, 1000)]
    assert warm == pytest.approx([0.005 / 1000, 0.005 * 0.5005, 0.005])
    assert learning_rate(recipe, 1, 0, 5000) == 0.005


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"lr": -1.0}, "lr is -1.0"),
        ({"batch_size": 7}, "batch_size is 7, but shapes has only 6 training images"),
        ({"max_size": 20}, "max_size is 20, less than min_size 32"),
        ({"milestones": (3, 2)}, "must be epochs from 1, ascending"),
        ({"milestones": (50,)}, "the last milestone is 50"),
        (
            {"dataset": "nothing"},
            "unknown detection set 'nothing'. Known: coco, digit_scenes, shapes",
        ),
    ],
)
def test_an_impossible_recipe_is_refused(change, message, made, quick, tmp_path):
    with pytest.raises(InputError, match=message):
        trained(made, tmp_path, dataclasses.replace(quick, **change))


def test_two_processes_cannot_train_one_detector(made, quick, tmp_path):
    with (
        store.locked(tmp_path / "again", "training"),
        pytest.raises(InputError, match="another process is training"),
    ):
        trained(made, tmp_path, quick)
