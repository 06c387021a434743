"""A data set of 96 images of 8 × 8 pixels in three classes, learned in a few epochs."""

import numpy as np
import pytest

from sdd_eval.data.images import ArrayImages
from sdd_eval.records import Recipe
from sdd_eval.training.data.training_data import TrainingData


def _images(count, seed):
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    pixels = random.integers(0, 120, (count, 1, 8, 8))
    pixels[labels == 1, :, :4] += 100
    pixels[labels == 2, :, :, ::2] += 100
    order = random.permutation(count)
    return ArrayImages(
        "tiny", pixels[order].astype(np.uint8), labels[order], f"{seed:064x}", "made here"
    )


@pytest.fixture(scope="session")
def data():
    return TrainingData(_images(96, 0), _images(60, 1), (0.4,), (0.25,))


@pytest.fixture
def recipe():
    return Recipe(
        dataset="tiny", arch="small_cnn", epochs=3, batch_size=20, lr=0.05, sd_dropout=0.5
    )
