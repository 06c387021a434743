"""Which numbers are labels: whole ones from 0, and floating-point ones only from some files."""

import numpy as np
import pytest

from sdd_eval.data.images import class_indices, from_arrays
from sdd_eval.errors import InputError


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 0.5, 1], "the label of image 1 is 0.5, not a whole number from 0 to 999,999"),
        ([0, float("nan"), 1], "the label of image 1 is nan"),
        ([0, -1, 1], "the label of image 1 is -1"),
        ([0, 10**12, 1], "the label of image 1 is 1000000000000"),
        (np.array([0, 2**64 - 1, 1], np.uint64), "the label of image 1 is 18446744073709551615"),
        ([1j, 0, 1], r"its labels are complex128 \(3,\), not 3 class indices"),
        ([True, False, True], "its labels are bool"),
        (["a", "b", "c"], "its labels are <U1"),
        ([[0], [1, 2], 1], "the labels of set are not an array"),
    ],
)
def test_labels_that_are_no_class_indices_are_refused(labels, message):
    with pytest.raises(InputError, match=message):
        class_indices(labels, 3, "set", floats=True)
    with pytest.raises(InputError):
        from_arrays(np.zeros((3, 4, 4), np.uint8), labels)


def test_whole_numbers_are_labels_floating_point_ones_only_where_a_file_has_no_others():
    import torch

    for values in ([2, 0], torch.tensor([2.0, 0.0], requires_grad=True), np.uint8([2, 0])):
        labels = class_indices(values, 2, "set", floats=True)
        assert (labels.tolist(), labels.dtype) == ([2, 0], np.int64)
    with pytest.raises(InputError, match=r"its labels are float64 \(2,\), not 2 class indices"):
        class_indices([2.0, 0.0], 2, "set")
    assert class_indices([[3], [1]], 2, "set", first=1).tolist() == [2, 0]
