import dataclasses

import pytest

from sdd_eval.errors import InputError
from sdd_eval.records import Recipe
from sdd_eval.training.recipe import checkpoint_name, differences, method_of, validated
from sdd_eval.training.schedule import learning_rate


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("sd_dropout", -0.5, "sd_dropout is -0.5; it must be 0 or more"),
        ("sd_dropout", float("nan"), "sd_dropout is nan"),
        ("drop_rate", 1.0, "drop_rate is 1.0; it must be 0 or more and below 1"),
        ("drop_rate", -0.1, "drop_rate is -0.1"),
        ("temperature", 0.0, "temperature is 0.0; it must be above 0"),
        ("epochs", 0, "epochs is 0; it must be 1 or more"),
        ("batch_size", 0, "batch_size is 0"),
        ("lr", 0.0, "lr is 0.0"),
        ("momentum", 1.0, "momentum is 1.0"),
        ("weight_decay", -1e-4, "weight_decay is -0.0001"),
        ("hidden_layers", -1, "hidden_layers is -1"),
        ("milestones", (5, 3), r"milestones are \(5, 3\)"),
        ("milestones", (0, 3), "milestones are"),
        ("milestones", (100, 200), "the last milestone is 200; .* number of epochs, 200"),
        ("method", "cee", "unknown method 'cee'; did you mean 'ce'?"),
        ("direction", "backward", "unknown direction 'backward'"),
        ("precision", "fp16", "unknown precision 'fp16'"),
        ("augmentation", "flip", "unknown augmentation 'flip'"),
    ],
)
def test_an_invalid_recipe_is_refused_with_the_value_and_the_accepted_ones(field, value, message):
    with pytest.raises(InputError, match=message) as caught:
        validated(dataclasses.replace(Recipe(), **{field: value}))
    assert "\n" not in str(caught.value)


def test_the_default_is_the_recipe_of_the_paper():
    recipe = validated(Recipe())
    assert (recipe.epochs, recipe.batch_size, recipe.weight_decay) == (200, 128, 1e-4)
    rates = [learning_rate(recipe, epoch) for epoch in range(200)]
    assert rates == [0.1] * 100 + [0.01] * 50 + [0.001] * 50


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [(1, [1.0]), (2, [1.0, 0.1]), (4, [1.0, 1.0, 0.1, 0.01])],
)
def test_the_schedule_scales_with_the_epochs_and_starts_at_the_full_rate(epochs, expected):
    recipe = Recipe(epochs=epochs, lr=1.0)
    assert [learning_rate(recipe, epoch) for epoch in range(epochs)] == pytest.approx(expected)


def test_milestones_can_be_given():
    recipe = Recipe(epochs=4, lr=1.0, milestones=(1,))
    assert [learning_rate(recipe, epoch) for epoch in range(4)] == [1.0, 0.1, 0.1, 0.1]


@pytest.mark.parametrize(
    ("recipe", "name"),
    [
        (Recipe(), "cifar100-resnet18-ce-seed0"),
        (Recipe(sd_dropout=1.0, seed=3), "cifar100-resnet18-ce-sdd1-seed3"),
        (Recipe(method="cs-kd", sd_dropout=0.1), "cifar100-resnet18-cs_kd-sdd0.1-seed0"),
        (Recipe(arch="nets/mine.py:net"), "cifar100-nets_mine.py_net-ce-seed0"),
        (Recipe(epochs=15, batch_size=64, augmentation="none"), "cifar100-resnet18-ce-seed0"),
        (
            Recipe(method="dml", sd_dropout=0.1, method_options={"sdd": "plain"}, seed=1),
            "cifar100-resnet18-dml-sdd0.1-sddplain-seed1",
        ),
        (
            Recipe(drop_rate=0.3, direction="forward", hidden_layers=1, validation=5000),
            "cifar100-resnet18-ce-drop0.3-directionforward-hiddenlayers1-validation5000-seed0",
        ),
    ],
)
def test_a_checkpoint_is_named_after_its_recipe(recipe, name):
    assert checkpoint_name(recipe) == name


def test_an_unknown_option_of_a_method_is_refused():
    with pytest.raises(InputError, match="unknown option of method 'ce' 'smoothing'"):
        method_of(Recipe(method_options={"smoothing": "0.1"}))


def test_a_validated_recipe_contains_all_settings_of_its_method():
    given = validated(Recipe(method="cs-kd", method_options={"kd_weight": "2"}))
    assert given.method_options == {"kd_weight": 2.0, "kd_temperature": 4.0}
    assert validated(given) == given


@pytest.mark.parametrize(
    ("method", "option", "value", "message"),
    [
        ("ls", "smoothing", 1.0, "method ls: smoothing is 1.0; it must be 0 or more and below 1"),
        ("cs_kd", "kd_weight", -1, "method cs_kd: kd_weight is -1.0; it must be 0 or more"),
        (
            "dml",
            "kd_temperature",
            float("nan"),
            "method dml: kd_temperature is nan; it must be finite and above 0",
        ),
        ("dropout", "variant", "dagger", "is 'dagger', not one of standard, equal_steps"),
        ("byot", "kd_weigth", 1.0, "'kd_weigth'; did you mean 'kd_weight'?"),
    ],
)
def test_an_invalid_setting_of_a_method_is_refused(method, option, value, message):
    with pytest.raises(InputError) as caught:
        validated(Recipe(method=method, method_options={option: value}))
    assert message in str(caught.value)


def test_several_views_require_an_augmentation():
    with pytest.raises(InputError, match=r"method ddgsd .* 2 augmented views .* choose crop or"):
        validated(Recipe(method="ddgsd", augmentation="none"))
    assert validated(Recipe(method="ddgsd", augmentation="crop"))
    assert validated(Recipe(method="byot", augmentation="none"))


def test_differences_between_recipes_are_listed_by_field():
    assert differences(Recipe(seed=1), Recipe(lr=0.2)) == {"seed": (1, 0), "lr": (0.1, 0.2)}
    assert not differences(Recipe(), Recipe())
