"""Which measurements a cell of the paper is compared with, and the verdict."""

from __future__ import annotations

import dataclasses

import pandas
import pytest

from sdd_eval.paper import compare_with_paper, paper_numbers
from sdd_eval.paper.comparison import Substitutes
from sdd_eval.records import Recipe, encode

AXES = ["corruption", "severity", "epsilon", "variant", "outliers", "detector", "temperature"]
AXES += ["bins", "gradient", "constants"]


def row(recipe, value, *, evaluator="accuracy", metric="accuracy", at=(), **fields):
    shared = {
        **{"checkpoint": f"c{recipe.seed}", "seed": recipe.seed, "evaluator": evaluator},
        **{"metric": metric, "value": value, "n": 10_000, "limited": False, "note": ""},
        **{"dataset": "cifar100", "test_set": "cifar100", "data": "cifar100: official"},
        **{
            "level": 0.95,
            "interval_id": "01234567",
        },  # columns behind the note that are no axes
    }
    return recipe, {**shared, **fields, **dict.fromkeys(AXES), **dict(at)}


def compared(*rows, number, **more):
    """Compare one number of the paper with rows, each with the recipe of its network."""
    named = [{**result, "run": f"run{index}"} for index, (_, result) in enumerate(rows)]
    recipes = {f"run{index}": encode(recipe) for index, (recipe, _) in enumerate(rows)}
    columns = [*dict.fromkeys(n for item in named for n in item if n not in AXES), *AXES]
    (result,) = compare_with_paper(
        pandas.DataFrame(named, columns=columns), recipes, numbers=[number], **more
    )
    return result


def number(table, **fields):
    return next(
        n for n in paper_numbers()
        if n.table == table and all(getattr(n, name) == value for name, value in fields.items())
    )  # fmt: skip


CE = number(1, method="ce", sd_dropout=False)
SDD = number(1, method="ce", sd_dropout=True)


def seeds(values, recipe=Recipe(), **fields):  # noqa: B008
    return [
        row(dataclasses.replace(recipe, seed=seed), value, **fields)
        for seed, value in enumerate(values)
    ]


def test_three_seeds_around_the_paper_s_value_reproduce_it():
    result = compared(*seeds([0.745, 0.748, 0.752]), number=CE)
    assert result.verdict == "reproduced"
    assert result.measured.n == 3
    assert result.difference == pytest.approx(0.7483 - 0.748, abs=1e-4)
    assert result.low < 0.748 < result.high


def test_three_seeds_far_from_the_paper_s_value_do_not_reproduce_it():
    assert compared(*seeds([0.765, 0.766, 0.767]), number=CE).verdict == "not reproduced"


def test_the_rounding_of_the_printed_value_is_allowed_for():
    assert compared(*seeds([0.7476, 0.7476, 0.7476]), number=CE).verdict == "reproduced"
    assert compared(*seeds([0.7474, 0.7474, 0.7474]), number=CE).verdict == "not reproduced"


def test_two_seeds_are_too_few_however_close():
    result = compared(*seeds([0.748, 0.748]), number=CE)
    assert (result.verdict, result.reasons) == (
        "too few seeds",
        ("2 of 3 seeds",),
    )


def test_a_cell_without_measurements_is_not_measured():
    assert compared(*seeds([0.748] * 3), number=SDD).verdict == "not measured"


@pytest.mark.parametrize(
    ("recipe", "fields", "deviation"),
    [
        (Recipe(epochs=15), {}, "epochs 15, not 200"),
        (Recipe(weight_decay=5e-4), {}, "weight decay 0.0005, not 0.0001"),
        (Recipe(augmentation="none"), {}, "augmentation none, not crop_flip"),
        (Recipe(), {"limited": True, "n": 500}, "only 500 images"),
        (Recipe(), {"data": "cifar100: partial: 12 of 10,000"}, "cifar100: partial: 12 of 10,000"),
    ],
)
def test_a_deviation_from_the_protocol_is_not_comparable(recipe, fields, deviation):
    result = compared(*seeds([0.748] * 3, recipe, **fields), number=CE)
    assert (result.verdict, result.reasons) == (
        "not comparable",
        (deviation,),
    )


def test_precision_and_memory_layout_are_no_deviation():
    recipe = Recipe(precision="bf16", channels_last=True, compile=True, milestones=(100, 150))
    assert compared(*seeds([0.748] * 3, recipe), number=CE).verdict == "reproduced"


def test_the_resolved_value_of_auto_is_no_deviation():
    recipe = Recipe(augmentation="crop_flip")  # as a card has it
    assert compared(*seeds([0.748] * 3, recipe), number=CE).verdict == "reproduced"


def test_the_recipe_with_fewest_deviations_is_compared_even_with_fewer_seeds():
    short = seeds([0.7] * 5, Recipe(epochs=15))
    result = compared(*short, *seeds([0.748]), number=CE)
    assert (result.measured.n, result.verdict) == (1, "too few seeds")


def test_lambda_is_1_alone_and_a_tenth_in_combination():
    weak = Recipe(sd_dropout=0.1)
    result = compared(*seeds([0.77] * 3, weak), number=SDD)
    assert result.reasons == ("sd dropout 0.1, not 1.0",)
    both = dataclasses.replace(weak, method="byot")
    combined = number(1, method="byot", sd_dropout=True)
    assert compared(*seeds([0.777] * 3, both), number=combined).verdict == "reproduced"


