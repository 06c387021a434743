"""Schedules, optimisers, averaged weights and validation during training; their defaults."""

import csv
import dataclasses

import pytest
import torch
from safetensors.torch import load_file

from sdd_eval.errors import InputError
from sdd_eval.models.build import build
from sdd_eval.records import Card, ModelSpec, Recipe, decode, encode
from sdd_eval.training.exported import ExportedWeights
from sdd_eval.training.optimiser import optimiser_of, update
from sdd_eval.training.recipe import checkpoint_name, validated
from sdd_eval.training.schedule import learning_rate
from sdd_eval.training.train import train
from sdd_eval.training_options import TrainingOptions

SPEC = ModelSpec("small_cnn", 3, (0.4,), (0.25,), 8)


def rates(recipe, steps):
    return [
        learning_rate(recipe, epoch, step, steps)
        for epoch in range(recipe.epochs)
        for step in range(steps)
    ]


def rates_of_torch(scheduler_of, lr, count):
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr, 0.9)
    scheduler = scheduler_of(optimiser)
    rates = []
    for _ in range(count):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return rates


SCHEDULERS = torch.optim.lr_scheduler


@pytest.mark.parametrize(
    ("settings", "scheduler_of"),
    [
        (
            {"milestones": (1, 3), "lr_divisor": 5.0},
            lambda o: SCHEDULERS.MultiStepLR(o, [7, 21], gamma=0.2),
        ),
        ({"schedule": "cosine"}, lambda o: SCHEDULERS.CosineAnnealingLR(o, 28)),
        (
            {"schedule": "one_cycle"},
            lambda o: SCHEDULERS.OneCycleLR(o, 0.2, total_steps=28, cycle_momentum=False),
        ),
        (
            {"milestones": (3,), "warmup_epochs": 2},
            lambda o: SCHEDULERS.ChainedScheduler(
                [SCHEDULERS.LinearLR(o, 1 / 14, 1.0, 13), SCHEDULERS.MultiStepLR(o, [21])]
            ),
        ),
    ],
)
def test_schedules_are_those_of_torch_in_closed_form(settings, scheduler_of):
    recipe = validated(Recipe(epochs=4, lr=0.2, **settings))
    assert rates(recipe, 7) == pytest.approx(rates_of_torch(scheduler_of, 0.2, 28), rel=1e-9)


def test_a_cosine_begins_after_the_warm_up_at_the_full_rate():
    recipe = Recipe(epochs=4, lr=0.2, schedule="cosine", warmup_epochs=1)
    curve = rates(recipe, 4)
    assert curve[:4] == pytest.approx([0.05, 0.1, 0.15, 0.2])
    assert curve[4] == pytest.approx(0.2)
    assert curve[10] == pytest.approx(0.1)
    assert curve[-1] < 0.01


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_one_cycle_of_very_few_steps_stays_finite_and_below_the_largest_rate(steps):
    curve = rates(Recipe(epochs=1, lr=0.2, schedule="one_cycle"), steps)
    assert all(0 < rate <= 0.2 for rate in curve)


def test_norms_and_biases_have_no_weight_decay_if_only_weights_have():
    network = build(SPEC)
    optimiser = optimiser_of(Recipe(weight_decay_on="weights"), network, fused=None)
    decayed, exempt = optimiser.param_groups
    assert (decayed["weight_decay"], exempt["weight_decay"]) == (1e-4, 0.0)
    assert {p.ndim for p in exempt["params"]} == {1}
    assert len(decayed["params"]) + len(exempt["params"]) == len(list(network.parameters()))


def test_the_default_optimiser_is_that_of_the_paper():
    optimiser = optimiser_of(Recipe(), build(SPEC), fused=None)
    (group,) = optimiser.param_groups
    names = ("momentum", "weight_decay", "nesterov", "dampening")
    assert [group[name] for name in names] == [0.9, 1e-4, False, 0]


def test_adamw_and_nesterov_are_those_of_torch():
    adamw = optimiser_of(Recipe(optimiser="adamw", lr=1e-3), build(SPEC), fused=None)
    assert isinstance(adamw, torch.optim.AdamW)
    assert adamw.param_groups[0]["betas"] == (0.9, 0.999)
    assert optimiser_of(Recipe(nesterov=True), build(SPEC), fused=None).defaults["nesterov"]


def test_the_gradient_is_scaled_down_to_the_largest_norm_and_not_up():
    weight = torch.zeros(4, requires_grad=True)
    optimiser = torch.optim.SGD([weight], 1.0)
    for length, expected in ((10.0, 2.0), (1.0, 1.0)):
        before = weight.detach().clone()
        weight.grad = torch.full((4,), length / 2)
        update(optimiser, 1.0, 2.0)
        assert (weight - before).norm().item() == pytest.approx(expected, rel=1e-5)


def test_the_average_follows_weights_and_batch_statistics_from_the_first_step_on():
    network = build(SPEC).train()
    exported = ExportedWeights(network, Recipe(ema_decay=0.75))
    seen = []
    for step in range(3):
        with torch.no_grad():
            for value in network.state_dict().values():
                value += step + 1
        exported.update()
        seen.append({name: v.clone().double() for name, v in network.state_dict().items()})
    first, second, third = seen
    average, epoch = exported.export()
    assert epoch is None
    for name, value in average.state_dict().items():
        expected = 0.75 * (0.75 * first[name] + 0.25 * second[name]) + 0.25 * third[name]
        if value.is_floating_point():
            torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=1e-6)


