"""A detector overfits a small data set that has the irregularities of real ones."""

from __future__ import annotations

import numpy as np
import pytest

from sdd_eval.evaluation import Request, evaluate_checkpoint
from sdd_eval.object_detection.evaluator import Detection
from sdd_eval.object_detection.recipe import DetectorRecipe
from sdd_eval.object_detection.train import train_detector


def objects(images=12):
    """Return images with two rectangles each, a one-pixel box, empty images and a crowd."""
    random = np.random.default_rng(5)
    result = []
    for number in range(images):
        tops, sides = random.integers(2, 30, 2), random.integers(14, 26, (2, 2))
        left, right = (
            (category, 32 * half + 3, top, width, height)
            for half, (category, top, (width, height)) in enumerate(
                zip((3, 7) if number % 2 else (7, 3), tops.tolist(), sides.tolist(), strict=True)
            )
        )
        result.append([left, right])
    result[2].append((7, 60, 60, 1, 1))
    result[3] = result[9] = []
    result[4] = [(3, 4, 6, 24, 20)]
    return result


@pytest.mark.slow
def test_a_detector_overfits_with_a_one_pixel_box_empty_images_and_a_crowd(
    tmp_path, write_coco, write_backbone
):
    write_coco(tmp_path, "shapes", objects())
    small = {"min_size": 64, "max_size": 64, "channels": 32, "regions": 64}
    recipe = DetectorRecipe(
        "shapes", epochs=60, batch_size=3, lr=0.006, trainable_layers=4, **small
    )
    backbone = write_backbone(tmp_path / "backbone", "resnet18w16")
    train_detector(backbone, recipe, tmp_path, data_root=tmp_path, name="detector", threads=1)
    request = Request(Detection(), tmp_path / "study", tmp_path, batch_size=4)
    run = evaluate_checkpoint(tmp_path / "detector", request).run
    result = {measurement.metric: measurement.value for measurement in run.measurements}
    assert result["map"] > 0.9, result
    assert result["map50"] >= result["map"]
    confident = run.arrays["score"] > 0.9
    assert not np.isin(run.arrays["image"][confident], (3, 9)).any(), "nothing is where nothing is"
