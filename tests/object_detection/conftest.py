"""A small data set in COCO's format, a backbone, and a trained detector."""

import pytest

from sdd_eval.object_detection.recipe import DetectorRecipe
from sdd_eval.object_detection.train import train_detector


@pytest.fixture
def root(tmp_path, write_coco):
    write_coco(tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture(scope="session")
def quick():
    """Return a recipe of two epochs of three steps, on small images with a small head."""
    small = {"min_size": 32, "max_size": 64, "channels": 8, "regions": 8}
    return DetectorRecipe(dataset="shapes", epochs=2, batch_size=2, lr=0.01, **small)


@pytest.fixture(scope="session")
def made(tmp_path_factory, write_coco, write_backbone, quick):
    """Return a folder with `data` and `checkpoints`, a `backbone` and a trained `detector`."""
    directory = tmp_path_factory.mktemp("made")
    write_coco(directory / "data")
    backbone = write_backbone(directory / "checkpoints" / "backbone", "resnet18w16")
    folder = directory / "checkpoints"
    train_detector(
        backbone, quick, folder, data_root=directory / "data", name="detector", threads=1
    )
    return directory
