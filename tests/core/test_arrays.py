"""Arrays with named axes, coordinates and facts, in memory and in a file."""

from __future__ import annotations

import numpy as np
import pytest

from sdd_eval.arrays import Array, Arrays, joined
from sdd_eval.errors import InputError
from sdd_eval.store import StoredArrays, write_arrays

SETS = ("svhn", "../far v1.5", "a.b_c d", "Überraschung 中 %2E:/\\", "")
ARRAYS = Arrays(
    [
        Array("scores", np.arange(6.0).reshape(3, 2), ("images", "k"), labels={"k": (50, 200)}),
        *(Array("scores", np.full(n, 0.5), at={"outliers": name}) for n, name in enumerate(SETS)),
    ],
    temperature=np.float64(1.25),
    counts={"knn": {"dropped": np.int64(3)}},
    shape=(1, 2),
)


def test_a_stored_file_has_names_axes_labels_coordinates_and_facts(tmp_path):
    write_arrays(tmp_path / "arrays.npz", ARRAYS)
    stored = StoredArrays(tmp_path / "arrays.npz")
    for one, two in zip(ARRAYS.entries, stored.entries, strict=True):
        assert (one.name, one.axes, dict(one.at)) == (two.name, two.axes, dict(two.at))
        assert {k: list(v) for k, v in one.labels.items()} == two.labels
        np.testing.assert_array_equal(one.read(), two.read())
    assert stored.facts == ARRAYS.facts
    assert stored.facts == {"temperature": 1.25, "counts": {"knn": {"dropped": 3}}, "shape": [1, 2]}


def test_arrays_of_sets_of_different_sizes_are_found_by_their_coordinates():
    assert {name: len(scores) for name, scores in ARRAYS.along("scores", "outliers").items()} == {
        name: n for n, name in enumerate(SETS)
    }
    assert ARRAYS.coordinates("outliers") == list(SETS)
    far = ARRAYS.where(outliers="a.b_c d")
    assert far["scores"].tolist() == [0.5, 0.5]
    assert far.at(outliers="a.b_c d").coordinates("outliers") == ["a.b_c d"]
    assert far.facts == ARRAYS.facts


def test_as_a_mapping_it_has_the_arrays_without_coordinates():
    assert list(ARRAYS) == ["scores"]
    assert "scores" in ARRAYS
    assert ARRAYS["scores"].shape == (3, 2)
    assert ARRAYS.get("labels") is None
    with pytest.raises(KeyError, match="labels"):
        ARRAYS["labels"]


def test_arrays_with_equal_names_and_coordinates_or_wrong_axes_are_refused():
    twice = [Array("scores", np.ones(1)), Array("scores", np.ones(2))]
    with pytest.raises(ValueError, match="same name and coordinates"):
        Arrays(twice)
    with pytest.raises(ValueError, match=r"scores has axes images and shape \(2, 2\)"):
        Array("scores", np.ones((2, 2)))


def test_a_fact_is_json_without_nan():
    with pytest.raises(TypeError, match="is no JSON value"):
        Arrays(fact=object())
    with pytest.raises(ValueError, match="not JSON compliant"):
        Arrays(fact=float("nan"))


def test_batches_are_joined_along_the_images():
    batches = [Arrays([Array("labels", np.arange(n))]) for n in (2, 1)]
    assert joined(batches)["labels"].tolist() == [0, 1, 0]


def test_a_missing_file_is_an_error_on_access_only(tmp_path):
    stored = StoredArrays(tmp_path / "nowhere.npz")
    with pytest.raises(InputError, match=r"cannot read .*nowhere\.npz"):
        bool(stored)
