"""The authors' initial weights, and the recipes that use them."""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import ClassVar

import pytest
import torch
from safetensors.torch import load_file

from sdd_eval import plugins
from sdd_eval.models.build import build
from sdd_eval.records import Card, ModelSpec, Recipe, decode, encode
from sdd_eval.training.methods.branch import branches
from sdd_eval.training.methods.ce import CrossEntropy
from sdd_eval.training.objective import initialise_as_authors
from sdd_eval.training.recipe import checkpoint_name, validated
from sdd_eval.training.train import train

#: A training whose learning rate leaves the initial weights as they are.
UNMOVED = Recipe(dataset="tiny", arch="resnet8", epochs=1, batch_size=48, lr=1e-12)


@dataclasses.dataclass(frozen=True)
class CopiedTeacher(CrossEntropy):
    """Cross-entropy beside a frozen copy of the network; notes its weights in the first step."""

    seen: ClassVar[list] = []

    def parts(self, network):
        return {"teacher": copy.deepcopy(network).requires_grad_(False)}

    def losses(self, step):
        if not self.seen:
            networks = (step.parts["teacher"], step.network)
            self.seen.extend([copy.deepcopy(dict(n.named_parameters())) for n in networks])
        return super().losses(step)


@pytest.fixture
def seen(monkeypatch):
    """The weights of teacher and network in the first step of a training by `copied_teacher`."""

    class Point:
        value = "strange:CopiedTeacher"

        def load(self):
            return CopiedTeacher

    points = plugins.points

    def with_teacher(group):
        result = points(group)
        return {**result, "copied_teacher": Point()} if group == "methods" else result

    monkeypatch.setattr(plugins, "points", with_teacher)
    monkeypatch.setattr(CopiedTeacher, "seen", [])
    return CopiedTeacher.seen


def trained(data, folder, **changes):
    """Return the weights that a training of `UNMOVED` with these changes exports."""
    recipe = dataclasses.replace(UNMOVED, **changes)
    train(recipe, folder, name="net", data=lambda: data, device="cpu", threads=1)
    return load_file(folder / "net" / "weights.safetensors")


def relative_deviations(weights):
    """Return the standard deviations of large convolutions divided by those of Kaiming normal."""
    kernels = [t for t in weights.values() if t.dim() == 4 and t.numel() > 5000]
    assert kernels
    return [t.std().item() / math.sqrt(2 / (len(t) * t[0, 0].numel())) for t in kernels]


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


def test_a_training_starts_from_the_weights_of_the_authors_only_if_the_recipe_says_so(
    data, tmp_path
):
    authors = relative_deviations(trained(data, tmp_path / "authors", init="authors"))
    assert authors == pytest.approx([1] * len(authors), rel=0.05)
    of_torch = relative_deviations(trained(data, tmp_path / "torch", init="torch"))
    assert all(ratio < 0.8 for ratio in of_torch)


def test_trained_parts_are_initialised_as_the_network_and_drawn_after_it(data, tmp_path):
    alone = trained(data, tmp_path / "ce", init="authors")
    weights = trained(data, tmp_path / "dml", init="authors", method="dml")
    for name, values in alone.items():
        assert torch.allclose(weights[name], values, rtol=0, atol=1e-6), name


@pytest.mark.parametrize("init", ["authors", "torch"])
def test_a_teacher_copied_from_the_network_starts_equal_to_it(init, data, tmp_path, seen):
    trained(data, tmp_path, init=init, method="copied_teacher")
    teacher, student = seen
    assert all(torch.equal(teacher[name], student[name]) for name in student)
    assert (min(relative_deviations(teacher)) > 0.95) == (init == "authors")


def test_a_copied_teacher_has_the_weights_of_the_checkpoint_to_start_from(data, tmp_path, seen):
    start = trained(data, tmp_path / "start", seed=1, init="torch")
    path = str(tmp_path / "start" / "net")
    trained(data, tmp_path, init="authors", method="copied_teacher", start_from=path)
    for weights in seen:
        assert all(torch.equal(weights[name], start[name]) for name in weights)


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
