"""CUB-200-2011, Stanford Dogs and ImageNet, in their publishers' layouts."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from sdd_eval.data import catalogue, standardisation
from sdd_eval.data.catalogue import list_datasets
from sdd_eval.data.image_folder import FolderImages, resize_and_crop
from sdd_eval.data.install.add import add
from sdd_eval.data.install.verify import verify
from sdd_eval.data.provenance import record_verified
from sdd_eval.data.readers.cub import CUB200, CUB200_CROPPED
from sdd_eval.data.readers.folders import IMAGENET
from sdd_eval.data.readers.stanford_dogs import STANFORD_DOGS, STANFORD_DOGS_WHOLE
from sdd_eval.errors import InputError

LAYOUTS = {
    "cub200": "write_cub",
    "cub200_cropped": "write_cub",
    "stanford_dogs": "write_dogs",
    "stanford_dogs_whole": "write_dogs",
    "imagenet": "write_imagenet",
}


@pytest.fixture(params=LAYOUTS)
def laid_out(request, root):
    """Return the name of a set, and the folder with twelve images of it."""
    return request.param, request.getfixturevalue(LAYOUTS[request.param])(root)


def pixels_of(images, **options):
    return torch.cat(list(images.batches(4, **options))).numpy()


def test_the_published_split_classes_and_size_are_read(laid_out, root):
    name, _ = laid_out
    train, test = (catalogue.load_images(name, root, split) for split in ("train", "test"))
    assert (len(train), len(test)) == (8, 4)
    assert len(train.class_names) == 2
    assert train.class_names == test.class_names
    for images in (train, test):
        assert (images.name, images.image_size, images.channels) == (name, 224, 3)
        folders = [images.class_names[label] for label in images.labels]
        assert [file.split("/")[0] for file in images.files] == folders
        brightest = pixels_of(images).mean((2, 3)).argmax(1)  # the colour tells the class
        assert np.array_equal(brightest, images.labels)
    assert {tuple(train.files)}.isdisjoint({tuple(test.files)})
    assert train.fingerprint != test.fingerprint


def test_an_incomplete_set_is_partial(laid_out, root):
    name, _ = laid_out
    data = catalogue.dataset(name, root).plugin
    published = {"cub": (5994, 5794), "sta": (12_000, 8580), "ima": (1_281_167, 50_000)}[name[:3]]
    assert data.load(root, "train").provenance == f"partial: 8 of {published[0]:,}"
    assert (
        data.load(root).provenance
        == f"partial: 4 of {published[1]:,}"
        == data.status(root).provenance
    )
    listed = {row.name: row for row in list_datasets(root)}
    assert (listed[name].images, listed[name].provenance) == (4, data.status(root).provenance)
    assert not {"CUB_200_2011", "imagenet/"} & set(listed)
    with pytest.raises(InputError, match=f"{name} has no split 'extra', only"):
        data.load(root, "extra")


def test_a_users_folder_is_linked(laid_out, root, tmp_path):
    name, folder = laid_out
    elsewhere = tmp_path / "elsewhere"
    assert add(name, folder, elsewhere).images == 4
    assert len(catalogue.load_images(name, elsewhere, "train")) == 8
    assert add(name, root, tmp_path / "third").images == 4


def test_listed_but_missing_images_are_left_out(laid_out, root):
    name, _ = laid_out
    images = catalogue.load_images(name, root)
    (images.folder / images.files[1]).unlink()
    (images.folder / images.files[1]).with_name("._stray.jpg").write_bytes(b"resource fork")
    fewer = catalogue.load_images(name, root)
    assert fewer.files == (images.files[0], *images.files[2:])
    assert fewer.labels.tolist() == images.labels[[0, 2, 3]].tolist()
    assert fewer.provenance.startswith("partial: 3 of")
    assert fewer.fingerprint != images.fingerprint


def test_a_complete_set_from_the_published_archive_is_official_under_each_name(root, write_dogs):
    folder = write_dogs(root)
    dogs, whole = (
        replace(item, published={"train": 8, "test": 4})
        for item in (STANFORD_DOGS, STANFORD_DOGS_WHOLE)
    )
    assert dogs.load(root).provenance == dogs.status(root).provenance == "unverified"
    record_verified(root, "stanford_dogs", dogs.content(root), "md5")
    for data in (dogs, whole):
        assert data.load(root, "train").provenance == data.load(root).provenance == "official"
        assert data.status(root).provenance == "official"
    annotation = next((folder / "Annotation").rglob("n*_2"))
    annotation.write_text(annotation.read_text().replace("<xmin>10", "<xmin>11"))
    assert dogs.load(root).provenance == "unverified"


def test_dogs_are_cropped_to_the_first_annotated_box(root, write_dogs):
    write_dogs(root)
    cropped, whole = STANFORD_DOGS.load(root), STANFORD_DOGS_WHOLE.load(root)
    assert cropped.files == whole.files
    assert whole.boxes is None
    assert cropped.fingerprint != whole.fingerprint
    for row in range(4):
        file = whole.full_resolution(row)
        box = (10, 5, file.width - 9, file.height)
        assert np.array_equal(np.asarray(cropped.full_resolution(row)), np.asarray(file.crop(box)))


def test_birds_are_only_cropped_in_the_cropped_set(root, write_cub):
    write_cub(root)
    assert CUB200.load(root).boxes is None
    cropped, whole = CUB200_CROPPED.load(root), CUB200.load(root)
    file = whole.full_resolution(0)  # its box is given by left, top, width and height
    box = (10, 5, file.width - 10, file.height - 10)
    assert np.array_equal(np.asarray(cropped.full_resolution(0)), np.asarray(file.crop(box)))


def test_a_box_is_clipped_to_its_image_and_refused_if_outside(root, write_cub):
    write_cub(root)
    images = CUB200_CROPPED.load(root)
    wide = replace(images, boxes=np.array([[-5, -5, 5000, 20]] * 4))
    assert wide.full_resolution(0).size == (images.full_resolution(0).width + 20, 20)
    outside = replace(images, boxes=np.array([[500, 0, 600, 20]] * 4))
    with pytest.raises(InputError, match=r"Laysan.*\.jpg is .*box \[500, 0, 600, 20\] does not"):
        outside.preprocessed(1)


@pytest.mark.parametrize(
    ("list_name", "line", "message"),
    [
        ("images.txt", "3", r"images\.txt: line 13 is '3', not an id and 1 columns"),
        ("images.txt", "99 002.Laysan/b.jpg", r"labels\.txt does not list image 99"),
        ("image_class_labels.txt", "12 one", r"labels\.txt: could not convert .*'one'"),
        (
            "image_class_labels.txt",
            "12 0",
            r"labels\.txt: the label of image 11 is 0\.0, not a whole",
        ),
        ("image_class_labels.txt", "12 1", r"class 1 is both 001.* and 002"),
        ("image_class_labels.txt", "12 4", "lists have no image of class 3"),
        ("train_test_split.txt", "12 7", r"split\.txt has a value other than 0 and 1 for image 12"),
    ],
)
def test_a_broken_list_is_named(root, write_cub, list_name, line, message):
    path = write_cub(root) / list_name
    path.write_text(f"{path.read_text()}{line}\n")
    with pytest.raises(InputError, match=message):
        CUB200.load(root)


@pytest.mark.parametrize("content", ["<annotation></annotation>", "<annotation", ""])
def test_an_annotation_without_a_box_is_refused(root, write_dogs, content):
    path = next((write_dogs(root) / "Annotation").rglob("n*_2"))
    path.write_text(content)
    with pytest.raises(InputError, match=r"n02085620_2 has no object with a box"):
        STANFORD_DOGS.load(root)
    path.unlink()
    with pytest.raises(InputError, match=r"cannot read .*n02085620_2"):
        STANFORD_DOGS.load(root)
    assert len(STANFORD_DOGS_WHOLE.load(root)) == 4


def test_a_list_that_is_not_a_matlab_file_is_refused(root, write_dogs):
    (write_dogs(root) / "test_list.mat").write_bytes(b"not a matlab file")
    with pytest.raises(InputError, match=r"test_list\.mat is not a readable MATLAB file"):
        STANFORD_DOGS.load(root)


def test_absent_photographs_name_the_commands_to_add_them(root):
    with pytest.raises(InputError, match="`sdd-eval data get cub200` downloads it"):
        CUB200.load(root)
    with pytest.raises(InputError, match=r"imagenet was not found .*; `sdd-eval data add imagenet"):
        IMAGENET.load(root)


def test_images_outside_the_class_folders_are_refused(root, write_imagenet):
    folder = write_imagenet(root)
    for path in list((folder / "val").rglob("*.JPEG")):
        path.rename(folder / "val" / path.name)
    with pytest.raises(InputError, match=r"val contains n01440764_2\.JPEG outside its class"):
        IMAGENET.load(root)


def test_verify_reads_every_image_of_both_splits(root, write_cub):
    folder = write_cub(root)
    broken = [folder / "images" / CUB200.load(root, split).files[1] for split in ("train", "test")]
    for path in broken:
        path.write_bytes(path.read_bytes()[:300])
    findings = verify("cub200", root)
    wrong = {finding.item for finding in findings if finding.verdict == "wrong"}
    assert {str(path.relative_to(folder / "images")) for path in broken} < wrong
    assert "images" in wrong  # the set is but a part


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "RGBA", "I;16"])
def test_image_files_of_every_mode_become_rgb(tmp_path, mode):
    image = Image.new("RGB", (300, 260), (200, 120, 40))
    if mode == "I;16":
        image = Image.fromarray(np.full((260, 300), 200, dtype=np.uint16))
    suffix = {"L": "jpg", "CMYK": "jpg"}.get(mode, "png")
    (image if mode == "I;16" else image.convert(mode)).save(tmp_path / f"a.{suffix}")
    images = FolderImages("set", tmp_path, (f"a.{suffix}",), 224, 3, None, "f", "", resize=256)
    pixels = pixels_of(images)[0]
    assert pixels.shape == (3, 224, 224)
    expected = (200, 120, 40) if mode not in ("L", "I;16") else None
    if expected:
        assert np.abs(pixels[:, 100, 100].astype(int) - expected).max() < 12
    else:
        assert (pixels[0] == pixels[2]).all()


def test_exif_orientation_is_ignored(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90°
    Image.new("RGB", (60, 30)).save(tmp_path / "a.jpg", exif=exif)
    images = FolderImages("set", tmp_path, ("a.jpg",), 8, 3, None, "f", "user's folder")
    assert images.full_resolution(0).size == (60, 30)


@pytest.mark.parametrize("size", [(500, 375), (375, 500), (333, 500), (256, 256), (257, 1001)])
def test_resize_and_crop_equal_torchvision_in_every_pixel(size):
    from torchvision.transforms import v2

    shape = (size[1], size[0], 3)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
    theirs = v2.Compose([v2.Resize(256), v2.CenterCrop(224)])(image)
    assert np.array_equal(np.asarray(resize_and_crop(image, 256, 224)), np.asarray(theirs))
    theirs = v2.CenterCrop(224)(image)
    assert np.array_equal(np.asarray(resize_and_crop(image, None, 224)), np.asarray(theirs))


def test_only_photographs_are_resized_to_more_than_the_crop(root, write_imagenet):
    write_imagenet(root)
    large, small = (IMAGENET.load(root, image_size=side) for side in (224, 32))
    assert (large.resize, large.has_full_resolution) == (256, True)
    assert (small.resize, small.has_full_resolution) == (32, False)


def test_a_folder_of_photographs_has_224_pixels_by_default(root, write_images):
    write_images(root / "pets", ["train/cat/a.png", "train/dog/b.png", "val/cat/c.png"], (400, 300))
    pets = catalogue.load_images("pets", root, "train")
    assert (pets.image_size, pets.resize, pets.has_full_resolution) == (224, 256, True)
    assert catalogue.load_images("pets", root, image_size=96).resize == 96


def test_threads_do_not_change_batches_and_iteration_may_stop_early(root, write_cub):
    write_cub(root)
    images = CUB200.load(root, "train")
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        several = pixels_of(images)
        torch.set_num_threads(1)
        assert np.array_equal(several, pixels_of(images))
        first = next(iter(images.batches(2, np.array([5, 0]))))
        assert np.array_equal(first, several[[5, 0]])
    finally:
        torch.set_num_threads(before)


def test_every_archive_has_a_checksum():
    sums = [archive.md5 for data in (CUB200, STANFORD_DOGS) for archive in data.archives]
    assert len(set(sums)) == 4
    assert all(len(bytes.fromhex(md5)) == hashlib.md5().digest_size for md5 in sums)
    assert IMAGENET.archives == ()


def test_the_authors_constants_for_photographs_are_imagenets():
    small, large = (standardisation.author_statistics(side) for side in (32, 224))
    assert small[0] == (0.4914, 0.4822, 0.4465)
    assert large == standardisation.CONSTANTS["imagenet"]
