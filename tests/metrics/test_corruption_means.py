"""Means over corruptions, and only over complete sets of them."""

import pytest

from sdd_eval.corruptions import FIFTEEN, NINETEEN
from sdd_eval.errors import InputError
from sdd_eval.metrics.corruption import (
    mean_corruption_accuracy,
    mean_per_corruption,
)


def cells(corruptions):
    return {
        (corruption, severity): 1 - index / 20 - severity / 100
        for index, corruption in enumerate(corruptions)
        for severity in (1, 2, 3, 4, 5)
    }


def test_the_mean_over_fifteen_is_that_of_seventy_five_cells():
    values = cells(FIFTEEN)
    found = mean_corruption_accuracy(mean_per_corruption(values))
    assert found == pytest.approx(sum(values.values()) / 75, abs=1e-12)


def test_the_mean_over_fifteen_ignores_the_four_extra_corruptions():
    with_extra = mean_per_corruption(cells(NINETEEN))
    assert mean_corruption_accuracy(with_extra) == mean_corruption_accuracy(
        mean_per_corruption(cells(FIFTEEN))
    )
    assert mean_corruption_accuracy(with_extra, NINETEEN) != mean_corruption_accuracy(with_extra)


def test_there_is_no_mean_over_an_incomplete_set():
    means = mean_per_corruption(cells(FIFTEEN[:-1]))
    assert mean_corruption_accuracy(means) is None
    assert mean_corruption_accuracy(mean_per_corruption(cells(FIFTEEN)), NINETEEN) is None


def test_a_corruption_without_one_of_its_severities_is_refused():
    values = cells(("fog",))
    del values["fog", 3]
    with pytest.raises(InputError, match="fog lacks severity 3"):
        mean_per_corruption(values)
