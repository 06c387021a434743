"""Average precision from arrays equals pycocotools' from files."""

from __future__ import annotations

import contextlib
import io
import json
import sys

import numpy as np
import pytest

from sdd_eval.errors import InputError
from sdd_eval.object_detection.evaluator import Detection, average_precision


def arrays(seed=0, images=30, crowd=0.2):
    """Return objects of many sizes in three categories, and detections near most of them."""
    random = np.random.default_rng(seed)
    count = 3 * images
    corner = random.uniform(0, 300, (count, 2))
    sides = random.choice([1, 8, 50, 150], (count, 1)) * random.uniform(1, 1.5, (count, 2))
    box = np.hstack([corner, sides])
    image = np.sort(random.integers(0, images, count))
    label = random.integers(0, 3, count)
    result = random.random(count) < 0.8
    moved = box + random.normal(0, 0.05, box.shape) * sides.repeat(2, axis=1)
    return {
        "row": np.arange(images),
        "object_image": image,
        "object_box": box,
        "object_label": label,
        "object_crowd": random.random(count) < crowd,
        "object_area": 0.7 * sides.prod(axis=1),
        "image": image[result],
        "box": moved[result].astype(np.float32),
        "label": np.where(random.random(count) < 0.9, label, (label + 1) % 3)[result],
        "score": random.random(count)[result].astype(np.float32),
    }


def by_files(arrays, folder):
    """Return the metrics of pycocotools from files, as in its example."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    columns = ("image", "box", "label", "crowd", "area")
    objects = zip(*(arrays[f"object_{name}"].tolist() for name in columns), strict=True)
    truth = {
        "images": [{"id": 40 + int(n)} for n in arrays["row"]],
        "categories": [{"id": 11 * n} for n in (1, 2, 3)],
        "annotations": [
            {"id": 900 + n, "image_id": 40 + i, "bbox": b, "category_id": 11 * (c + 1)}
            | {"iscrowd": int(crowd), "area": area}
            for n, (i, b, c, crowd, area) in enumerate(objects)
        ],
    }
    output = zip(
        *(arrays[name].tolist() for name in ("image", "box", "label", "score")), strict=True
    )
    results = [
        {"image_id": 40 + i, "bbox": b, "category_id": 11 * (c + 1), "score": s}
        for i, b, c, s in output
    ]
    (folder / "truth.json").write_text(json.dumps(truth))
    (folder / "results.json").write_text(json.dumps(results))
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(folder / "truth.json"))
        theirs = COCOeval(coco, coco.loadRes(str(folder / "results.json")), "bbox")
        theirs.evaluate()
        theirs.accumulate()
        theirs.summarize()
    return theirs.stats[:6].tolist()


@pytest.mark.parametrize("seed", [0, 1])
def test_arrays_and_files_give_the_same_numbers(seed, tmp_path):
    result = arrays(seed)
    ours = average_precision(result)
    assert list(ours) == ["map", "map50", "map75", "map_small", "map_medium", "map_large"]
    assert list(ours.values()) == pytest.approx(by_files(result, tmp_path), abs=1e-12)
    assert 0.1 < ours["map"] < ours["map50"] < 0.9


def test_a_detection_in_a_crowd_is_ignored():
    result = arrays()
    result["object_crowd"][:] = False
    perfect = {
        **result,
        **{name: result[f"object_{name}"] for name in ("image", "box", "label")},
        "score": np.linspace(0.5, 1, len(result["object_image"])),
    }
    assert average_precision(perfect)["map"] == pytest.approx(1)
    perfect["object_crowd"][:20] = True
    assert average_precision(perfect)["map"] == pytest.approx(1)


def test_a_box_20_percent_too_wide_counts_up_to_an_iou_of_five_sixths():
    result = arrays(crowd=0)
    wide = result["object_box"] * [1, 1, 1.2, 1]
    wide = {**result, "image": result["object_image"], "box": wide, "label": result["object_label"]}
    wide["score"] = np.linspace(0.5, 1, len(wide["image"]))
    # .50, .55 … .80 are seven of ten thresholds.
    assert average_precision(wide)["map"] == pytest.approx(0.7, abs=0.02)


def test_a_detector_without_detections_has_map_0():
    result = arrays()
    nothing = {name: result[name][:0] for name in ("image", "box", "label", "score")}
    assert average_precision({**result, **nothing})["map"] == 0


def test_a_size_without_objects_has_no_number():
    result = arrays()
    result["object_area"][:] = 100
    assert "map_large" not in average_precision(result)


def test_every_measurement_has_protocol_and_unit():
    for measured in Detection().score(arrays()):
        assert measured.protocol.text
        assert measured.unit == "fraction"


def test_images_without_objects_are_refused():
    result = arrays()
    result["object_crowd"][:] = True
    with pytest.raises(InputError, match="none of the 30 images has an annotated object"):
        average_precision(result)


def test_without_pycocotools_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools.cocoeval", None)
    with pytest.raises(InputError, match=r"pip install 'sdd-eval\[detection\]'"):
        average_precision(arrays())
