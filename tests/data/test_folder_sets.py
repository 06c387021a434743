import numpy as np
import pytest
import torch
from PIL import Image

from sdd_eval.data.catalogue import load_images
from sdd_eval.data.provenance import record_verified
from sdd_eval.data.readers.folders import DTD, IMAGENET_RESIZE, ISUN, LSUN_CROP, LSUN_RESIZE
from sdd_eval.errors import InputError


def pixels_of(images):
    return torch.cat(list(images.batches(4))).numpy()


def test_dtd_has_classes_and_skips_hidden_files(root, write_images):
    folder = write_images(root / "dtd" / "images", ["banded/a.jpg", "dotted/b.jpg", "dotted/c.JPG"])
    (folder / "dotted" / "._b.jpg").write_bytes(b"resource fork")
    (root / "dtd" / "labels").mkdir()
    images = DTD.load(root)
    assert images.files == ("banded/a.jpg", "dotted/b.jpg", "dotted/c.JPG")
    assert images.class_names == ("banded", "dotted")
    assert images.labels.tolist() == [0, 1, 1]
    assert images.provenance == "partial: 3 of 5,640"
    assert pixels_of(images).shape == (3, 3, 32, 32)


@pytest.mark.parametrize(
    ("reader", "inner"),
    [
        (LSUN_RESIZE, "LSUN_resize/LSUN_resize"),
        (LSUN_CROP, "LSUN/test"),
        (ISUN, "iSUN/iSUN_patches"),
        (IMAGENET_RESIZE, "Imagenet_resize/Imagenet_resize"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_odins_sets_are_found_below_wrapper_folders(root, write_images, reader, inner):
    write_images(root / inner, ["1.png", "0.png"], size=(36, 36))
    images = reader.load(root)
    assert images.files == ("0.png", "1.png")
    assert images.labels is None
    assert reader.status(root).images == 2
    assert pixels_of(images).shape == (2, 3, 32, 32)


def test_the_crops_of_lsun_are_cropped_and_not_resized(root):
    array = np.random.default_rng(0).integers(0, 256, (36, 36, 3), dtype=np.uint8)
    (root / "LSUN" / "test").mkdir(parents=True)
    Image.fromarray(array).save(root / "LSUN" / "test" / "0.png")
    assert np.array_equal(pixels_of(LSUN_CROP.load(root))[0], array[2:34, 2:34].transpose(2, 0, 1))
    assert pixels_of(LSUN_CROP.load(root, image_size=64)).shape == (1, 3, 64, 64)


def test_a_set_without_checksums_is_official_only_if_unpacked_from_its_archive(root, write_images):
    reader = type(ISUN)("isun", "", "iSUN", published={"test": 2}, side=32)
    write_images(root / "iSUN" / "iSUN_patches", ["0.png", "1.png"])
    assert reader.load(root).provenance == "unverified"
    record_verified(root, "isun", reader.content(root), "md5")
    assert reader.load(root).provenance == reader.status(root).provenance == "official"
    write_images(root / "iSUN" / "iSUN_patches", ["1.png"])
    assert reader.status(root).provenance == "unverified"
    assert reader.load(root).provenance == "unverified"


def test_any_folder_is_a_set_with_its_own_name(root, write_images):
    write_images(root / "holiday photos", ["b.png", "a.png"], size=(50, 40))
    images = load_images("holiday photos", root)
    assert (images.name, images.provenance, len(images)) == ("holiday photos", "user's folder", 2)
    assert (images.image_size, images.channels) == (40, 3)
    assert load_images("holiday photos", root, image_size=8, channels=1).image_size == 8


def test_a_folder_is_found_by_path(tmp_path, root, write_images):
    folder = write_images(tmp_path / "elsewhere" / "mine", ["a.png"])
    assert load_images(str(folder), root).name == "mine"
    assert load_images(str(folder), root).fingerprint == load_images(f"{folder}/", root).fingerprint


def test_the_short_side_is_resized_and_the_centre_cropped(root):
    array = np.zeros((40, 80, 3), dtype=np.uint8)
    array[:, 20:60] = 200
    (root / "set").mkdir()
    Image.fromarray(array).save(root / "set" / "a.png")
    assert (pixels_of(load_images("set", root, image_size=20))[..., 1:-1] == 200).all()


def test_grey_files_are_a_grey_set_unless_rgb_is_requested(root, write_images):
    write_images(root / "set", ["a.png"], mode="L")
    assert load_images("set", root).channels == 1
    colour = pixels_of(load_images("set", root, channels=3))
    assert (colour[:, 0] == colour[:, 2]).all()


def test_both_splits_have_the_classes_of_the_training_split(root, write_images):
    write_images(root / "set", ["train/cat/a.png", "train/dog/b.png", "train/emu/c.png"])
    write_images(root / "set", ["val/emu/d.png", "val/cat/e.png"])
    train, test = (load_images("set", root, split) for split in ("train", "test"))
    assert train.class_names == test.class_names == ("cat", "dog", "emu")
    assert test.labels.tolist() == [0, 2]


def test_a_test_class_without_training_images_is_refused(root, write_images):
    write_images(root / "set", ["train/cat/a.png", "train/dog/b.png", "test/emu/c.png"])
    with pytest.raises(InputError, match="the class 'emu', which train/ does not have"):
        load_images("set", root)


def test_a_folder_without_train_has_no_training_split(root, write_images):
    write_images(root / "set", ["a.png"])
    with pytest.raises(InputError, match="set has no split 'train', only test"):
        load_images("set", root, "train")


def test_an_empty_folder_is_an_error(root):
    (root / "nothing").mkdir()
    with pytest.raises(InputError, match="nothing contains no images"):
        load_images("nothing", root)


def test_a_broken_image_in_a_folder_is_named(root, write_images):
    write_images(root / "set", ["a.png", "b.png"])
    whole = (root / "set" / "a.png").read_bytes()
    (root / "set" / "b.png").write_bytes(whole[:60])
    images = load_images("set", root, image_size=8)
    with pytest.raises(InputError, match=r"cannot read .*set/b\.png as an image"):
        pixels_of(images)


def test_an_absent_set_names_the_download_command(root):
    assert DTD.status(root).provenance == "absent"
    with pytest.raises(InputError, match="`sdd-eval data get dtd`"):
        DTD.load(root)


@pytest.mark.parametrize("name", ["train", "test"])
def test_a_class_may_have_the_name_of_a_split(root, write_images, name):
    folder = write_images(root / "vehicles", ["bus/0.png", f"{name}/1.png", "tram/2.png"])
    images = load_images("vehicles", root)
    assert images.class_names == tuple(sorted(("bus", name, "tram")))
    assert len(images) == 3
    for split in ("train", "test"):  # as soon as it is laid out by splits, they are splits
        write_images(root / "laid_out" / split, ["bus/0.png", "train/1.png"])
    assert load_images("laid_out", root, "train").class_names == ("bus", "train")
    (folder / "bus").rename(root / "laid_out" / "more")
    assert len(load_images("laid_out", root)) == 2


def test_one_split_folder_next_to_a_folder_without_images_is_a_split(root, write_images):
    folder = write_images(root / "scenes", ["test/0.png", "test/1.png"])
    (folder / "annotations").mkdir()
    (folder / "annotations" / "boxes.json").write_text("{}")
    images = load_images("scenes", root)
    assert (len(images), images.labels) == (2, None)


def grey(path, level, count=2, dtype=np.uint8):
    """Write images of one value into a folder."""
    path.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.fromarray(np.full((32, 32), level, dtype)).save(path / f"{number}.png")


def test_class_folders_that_are_symbolic_links_are_followed(tmp_path):
    for name, level in (("a", 51), ("b", 102)):
        grey(tmp_path / "source" / name, level)
    grey(tmp_path / "mixed" / "c", 153)
    (tmp_path / "mixed" / "a").symlink_to(tmp_path / "source" / "a")
    (tmp_path / "mixed" / "b").symlink_to("../source/b")
    images = load_images(str(tmp_path / "mixed"), tmp_path)
    assert images.class_names == ("a", "b", "c")
    assert images.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert pixels_of(images)[::2, 0, 0, 0].tolist() == [51, 102, 153]


@pytest.mark.parametrize("target", [".", "..", "../.."])
def test_symbolic_links_to_a_folder_around_them_are_refused(tmp_path, target):
    for name in ("a", "b"):
        grey(tmp_path / "images" / name, 51)
    (tmp_path / "images" / "b" / "again").symlink_to(target)
    with pytest.raises(InputError, match=r"b/again is a symbolic link to .* contains it"):
        load_images(str(tmp_path / "images"), tmp_path)


def test_sixteen_bit_grey_images_are_scaled_by_their_range(tmp_path):
    for name, level in (("a", 51), ("b", 204)):
        grey(tmp_path / name, level * 257, dtype=np.uint16)
    images = load_images(str(tmp_path), tmp_path)
    assert pixels_of(images)[:, 0, 0, 0].tolist() == [51, 51, 204, 204]
    colour = load_images(str(tmp_path), tmp_path, channels=3)
    assert pixels_of(colour)[2, :, 0, 0].tolist() == [204] * 3


@pytest.mark.parametrize(
    ("dtype", "kind"), [(np.int32, "32-bit integer"), (np.float32, "floating")]
)
def test_images_of_unknown_range_are_refused_by_name(tmp_path, dtype, kind):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.fromarray(np.ones((32, 32), dtype)).save(tmp_path / name / "0.tiff")
    with pytest.raises(InputError, match=rf"a/0\.tiff.* {kind}.* unknown range"):
        pixels_of(load_images(str(tmp_path), tmp_path))


def test_an_empty_class_folder_is_refused_by_name(tmp_path):
    for name in ("a", "c"):
        grey(tmp_path / name, 51)
    (tmp_path / "b").mkdir()
    with pytest.raises(InputError, match=r"class folder .*b contains no images"):
        load_images(str(tmp_path), tmp_path)
