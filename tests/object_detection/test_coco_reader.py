"""Data sets in COCO's format: reading, batches and invalid files."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest

from sdd_eval.data.catalogue import dataset
from sdd_eval.errors import InputError
from sdd_eval.object_detection.batches import Loader


def objects_of(name, root, split="test"):
    return dataset(name, root, "object_detection").objects(split)


def rewritten(root, change):
    """Return the set with training annotations altered by `change`."""
    path = root / "shapes" / "annotations" / "instances_train2017.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return lambda: objects_of("shapes", root, "train")


def test_categories_count_from_0_in_the_order_of_their_ids(root):
    def backwards(content):
        content["categories"].reverse()

    result = rewritten(root, backwards)().annotations
    assert result.category_ids == (3, 7)
    assert result.class_names == ("kite", "boat")
    assert result.labels[result.objects_in(1)].tolist() == [1, 0]


def test_the_box_of_an_object_encloses_its_colour(root):
    data = objects_of("shapes", root, "train")
    (box,), (label,) = data.annotations.training_targets(0)
    left, top, right, bottom = box.astype(int)
    inside = data.pixels(0)[:, top:bottom, left:right]
    assert label == 0
    assert (inside[0] == 230).all()
    assert (data.pixels(0)[0] == 230).sum() == inside[0].size


def test_objects_are_assigned_to_images_in_any_order(root):
    def backwards(content):
        content["annotations"].reverse()

    result = rewritten(root, backwards)().annotations
    assert [result.boxes[result.objects_in(n)].shape[0] for n in range(6)] == [1, 2, 2, 0, 2, 2]
    assert sorted(result.boxes[result.objects_in(2)].tolist()) == [[20, 22, 1, 1], [30, 28, 28, 30]]


def test_crowds_and_empty_boxes_are_not_trained_on_but_empty_images_are(root):
    def flat(content):
        content["annotations"][0]["bbox"] = [8, 10, 24, 0]

    result = rewritten(root, flat)()
    assert len(result) == 6
    assert len(result.annotations.training_targets(0)[0]) == 0
    assert len(result.annotations.training_targets(3)[0]) == 0
    assert result.annotations.training_targets(4)[0].tolist() == [[6, 8, 36, 30]]
    assert result.annotations.crowd.sum() == 1


def test_a_box_beyond_the_edge_is_clipped_for_training_only(root):
    def large(content):
        content["annotations"][0]["bbox"] = [-4, 50, 200, 20]

    result = rewritten(root, large)().annotations
    assert result.training_targets(0)[0].tolist() == [[0, 50, 64, 64]]
    assert result.boxes[0].tolist() == [-4, 50, 200, 20]


def test_the_fingerprint_covers_pixels_and_annotations(root):
    before = objects_of("shapes", root, "train").fingerprint
    assert objects_of("shapes", root, "train").fingerprint == before

    def moved(content):
        content["annotations"][0]["bbox"][0] += 1

    annotated = rewritten(root, moved)().fingerprint
    image = root / "shapes" / "train2017" / f"{0:012}.png"
    image.write_bytes(image.read_bytes() + b"\0")
    assert len({before, annotated, objects_of("shapes", root, "train").fingerprint}) == 3


def test_a_flipped_image_has_flipped_boxes(root, quick):
    import torch

    data = objects_of("shapes", root, "train")
    seen = set()
    for epoch in range(4):
        for batch in Loader(data, 3, torch.device("cpu"), 0).epoch(settled(quick), epoch):
            for image, target in zip(batch.images, batch.targets, strict=True):
                for box, label in zip(target["boxes"], target["labels"], strict=True):
                    left, top, right, bottom = box.int().tolist()
                    colour = {1: 230, 2: 40}[int(label)] / 255
                    assert (image[0, top:bottom, left:right] == torch.tensor(colour)).all()
                    seen.add(tuple(box.tolist()))
    assert {(8, 10, 32, 30), (32, 10, 56, 30)} <= seen


def settled(recipe):
    import dataclasses

    return dataclasses.replace(recipe, seed=0)


def test_batches_do_not_depend_on_workers(root, quick):
    import torch

    data = objects_of("shapes", root, "train")
    alone, helped = (
        list(Loader(data, 3, torch.device("cpu"), workers).epoch(settled(quick), 1))
        for workers in (0, 2)
    )
    for one, other in zip(alone, helped, strict=True):
        torch.testing.assert_close(one.images, other.images)
        torch.testing.assert_close(one.targets, other.targets)


def box(value):
    return lambda content: content["annotations"][1].update(bbox=value)


WRONG = {
    "two entries of 'images' have the id 100": lambda c: c["images"][1].update(id=100),
    "annotation 1 refers to the unknown image 5": lambda c: c["annotations"][1].update(image_id=5),
    r"unknown category 9; known: 3, 7": lambda c: c["annotations"][1].update(category_id=9),
    "has a negative side": box([3, 3, -2, 4]),
    "of annotation 1 lies outside its image": box([70, 3, 5, 5]),
    "is not finite": box([float("nan"), 3, 5, 5]),
    r"Expected `array` of length 4, got 3 - at `\$\.annotations\[1\]\.bbox`": box([1, 2, 3]),
    r"missing required field `bbox` - at `\$\.annotations\[1\]`": lambda c: c["annotations"][1].pop(
        "bbox"
    ),
    r"`array` of length >= 1 - at `\$\.annotations`": lambda c: c.update(annotations=[]),
    "missing required field `categories`": lambda c: c.pop("categories"),
    r"000000000077.png is annotated but missing": lambda c: c["images"][1].update(
        file_name="000000000077.png"
    ),
}


@pytest.mark.parametrize("message", WRONG)
def test_invalid_annotations_are_named(message, root):
    with pytest.raises(InputError, match=message):
        rewritten(root, WRONG[message])()


def test_annotations_that_are_not_json_are_refused(root):
    (root / "shapes/annotations/instances_train2017.json").write_text('{"images": [')
    with pytest.raises(InputError, match=r"instances_train2017.json is not JSON"):
        objects_of("shapes", root, "train")


def test_an_invalid_image_or_one_of_another_size_is_named(root):
    from PIL import Image

    data = objects_of("shapes", root, "train")
    (data.folder / data.annotations.files[0]).write_bytes(b"no image")
    Image.new("RGB", (64, 32)).save(data.folder / data.annotations.files[1])
    with pytest.raises(InputError, match=r"000000000000.png as an image"):
        data.pixels(0)
    with pytest.raises(InputError, match="is 64 × 32 pixels, but annotated as 64 × 64"):
        data.pixels(1)


def test_an_unknown_data_set_lists_the_known_ones(root):
    with pytest.raises(InputError, match="did you mean 'shapes'"):
        objects_of("shape", root, "train")
    (root / "photos").mkdir()
    with pytest.raises(
        InputError, match="photos has no boxes of objects: it has no annotations/instances"
    ):
        objects_of("photos", root, "train")


def test_the_year_2017_is_preferred(root):
    folder = root / "shapes" / "annotations"
    other = copy.deepcopy(json.loads((folder / "instances_train2017.json").read_text()))
    other["images"] = other["images"][:1]
    (folder / "instances_train2014.json").write_text(json.dumps(other))
    assert len(objects_of("shapes", root, "train")) == 6
    (folder / "instances_train2017.json").rename(folder / "instances_train2018.json")
    with pytest.raises(InputError, match=r"must have one file instances_train\*.json"):
        objects_of("shapes", root, "train")


def test_boxes_are_read_exactly(root):
    def fraction(content):
        content["annotations"][0]["bbox"] = [8.1, 10.7, 24.3, 20.9]

    result = rewritten(root, fraction)().annotations
    assert result.boxes.dtype == np.float64
    assert result.boxes[0].tolist() == [8.1, 10.7, 24.3, 20.9]
