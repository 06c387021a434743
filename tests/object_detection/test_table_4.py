"""Which detectors the cells of the paper's Table 4 are compared with."""

from __future__ import annotations

import dataclasses

import pytest

from sdd_eval.object_detection.recipe import (
    DetectorRecipe,
    detector_spec,
    flattened_recipe,
    resolved_recipe,
)
from sdd_eval.paper import paper_numbers
from sdd_eval.paper.cell_query import matches_recipe, query_for
from sdd_eval.paper.comparison import deviations
from sdd_eval.records import Card, ModelSpec, Recipe, encode

CELLS = [number for number in paper_numbers() if number.table == 4]
IMAGENET = Recipe(
    dataset="imagenet",
    arch="torchvision:resnet152",
    epochs=90,
    milestones=(30, 60),
    batch_size=32,
    standardisation="imagenet",
    augmentation="resized_crop_flip",
)


def recipe_of(epochs, weight, **changes):
    """Return the recipe that a run stores of a detector on a backbone with this λ."""
    backbone = dataclasses.replace(IMAGENET, sd_dropout=weight)
    network = ModelSpec(backbone.arch, 1000, (0.485,) * 3, (0.229,) * 3, 224)
    under = Card("backbone", network, backbone, {}, "0")
    recipe = resolved_recipe(DetectorRecipe(epochs=epochs, **changes), under)
    created = {"name": "backbone", "recipe": encode(backbone)}
    card = Card(
        "detector",
        detector_spec(network, recipe, {1: "person"}),
        None,
        {},
        "1",
        {"detector": encode(recipe), "backbone": created},
    )
    return encode(flattened_recipe(card))


@pytest.mark.parametrize("number", CELLS, ids=lambda n: f"{n.metric}-{n.at['epochs']}")
def test_a_detector_with_the_paper_s_protocol_matches_each_cell(number):
    query = query_for(number)
    recipe = recipe_of(number.at["epochs"], 0.1 if number.sd_dropout else 0.0)
    assert query.evaluator == "detection"
    assert matches_recipe(query, recipe)
    assert deviations(query, recipe, ()) == ()


def test_another_schedule_or_lambda_does_not_match():
    seven = query_for(CELLS[0])
    assert not matches_recipe(seven, recipe_of(12, 0.0))
    assert not matches_recipe(seven, recipe_of(7, 0.1))


def test_deviations_of_the_detector_are_listed():
    listed = deviations(query_for(CELLS[0]), recipe_of(7, 0.0, min_size=400, lr=0.01), ())
    assert listed == ("lr 0.01, not 0.02", "min size 400, not 800")


def test_deviations_of_the_backbone_are_listed():
    recipe = {**recipe_of(7, 0.0), "backbone_epochs": 10, "backbone_dataset": "cifar100"}
    listed = deviations(query_for(CELLS[0]), recipe, ())
    assert set(listed) == {
        "backbone dataset cifar100, not imagenet", "backbone epochs 10, not 90"
    }  # fmt: skip


def test_recipes_of_two_seeds_differ_only_in_the_seed():
    recipe = recipe_of(7, 0.0)
    assert "backbone" not in recipe
    assert recipe["seed"] == 0
    assert {**recipe, "seed": 1} == recipe_of(7, 0.0, seed=1)
