import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdd_eval.data.splits import subset_indices
from sdd_eval.errors import InputError

LABELS = st.lists(st.integers(0, 6), min_size=1, max_size=80).map(np.array)


@given(LABELS, st.integers(1, 80), st.integers(0, 5))
def test_classes_are_balanced_as_far_as_each_has_images(labels, limit, seed):
    chosen = subset_indices(len(labels), limit, labels=labels, seed=seed)
    counts = np.bincount(labels[chosen], minlength=7)
    available = np.bincount(labels, minlength=7)
    unfinished = counts[counts < available]
    if len(unfinished):
        assert counts.max() - unfinished.min() <= 1
    assert len(chosen) == min(limit, len(labels))


@given(LABELS, st.integers(1, 80), st.integers(1, 80), st.integers(0, 5), st.booleans())
def test_a_smaller_subset_lies_in_a_larger_one(labels, one, other, seed, labelled):
    known = labels if labelled else None
    small = subset_indices(len(labels), min(one, other), labels=known, seed=seed)
    large = subset_indices(len(labels), max(one, other), labels=known, seed=seed)
    assert set(small) <= set(large)


@given(LABELS, st.integers(1, 80), st.integers(0, 5))
def test_rows_are_distinct_and_ascending(labels, limit, seed):
    chosen = subset_indices(len(labels), limit, labels=labels, seed=seed)
    assert (np.diff(chosen) > 0).all()
    assert 0 <= chosen.min() <= chosen.max() < len(labels)


def test_a_seed_gives_the_same_rows_and_another_seed_others():
    first = subset_indices(1000, 50, seed=1)
    assert np.array_equal(first, subset_indices(1000, 50, seed=1))
    assert not np.array_equal(first, subset_indices(1000, 50, seed=2))


def test_without_a_limit_all_rows_are_taken():
    assert np.array_equal(subset_indices(7, None), np.arange(7))


@pytest.mark.parametrize("limit", [0, -3])
def test_a_limit_that_is_not_positive_is_refused(limit):
    with pytest.raises(InputError, match=f"--limit is {limit}"):
        subset_indices(7, limit)