def test_a_cell_of_table_14_matches_only_its_own_lambda_and_drop_rate():
    cell = number(14, at={"lambda": 0.5, "drop": 0.3})
    near = seeds([0.5] * 3, Recipe(sd_dropout=0.5, drop_rate=0.5))
    assert compared(*near, number=cell).verdict == "not measured"
    own = seeds([0.7631] * 3, Recipe(sd_dropout=0.5, drop_rate=0.3))
    assert compared(*near, *own, number=cell).verdict == "reproduced"


def test_cells_differ_in_direction_position_and_hidden_layers():
    forward = number(9, dataset="cifar100", at={"direction": "forward"})
    recipe = Recipe(sd_dropout=1.0, direction="forward")
    assert compared(*seeds([0.766] * 3, recipe), number=forward).measured.n == 3
    assert compared(*seeds([0.766] * 3, recipe), number=SDD).measured.n == 0
    third = number(12, at={"position": 3})
    recipe = Recipe(sd_dropout=1.0, position="layer3")
    assert compared(*seeds([0.757] * 3, recipe), number=third).measured.n == 3
    hidden = number(13, sd_dropout=False)
    assert compared(*seeds([0.749] * 3, Recipe(hidden_layers=1)), number=hidden).measured.n == 3


def corrupted(recipe, value, metric, origin):
    fields = {"evaluator": "corruption", "metric": metric, "dataset": "cifar100_c"}
    return seeds([value] * 3, recipe, data=f"cifar100: official; cifar100_c: {origin}", **fields)


def test_mca_with_synthetic_frost_is_not_comparable():
    cell = number(6, metric="mca", sd_dropout=False)
    own = corrupted(Recipe(), 0.4749, "mca_15_synthetic_frost", "regenerated")
    result = compared(*own, number=cell)
    assert result.verdict == "not comparable"
    assert result.reasons == (*("cifar100_c: regenerated", "mca_15_synthetic_frost, not mca"),)
    archive = corrupted(Recipe(), 0.4749, "mca", "official")
    assert compared(*own, *archive, number=cell).verdict == "reproduced"


def test_a_corruption_is_compared_by_its_mean_over_severities():
    cell = number(6, at={"corruption": "fog"}, sd_dropout=False)
    folder = {"evaluator": "corruption", "dataset": "cifar100_c"}
    one = seeds([0.9] * 3, at={"corruption": "fog", "severity": 1}, **folder)
    mean = seeds([0.611] * 3, at={"corruption": "fog"}, **folder)
    assert compared(*one, *mean, number=cell).measured.mean == pytest.approx(0.611)


ODIN = {"detector": "odin", "temperature": 1000.0, "epsilon": 0.0028}


def test_odin_is_compared_at_its_default_setting_averaged_over_the_paper_s_sets():
    cell = number(7, metric="auroc", at={"detector": "odin", "outliers": "average"})
    folder = {"evaluator": "odin", "metric": "auroc"}
    tuned = seeds([0.9] * 3, at={**ODIN, "epsilon": 0.0, "outliers": "average"}, **folder)
    other = seeds([0.811] * 3, at={**ODIN, "outliers": "average"}, **folder)
    assert compared(*tuned, number=cell).measured.n == 0
    result = compared(*other, number=cell)
    assert result.reasons == ("outliers average, not average:paper",)
    papers = seeds([0.811] * 3, at={**ODIN, "outliers": "average:paper"}, **folder)
    assert compared(*other, *papers, number=cell).verdict == "reproduced"


def test_the_paper_s_lsun_is_lsun_resize():
    cell = number(7, metric="auroc", at={"detector": "odin", "outliers": "lsun"})
    at = {**ODIN, "outliers": "lsun_resize"}
    rows = seeds([0.82] * 3, evaluator="odin", metric="auroc", at=at)
    assert compared(*rows, number=cell).measured.n == 3


def test_fgsm_is_compared_with_the_authors_float32_gradient():
    cell = number(5, dataset="cifar100", sd_dropout=False)
    at = {"variant": "authors", "constants": "paper", "temperature": 1.0, "epsilon": 0.2}
    folder = {"evaluator": "fgsm", "metric": "fgsm_accuracy"}
    stable = seeds([0.2] * 3, at={**at, "gradient": "stable"}, **folder)
    plain = seeds([0.379] * 3, at={**at, "gradient": "float32"}, **folder)
    assert compared(*stable, *plain, number=cell).measured.mean == pytest.approx(0.379)


def test_a_substitute_fills_its_cell_and_is_listed_as_a_deviation():
    small = Recipe(dataset="digits", arch="small_cnn", epochs=2)
    substitutes = Substitutes({"cifar100": "digits"}, {"c0": [encode(Recipe())]})
    rows = seeds([0.9], small, dataset="digits", test_set="digits", data="digits: official")
    result = compared(*rows, number=CE, substitutes=substitutes)
    assert result.verdict == "not comparable"
    assert result.reasons[:2] == (
        "dataset digits, not cifar100",
        "arch small_cnn, not resnet18",
    )
    assert compared(*rows, number=SDD, substitutes=substitutes).measured.n == 0


def test_a_seed_that_was_measured_twice_counts_once():
    assert compared(*seeds([0.748] * 2), *seeds([0.748] * 2), number=CE).measured.n == 2
