"""COCO and similar sets in the catalogue: partial sets, and scenes without a download."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from sdd_eval.cli import exit_code
from sdd_eval.data import catalogue
from sdd_eval.data.catalogue import list_datasets
from sdd_eval.data.install.add import add
from sdd_eval.data.install.verify import verify
from sdd_eval.data.provenance import record_verified
from sdd_eval.data.readers.coco import COCO
from sdd_eval.data.readers.digits import DIGIT_SCENES, DIGITS
from sdd_eval.errors import InputError

#: COCO as it would be if it had the images of the tests' small sets.
TINY = replace(COCO, published={"train": 6, "test": 6})


def objects_of(name, root, split="test"):
    return catalogue.dataset(name, root, "object_detection").objects(split)


def test_an_incomplete_coco_is_partial_in_both_splits(root, write_coco):
    write_coco(root, "coco")
    assert COCO.status(root).provenance == "partial: 6 of 5,000"
    assert COCO.load_objects(root, "train").provenance == "partial: 6 of 118,287"
    images = COCO.load(root, "train")
    assert (len(images), images.labels, images.image_size) == (6, None, 224)


def test_complete_coco_is_unverified_unless_unpacked_from_the_published_archives(root, write_coco):
    folder = write_coco(root, "coco")
    assert TINY.status(root).provenance == TINY.load(root).provenance == "unverified"
    record_verified(root, "coco", TINY.content(root), "md5")
    for split in ("train", "test"):
        assert TINY.load_objects(root, split).provenance == "official"
    assert TINY.status(root).provenance == "official"
    image = next((folder / "train2017").iterdir())
    image.write_bytes(image.read_bytes() + b"\0")
    assert TINY.status(root).provenance == "unverified"


def test_the_archives_of_coco_have_name_size_and_checksum():
    archives = {archive.filename: archive for archive in COCO.archives}
    assert set(archives) == {"train2017.zip", "val2017.zip", "annotations_trainval2017.zip"}
    assert all(
        len(item.md5) == 32 and item.size and item.folder == "coco" for item in COCO.archives
    )


def test_a_users_folder_is_linked_as_coco_and_verified(root, tmp_path, write_coco, capsys):
    folder = write_coco(tmp_path / "mine", "coco2017")
    assert add("coco", folder, root).images == 6
    assert (root / "coco").is_symlink()
    assert exit_code(["data", "check", "coco", "--data-root", str(root)]) == 1
    message = capsys.readouterr().out
    assert "test annotations   wrong    6 images, 9 objects, partial: 6 of 5,000" in message
    with pytest.raises(InputError, match="does not look like coco"):
        add("coco", folder / "train2017", tmp_path / "elsewhere")


def test_a_folder_in_cocos_layout_is_an_unlabelled_set(root, tmp_path, write_coco):
    add("boats", write_coco(tmp_path, "somewhere"), root)
    (row,) = [row for row in list_datasets(root) if row.name == "boats"]
    assert (row.images, row.provenance) == (6, "user's folder")
    assert catalogue.load_images("boats", root).class_names == ()
    assert objects_of("boats", root).annotations.class_names == ("kite", "boat")
    assert {f.verdict for f in verify("boats", root)} == {"ok"}


def test_relative_paths_and_data_roots_are_found(tmp_path, write_coco, write_images, monkeypatch):
    from pathlib import Path

    write_coco(tmp_path, "boats")
    write_images(tmp_path / "root" / "photos", ["a/1.png", "b/2.png"])
    monkeypatch.chdir(tmp_path)
    assert len(objects_of("./boats", Path("root"))) == 6
    assert len(objects_of("boats", Path("."))) == 6
    assert len(catalogue.load_images("photos", Path("root"))) == 2
    assert len(catalogue.load_images("root/photos", Path("elsewhere"))) == 2


def test_verify_names_broken_annotations_and_images(root, write_coco):
    folder = write_coco(root, "boats")
    image = sorted((folder / "train2017").iterdir())[2]
    image.write_bytes(b"no image")
    path = folder / "annotations" / "instances_val2017.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["image_id"] = 7
    path.write_text(json.dumps(content))
    wrong = {f.item: f.detail for f in verify("boats", root) if f.verdict == "wrong"}
    assert "annotation 0 refers to the unknown image 7" in wrong["test annotations"]
    assert image.name in wrong


def test_sets_without_boxes_and_absent_sets_are_refused_with_a_remedy(root):
    with pytest.raises(InputError, match=r"digits has no boxes of objects.*coco, digit_scenes"):
        objects_of("digits", root)
    with pytest.raises(InputError, match="`sdd-eval data get coco` downloads it"):
        objects_of("coco", root)
    with pytest.raises(InputError, match="did you mean 'digit_scenes'"):
        objects_of("digit_scene", root)


@pytest.mark.parametrize("split", ["train", "test"])
def test_every_box_of_a_scene_contains_its_digit(split, root):
    scenes, digits = DIGIT_SCENES.load_objects(root, split), DIGITS.load(root, split)
    annotations = scenes.annotations
    assert {len(annotations.boxes[annotations.objects_in(n)]) for n in range(len(scenes))} == {
        0,
        1,
        2,
        3,
        4,
    }
    for number in range(len(scenes)):
        pixels = scenes.pixels(number, 1)[0]
        rows = annotations.objects_in(number)
        for box, label in zip(
            annotations.boxes[rows].astype(int), annotations.labels[rows], strict=True
        ):
            left, top, side, _ = box.tolist()
            scale = side // 8
            small = pixels[top : top + side : scale, left : left + side : scale].astype(int)
            alike = digits.images[digits.labels == label][:, 0].astype(int)
            # bright pixels are the digit's; where it is black the noise below 48 shows
            assert (np.abs(np.maximum(alike, 48) - np.maximum(small, 48)).max((1, 2)) == 0).any()


def test_scenes_are_deterministic_in_grey_and_rgb(root):
    one, other = (DIGIT_SCENES.load_objects(root) for _ in range(2))
    assert one.fingerprint == other.fingerprint
    assert np.array_equal(one.pixels(3, 3), np.repeat(other.pixels(3, 1), 3, axis=0))
    assert one.fingerprint != DIGIT_SCENES.load_objects(root, "train").fingerprint