def trained(recipe, data, folder, **options):
    return train(
        recipe, folder.parent, name=folder.name, data=lambda: data,
        device="cpu", threads=1, **options,
    )  # fmt: skip


def history(folder):
    with (folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [
        {k: v for k, v in row.items() if k not in ("seconds", "images_per_second")} for row in rows
    ]


@pytest.fixture
def validating(recipe):
    return dataclasses.replace(recipe, validation=24, validate_every=2, epochs=5)


def test_validation_accuracy_and_nll_are_in_the_history_every_n_epochs_and_after_the_last(
    validating, data, tmp_path
):
    card = trained(validating, data, tmp_path / "net")
    rows = history(tmp_path / "net")
    assert [row["epoch"] for row in rows if row["validation_nll"]] == ["2", "4", "5"]
    for name in ("validation_accuracy", "validation_nll"):
        assert float(rows[-1][name]) == pytest.approx(card.metrics[name], rel=1e-5)


def test_validating_changes_no_weight(validating, data, tmp_path):
    trained(validating, data, tmp_path / "one")
    trained(dataclasses.replace(validating, validate_every=0), data, tmp_path / "other")
    one, other = (tmp_path / n / "weights.safetensors" for n in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()


def test_the_best_epoch_is_exported_with_its_losses(validating, data, tmp_path):
    recipe = dataclasses.replace(validating, validate_every=1, keep="best", lr=0.3, epochs=6)
    card = trained(recipe, data, tmp_path / "net")
    rows = history(tmp_path / "net")
    accuracies = [float(row["validation_accuracy"]) for row in rows]
    best = accuracies.index(max(accuracies))
    assert 0 < best < 5, "the recipe of this test must not be best at an end"
    assert card.metrics["best_epoch"] == best + 1
    assert card.metrics["validation_accuracy"] == pytest.approx(accuracies[best], rel=1e-5)
    assert card.metrics["loss"] == pytest.approx(float(rows[best]["loss"]), rel=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {"schedule": "cosine", "optimiser": "adamw", "lr": 0.003, "warmup_epochs": 1},
        {"schedule": "one_cycle", "nesterov": True, "weight_decay_on": "weights", "clip_norm": 0.5},
        {"ema_decay": 0.9, "validation": 24, "validate_every": 1, "keep": "best"},
    ],
)
def test_a_training_resumed_after_an_epoch_ends_in_the_same_weights_and_history(
    settings, recipe, data, tmp_path
):
    recipe = dataclasses.replace(recipe, **settings)
    trained(recipe, data, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        trained(recipe, data, tmp_path / "resumed", progress=Interrupter())
    assert (tmp_path / "resumed" / "state.pt").exists()
    trained(recipe, data, tmp_path / "resumed")
    one, other = (tmp_path / name / "weights.safetensors" for name in ("whole", "resumed"))
    assert one.read_bytes() == other.read_bytes()
    assert history(tmp_path / "whole") == history(tmp_path / "resumed")


class Interrupter:
    """Progress that is interrupted in the third epoch."""

    epochs = 0

    def start(self, label, total):
        pass

    def advance(self, units=1, note=""):
        if self.epochs == 2:
            raise KeyboardInterrupt
        self.epochs += bool(note)


def test_the_averaged_weights_are_exported_and_not_the_last_ones(recipe, data, tmp_path):
    trained(dataclasses.replace(recipe, ema_decay=0.9), data, tmp_path / "average")
    trained(recipe, data, tmp_path / "last")
    average, last = (load_file(tmp_path / n / "weights.safetensors") for n in ("average", "last"))
    assert average.keys() == last.keys()
    assert not torch.equal(average["classifier.weight"], last["classifier.weight"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"schedule": "cosine", "milestones": (5,)}, "schedule cosine has no milestones"),
        ({"schedule": "one_cycle", "lr_divisor": 5.0}, "schedule one_cycle has no lr_divisor"),
        ({"schedule": "one_cycle", "warmup_epochs": 5}, "has a warm-up of its own"),
        ({"epochs": 5, "warmup_epochs": 5}, "warmup_epochs is 5; it must be below epochs, 5"),
        ({"optimiser": "adamw", "nesterov": True}, "nesterov is for optimiser sgd, not adamw"),
        ({"momentum": 0.0, "nesterov": True}, "nesterov needs a momentum above 0"),
        ({"validate_every": 1}, "validate_every needs held-out training images"),
        ({"validation": 10, "keep": "best"}, "set validation and validate_every"),
        ({"clip_norm": 0.0}, "clip_norm is 0.0; it must be above 0"),
        ({"ema_decay": 1.0}, "ema_decay is 1.0"),
        ({"schedule": "linear"}, "unknown schedule 'linear'"),
    ],
)
def test_settings_that_contradict_each_other_are_refused_with_the_reason(settings, message):
    with pytest.raises(InputError, match=message):
        validated(Recipe(**settings))


def test_a_name_has_every_setting_that_differs_from_its_default():
    recipe = Recipe(schedule="cosine", nesterov=True, ema_decay=0.999, validation=100)
    assert checkpoint_name(recipe) == (
        "cifar100-resnet18-ce-validation100-schedulecosine-nesterov-emadecay0.999-seed0"
    )
    assert checkpoint_name(Recipe()) == "cifar100-resnet18-ce-seed0"


def test_a_card_of_before_is_read_with_the_defaults():
    card = encode(Card("net", SPEC, Recipe(lr=0.2), {}, "0" * 64))
    for field in dataclasses.fields(TrainingOptions):
        del card["recipe"][field.name]
    assert decode(Card, card).recipe == Recipe(lr=0.2)
