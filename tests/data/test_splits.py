import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdd_eval.data.images import ArrayImages, ImageSet
from sdd_eval.data.splits import (
    first_of_each_class,
    subset_indices,
    training_split,
    validation_split,
)
from sdd_eval.errors import InputError
from sdd_eval.records import Recipe


def numbered(count=60, classes=4):
    """Return images whose pixels equal their index, with the index modulo the classes as label."""
    pixels = np.broadcast_to(
        np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 1, 4, 4)
    )
    names = tuple("abcd"[:classes])
    return ArrayImages(
        "tiny", pixels.copy(), np.arange(count) % classes, "f" * 64, "made here", names
    )


def numbers(images, indices=None):
    return [int(image[0, 0, 0]) for batch in images.batches(7, indices) for image in batch]


def test_the_splits_are_disjoint_and_cover_the_set():
    training, held = validation_split(numbered(), 20, seed=0)
    assert (len(training), len(held)) == (40, 20)
    assert sorted(numbers(training) + numbers(held)) == list(range(60))
    assert (training.name, held.name) == ("tiny", "tiny_validation")


@pytest.mark.parametrize("count", [8, 10, 43])
def test_the_validation_split_is_balanced_by_class(count):
    _, held = validation_split(numbered(), count, seed=0)
    counts = np.bincount(held.labels, minlength=4)
    assert counts.sum() == count
    assert counts.max() - counts.min() <= 1


def test_the_labels_stay_with_their_images():
    for part in validation_split(numbered(), 21, seed=3):
        assert isinstance(part, ImageSet)
        assert (np.array(numbers(part)) % 4 == part.labels).all()
        some = np.array([5, 2, 2])
        assert (np.array(numbers(part, some)) % 4 == part.labels[some]).all()
        assert (part.class_names, part.image_size, part.channels) == (("a", "b", "c", "d"), 4, 1)


def test_the_seed_determines_the_split_and_its_fingerprint():
    one, again, other = (validation_split(numbered(), 20, seed)[1] for seed in (0, 0, 1))
    assert numbers(one) == numbers(again)
    assert one.fingerprint == again.fingerprint
    assert set(numbers(one)) != set(numbers(other))
    training, held = validation_split(numbered(), 20, seed=0)
    assert len({training.fingerprint, held.fingerprint, other.fingerprint, "f" * 64}) == 4


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (60, "validation is 60, but tiny has 60 training images"),
        (57, "validation is 57, which leaves no training image of class [0-3] of tiny"),
    ],
)
def test_a_split_that_leaves_too_few_training_images_is_refused(count, message):
    with pytest.raises(InputError, match=message):
        validation_split(numbered(), count, seed=0)


def test_the_first_images_of_each_class_are_taken_in_the_order_of_the_set():
    part = first_of_each_class(numbered(), 3)
    assert numbers(part) == list(range(12))
    assert list(np.bincount(part.labels)) == [3, 3, 3, 3]
    assert part.fingerprint != first_of_each_class(numbered(), 2).fingerprint


def test_the_validation_split_does_not_reduce_images_per_class():
    training, held = training_split(numbered(), Recipe(images_per_class=5, validation=12))
    assert list(np.bincount(training.labels)) == [5, 5, 5, 5]
    assert len(held) == 12
    assert not set(numbers(training)) & set(numbers(held))


def test_a_class_with_too_few_images_is_refused():
    with pytest.raises(InputError, match=r"images_per_class is 16, but class 0 of tiny has 15"):
        first_of_each_class(numbered(), 16)


LABELS = st.lists(st.integers(0, 6), min_size=1, max_size=80).map(np.array)


@given(LABELS, st.integers(1, 80), st.integers(0, 5))
def test_subsets_are_as_balanced_as_the_class_sizes_allow(labels, limit, seed):
    chosen = subset_indices(len(labels), limit, labels=labels, seed=seed)
    counts = np.bincount(labels[chosen], minlength=7)
    available = np.bincount(labels, minlength=7)
    unfinished = counts[counts < available]
    if len(unfinished):
        assert counts.max() - unfinished.min() <= 1
    assert len(chosen) == min(limit, len(labels))


@given(LABELS, st.integers(1, 80), st.integers(1, 80), st.integers(0, 5), st.booleans())
def test_a_subset_is_contained_in_larger_ones(labels, one, other, seed, labelled):
    known = labels if labelled else None
    small = subset_indices(len(labels), min(one, other), labels=known, seed=seed)
    large = subset_indices(len(labels), max(one, other), labels=known, seed=seed)
    assert set(small) <= set(large)


@given(LABELS, st.integers(1, 80), st.integers(0, 5))
def test_rows_are_distinct_and_ascending(labels, limit, seed):
    chosen = subset_indices(len(labels), limit, labels=labels, seed=seed)
    assert (np.diff(chosen) > 0).all()
    assert 0 <= chosen.min() <= chosen.max() < len(labels)


def test_the_seed_determines_the_rows():
    first = subset_indices(1000, 50, seed=1)
    assert np.array_equal(first, subset_indices(1000, 50, seed=1))
    assert not np.array_equal(first, subset_indices(1000, 50, seed=2))


def test_without_a_limit_all_rows_are_selected():
    assert np.array_equal(subset_indices(7, None), np.arange(7))


@pytest.mark.parametrize("limit", [0, -3])
def test_a_limit_that_is_not_positive_is_refused(limit):
    with pytest.raises(InputError, match=f"--limit is {limit}"):
        subset_indices(7, limit)
