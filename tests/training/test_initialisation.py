"""The authors' initial weights, and the recipes that use them."""

from __future__ import annotations

import math

import pytest
import torch

from sdd_eval.models.build import build
from sdd_eval.records import Card, ModelSpec, Recipe, decode, encode
from sdd_eval.training.methods.branch import branches
from sdd_eval.training.objective import initialise_as_authors
from sdd_eval.training.recipe import checkpoint_name, validated


def network(arch):
    torch.manual_seed(0)
    return build(ModelSpec(arch, 10, (0.5,) * 3, (0.2,) * 3, 32))


@pytest.mark.parametrize("arch", ["resnet18w16", "resnet10_s2"])
def test_convolutions_of_resnets_have_the_variance_of_fan_out(arch):
    model = network(arch)
    initialise_as_authors(model)
    for layer in model.modules():
        if isinstance(layer, torch.nn.Conv2d) and layer.weight.numel() > 5000:
            fan_out = layer.out_channels * math.prod(layer.kernel_size)
            assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.05)


def test_branches_of_byot_are_initialised_too():
    model = network("resnet18w16")
    parts = branches(model)
    before = parts["layer1"].bottleneck[0].weight.clone()
    initialise_as_authors(*parts.values())
    assert not torch.equal(parts["layer1"].bottleneck[0].weight, before)


def test_batch_norms_and_classifier_keep_the_default_initialisation():
    model = network("resnet18w16")
    before = {n: p.clone() for n, p in model.named_parameters() if p.dim() < 4}
    initialise_as_authors(model)
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters() if n in before)


def test_densenets_keep_the_default_initialisation():
    model = network("densenet_bc_100_12")
    before = {name: p.clone() for name, p in model.named_parameters()}
    initialise_as_authors(model)
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())


@pytest.mark.parametrize(
    ("dataset", "init", "resolved", "word"),
    [
        ("cifar100", "auto", "authors", ""),
        ("cifar100", "authors", "authors", ""),
        ("cifar100", "torch", "torch", "-inittorch"),
        ("digits", "auto", "torch", ""),
        ("digits", "authors", "authors", "-initauthors"),
    ],
)
def test_auto_depends_on_the_data_set_and_names_show_other_choices(dataset, init, resolved, word):
    recipe = Recipe(dataset=dataset, arch="resnet8", init=init)
    assert validated(recipe).init == resolved
    assert checkpoint_name(recipe) == f"{dataset}-resnet8-ce{word}-seed0"


def test_a_card_without_the_field_means_the_default_of_pytorch():
    card = Card("x", ModelSpec("resnet8", 2, (0.5,), (0.5,), 8), Recipe(), {}, "0" * 64)
    stored = encode(card)
    del stored["recipe"]["init"], stored["recipe"]["images_per_class"]
    assert decode(Card, stored).recipe.init == "torch"
