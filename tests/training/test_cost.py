"""Memory and parameters of methods are exact; rates are only checked to be positive."""

from __future__ import annotations

from sdd_eval.records import ModelSpec, Recipe
from sdd_eval.training.analysis.cost import measure_costs

SPEC = ModelSpec("resnet8", 10, (0.5,) * 3, (0.25,) * 3, 16)


def of(method, **fields):
    recipe = Recipe(method=method, arch="resnet8", batch_size=8, **fields)
    (result,) = measure_costs([recipe], SPEC, steps=1, turns=1)
    return result


def test_a_second_network_doubles_parameters_and_memory_but_is_not_exported():
    one, two = of("ce"), of("dml")
    assert two.trained_parameters == 2 * one.trained_parameters
    assert two.exported_parameters == one.exported_parameters == one.trained_parameters
    assert 1.95 < two.memory / one.memory < 2.05
    assert min(one.images_per_second, two.images_per_second) > 0


def test_two_views_double_only_the_activations():
    one, two = of("ce"), of("ddgsd")
    weights = 3 * 4 * one.trained_parameters
    assert 1.95 < (two.memory - weights) / (one.memory - weights) < 2.05


def test_sd_dropout_needs_little_more_memory_than_cross_entropy():
    plain, term = of("ce"), of("ce", sd_dropout=1.0)
    assert plain.memory < term.memory < 1.1 * plain.memory
    assert plain.trained_parameters == term.trained_parameters


def test_a_batch_of_twice_the_size_doubles_the_activations():
    small = of("ce")
    (large,) = measure_costs([Recipe(arch="resnet8", batch_size=16)], SPEC, steps=1, turns=1)
    weights = 3 * 4 * small.trained_parameters
    assert 1.95 < (large.memory - weights) / (small.memory - weights) < 2.05
    assert large.memory_is == "kept by a step"
