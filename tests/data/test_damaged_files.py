"""Damaged and hostile files: one corruption or one set is lost, by name, and never the command."""

import contextlib
import os
import zipfile

import numpy as np
import pytest
from PIL import Image

from sdd_eval.cli import exit_code
from sdd_eval.data import catalogue, files
from sdd_eval.data.catalogue import list_datasets, load_images
from sdd_eval.data.image_folder import to_8_bits
from sdd_eval.data.images import class_indices, from_arrays
from sdd_eval.data.install.add import add
from sdd_eval.data.install.unpack import unpack
from sdd_eval.data.readers.cifar_c import CIFAR100_C
from sdd_eval.data.readers.foreign_formats import read_matlab
from sdd_eval.errors import InputError
from sdd_eval.metrics.corruption import FIFTEEN


def header(shape):
    """Return the start of a `.npy` file of uint8 that claims a shape."""
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def damaged_npy(path, kind):
    whole = path.read_bytes()
    if kind == "zip":
        with path.open("wb") as file:
            np.savez(file, a=np.zeros(3))
    elif kind == "cut in its header":
        path.write_bytes(whole[:40])
    else:
        shape = {"negative": "(-5, 32, 32, 3)", "negative twice": "(-5, -32, 32, 3)"}
        shape["huge"] = "(5000000000000000000, 32, 32, 3)"
        shape["not a shape"] = "('x',)"
        path.write_bytes(header(shape[kind]) + whole[128:])


KINDS = ("zip", "cut in its header", "negative", "negative twice", "huge", "not a shape")


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_corruption_is_lost_alone_and_named(root, write_corrupted, kind):
    folder = write_corrupted(root / "CIFAR-100-C")
    damaged_npy(folder / "fog.npy", kind)
    corrupted = CIFAR100_C.load_corrupted(root)
    assert corrupted.corruptions == ("gaussian_noise",)
    assert "fog.npy is not a complete .npy file" in corrupted.broken["fog"]
    assert {row.name: row for row in list_datasets(root)}["cifar100_c"].images == 20


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_labels_are_named(root, write_corrupted, kind):
    folder = write_corrupted(root / "CIFAR-100-C")
    damaged_npy(folder / "labels.npy", kind)
    assert "labels.npy is not a complete" in CIFAR100_C.load_corrupted(root).broken["labels"]


def test_a_lost_corruption_is_named_in_the_terminal(root, tmp_path, write_corrupted, capsys):
    from sdd_eval.evaluation import evaluate
    from sdd_eval.models.build import build
    from sdd_eval.records import ModelSpec

    folder = write_corrupted(root / "mine_c", count=4, side=8)
    damaged_npy(folder / "fog.npy", "zip")
    np.savez(root / "mine.npz", images=np.zeros((4, 8, 8, 3), np.uint8), labels=np.arange(4))
    add("mine", root / "mine.npz", root)
    network = build(ModelSpec("small_cnn", 4, (0.5,) * 3, (0.2,) * 3, 8))
    run = evaluate(network, "corruption", data="mine", root=root)
    (warning,) = run.provenance.warnings
    assert warning.startswith("mine_c: ")
    assert "fog.npy is not a complete .npy file: it is an .npz archive" in warning


def test_cells_and_texts_in_a_matlab_file_are_refused(tmp_path):
    from scipy.io import savemat

    cells = np.empty(3, dtype=object)
    cells[:] = ["a", "b", np.zeros(2)]
    (tmp_path / "svhn").mkdir()
    pixels = np.zeros((32, 32, 3, 3), np.uint8)
    savemat(tmp_path / "svhn" / "test_32x32.mat", {"X": pixels, "y": cells})
    with pytest.raises(InputError, match=r"test_32x32\.mat: its labels are object .*, not 3 class"):
        load_images("svhn", tmp_path)
    (tmp_path / "svhn" / "test_32x32.mat").write_bytes(b"MATLAB 5.0 MAT-file".ljust(140, b"\xff"))
    with pytest.raises(InputError, match=r"test_32x32\.mat is not a readable MATLAB file"):
        read_matlab(tmp_path / "svhn" / "test_32x32.mat", "y")
    assert exit_code(["data", "list", "--data-root", str(tmp_path)]) == 0


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


GREY = {
    **{"1": 1, "L": 200, "LA": (200, 255), "La": (200, 255), "P": 7, "RGB": (200,) * 3},
    **{"RGBX": (200, 200, 200, 0), "RGBA": (200, 200, 200, 255), "RGBa": (200, 200, 200, 255)},
    **{"CMYK": (0, 0, 0, 55), "YCbCr": (200, 128, 128), "LAB": (205, 128, 128)},
    **{"HSV": (0, 0, 200), "I;16": 200 * 257, "I;16B": 200 * 257, "I;16L": 200 * 257},
    **{"I;16N": 200 * 257},
}


@pytest.mark.parametrize("mode", GREY)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_of_pillow_is_scaled_by_its_range(mode, channels):
    image = Image.new(mode, (3, 2), GREY[mode])
    if mode == "P":
        image.putpalette([0] * 21 + [200, 200, 200])
    pixels = np.asarray(to_8_bits(image, channels))
    assert pixels.shape == ((2, 3) if channels == 1 else (2, 3, 3))
    assert np.abs(pixels.astype(int) - (255 if mode == "1" else 200)).max() <= 1


@pytest.mark.parametrize("mode", ["I", "F"])
def test_values_of_unknown_range_are_refused(mode):
    with pytest.raises(ValueError, match="unknown range; save it with 8 or 16 bits"):
        to_8_bits(Image.new(mode, (2, 2)), 3)


@pytest.mark.parametrize(("bits", "inverted"), [(12, False), (16, True)])
def test_tiff_files_state_their_range(bits, inverted):
    image = Image.fromarray(np.full((2, 2), 200 * (2**bits - 1) // 255, np.uint16))
    image.tag_v2 = {258: (bits,), 262: 0 if inverted else 1}
    expected = 55 if inverted else 200
    assert np.abs(np.asarray(to_8_bits(image, 1)).astype(int) - expected).max() <= 1


def test_pipes_are_refused_and_not_opened(tmp_path, root, write_images):
    folder = write_images(tmp_path / "set", ["a/0.png", "b/0.png"])
    os.mkfifo(folder / "a" / "1.png")
    with pytest.raises(InputError, match=r"a/1\.png is not a file but a pipe"):
        load_images(str(folder), root)
    os.mkfifo(tmp_path / "images.zip")
    with pytest.raises(InputError, match=r"images\.zip is not a file but a pipe"):
        add("mine", tmp_path / "images.zip", root)
    (tmp_path / "arrays").mkdir()
    os.mkfifo(tmp_path / "arrays" / "test.npz")
    with pytest.raises(InputError, match=r"test\.npz is not a file but a pipe"):
        load_images(str(tmp_path / "arrays"), root)


def test_archives_larger_than_the_disk_or_implausibly_dense_are_refused(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("set/zeros", bytes(3_000_000))
    monkeypatch.setattr(files, "SMALL_CONTENT", 2**20)
    with pytest.raises(InputError, match=r"bomb\.zip is refused: .* more than 200 times as many"):
        unpack(tmp_path / "bomb.zip", tmp_path / "into")
    monkeypatch.undo()
    unpack(tmp_path / "bomb.zip", tmp_path / "into")
    usage = type("Usage", (), {"free": 1_000_000})
    monkeypatch.setattr("sdd_eval.data.files.shutil.disk_usage", lambda path: usage)
    with pytest.raises(InputError, match="unpacks to at least 3,000,000 bytes; 1,000,000 are free"):
        unpack(tmp_path / "bomb.zip", tmp_path / "again")


def test_a_tar_is_refused_before_the_member_that_is_too_large(tmp_path, monkeypatch, pack):
    folder = tmp_path / "source"
    folder.mkdir()
    for number in range(3):
        (folder / str(number)).write_bytes(bytes(1000))
    archive = pack(tmp_path / "set.tar.gz", folder)
    usage = type("Usage", (), {"free": 2500})
    monkeypatch.setattr("sdd_eval.data.files.shutil.disk_usage", lambda path: usage)
    with pytest.raises(InputError, match="unpacks to at least 3,000 bytes; 2,500 are free"):
        unpack(archive, tmp_path / "into")
    assert sorted(os.listdir(tmp_path / "into")) == ["0", "1"]


def test_a_compressed_array_that_would_fill_the_memory_is_refused(tmp_path, root, monkeypatch):
    np.savez_compressed(tmp_path / "bomb.npz", images=np.zeros((900, 32, 32, 3), np.uint8))
    assert len(load_images(str(tmp_path / "bomb.npz"), root)) == 900
    monkeypatch.setattr(files, "SMALL_CONTENT", 2**20)
    with pytest.raises(InputError, match=r"bomb\.npz is refused"):
        load_images(str(tmp_path / "bomb.npz"), root)


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_unpacked_files_have_the_permissions_of_the_umask(tmp_path, pack, umask):
    (tmp_path / "source" / "inner").mkdir(parents=True)
    (tmp_path / "source" / "inner" / "file").write_text("content")
    (tmp_path / "source" / "inner" / "file").chmod(0o777)
    archive = pack(tmp_path / "set.tar.gz", tmp_path / "source")
    before = os.umask(umask)
    try:
        unpack(archive, tmp_path / "into")
    finally:
        os.umask(before)
    file = tmp_path / "into" / "inner" / "file"
    assert file.stat().st_mode & 0o777 == 0o666 & ~umask
    assert file.parent.stat().st_mode & 0o777 == 0o777 & ~umask


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_written_files_have_the_permissions_of_the_umask(tmp_path, umask):
    from sdd_eval.store import write_text

    before = os.umask(umask)
    try:
        write_text(tmp_path / "file", "content")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~umask


def test_names_that_are_not_utf8_are_read(tmp_path, root, write_images):
    folder = write_images(tmp_path / "set", ["a\udcff/0.png", "b/0\udcfe.png"])
    images = load_images(str(folder), root)
    assert images.class_names == ("a\ufffd", "b")
    assert len(next(images.batches(2))) == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [("a\0b", "is not text"), ("a\udcffb", "is not text"), ("x" * 5000, "File name too long")],
)
def test_names_that_no_file_may_have_are_refused(root, name, message):
    with pytest.raises(InputError, match=message):
        load_images(name, root)
    with pytest.raises(InputError, match=message):
        catalogue.corrupted_set(name, "digits", root)


def test_a_folder_that_cannot_be_read_is_named(root, write_images, monkeypatch):
    folder = write_images(root / "set", ["a/0.png", "b/0.png"])
    scandir = os.scandir

    def refusing(path="."):
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(InputError, match=f"cannot read {folder}/b: Permission denied"):
        load_images("set", root)
    monkeypatch.undo()
    monkeypatch.setattr(os, "scandir", refusing)
    rows = {row.name: row for row in list_datasets(root)}
    assert rows["set"].provenance.startswith("broken: cannot read")


def grey_set(root, count=6):
    images = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 1), dtype=np.uint8)
    np.savez(root / "mine.npz", images=images, labels=np.arange(count) % 3)
    (root / "mine").mkdir()
    os.replace(root / "mine.npz", root / "mine" / "test.npz")
    return images


def test_a_corrupted_set_without_labels_takes_those_of_the_clean_set(root, tmp_path):
    images = grey_set(root)
    folder = tmp_path / "corrupted"
    folder.mkdir()
    np.save(folder / "fog.npy", np.tile(images, (5, 1, 1, 1)))
    assert add("mine_c", folder, root).images == 6
    clean = load_images("mine", root)
    corrupted = catalogue.load_corrupted("mine_c", root, clean=clean)
    assert corrupted.cell("fog", 1).labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert "labels.npy does not exist" in corrupted.broken["labels"]
    np.save(folder / "fog.npy", np.tile(images[:5], (5, 1, 1, 1)))
    with pytest.raises(InputError, match="has 5 images per severity, but mine has 6"):
        catalogue.load_corrupted("mine_c", root, clean=clean)


def test_corruptions_may_have_names_of_the_users_own(root, tmp_path):
    from sdd_eval.evaluation import evaluate
    from sdd_eval.models.build import build
    from sdd_eval.records import ModelSpec

    images = grey_set(root)
    folder = tmp_path / "corrupted"
    folder.mkdir()
    for name in ("haze", "rain.v2"):
        np.save(folder / f"{name}.npy", np.tile(images, (5, 1, 1, 1)))
    np.save(folder / "labels.npy", np.tile(np.arange(6) % 3, 5))
    assert add("mine_c", folder, root).images == 6
    network = build(ModelSpec("small_cnn", 3, (0.5,), (0.2,), 8))
    run = evaluate(network, "corruption", data="mine", root=root)
    assert {n.at["corruption"] for n in run.measurements if "severity" in n.at} == {
        *("haze", "rain.v2")
    }
    assert not [n for n in run.measurements if n.metric in ("missing", "mca")]


@pytest.mark.parametrize(
    "marker",
    [
        *(
            "[]",
            '{"files": []}',
            '{"files": {"fog.npy": 3}}',
            '{"recipe": "x"}',
            '{"recipe": 1e300}',
        ),
        *('{"frost": "ice"}', '{"source": [1]}', "[" * 100_000, "{", '{"frost": "\\ud800"}'),
    ],
    ids=lambda marker: marker[:12],
)
def test_a_damaged_record_of_corruptions_loses_one_set_and_is_named(
    root, write_corrupted, capsys, marker
):
    folder = write_corrupted(root / "digits-C-regenerated")
    (folder / "regenerated.json").write_text(marker)
    with pytest.raises(InputError, match=r"regenerated\.json is not a record of"):
        catalogue.load_corrupted("digits_c_regenerated", root, clean=load_images("digits", root))
    assert exit_code(["data", "list", "--data-root", str(root)]) == 0
    listed = capsys.readouterr().out
    assert "broken: " in listed
    assert "regenerated.json" in listed
    assert "cifar10 " in listed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["images"][0].update(height=10**30), r"images\[0\]\.height"),
        (lambda c: c["images"][0].update(width=0), r"images\[0\]\.width"),
        (lambda c: c["images"][0].update(file_name=3), r"images\[0\]\.file_name"),
        (lambda c: c["annotations"][1].update(area=1e300), r"annotations\[1\]\.area"),
        (lambda c: c["annotations"][1].update(area=-1), r"annotations\[1\]\.area"),
        (lambda c: c["annotations"][1].update(bbox=[0, 0, 1e300, 5]), "larger than any image"),
        (lambda c: c["annotations"][1].update(bbox="wide"), r"annotations\[1\]\.bbox"),
        (lambda c: c["annotations"][1].update(image_id=[]), r"annotations\[1\]\.image_id"),
        (lambda c: c.update(images={}), r"`\$\.images`"),
    ],
)
def test_absurd_annotations_are_named(root, write_coco, change, message):
    import json

    path = write_coco(root, "boats") / "annotations" / "instances_val2017.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        catalogue.dataset("boats", root, "object_detection").objects()


def test_deeply_nested_annotations_are_named(root, write_coco):
    path = write_coco(root, "boats") / "annotations" / "instances_val2017.json"
    path.write_text("[" * 100_000)
    with pytest.raises(InputError, match=r"instances_val2017\.json is not JSON"):
        catalogue.dataset("boats", root, "object_detection").objects()


@pytest.mark.parametrize("seed", range(30))
def test_images_with_random_damage_are_read_or_named(tmp_path, seed):
    from sdd_eval.data.image_folder import read_image

    random = np.random.default_rng(seed)
    suffix = ("png", "jpg", "tiff", "webp", "gif", "bmp", "ppm")[seed % 7]
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(random.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(path)
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    for _ in range(20):
        damaged = whole.copy()
        where = random.integers(0, min(len(whole), 200), 4)
        damaged[where] = random.integers(0, 256, 4)
        path.write_bytes(damaged.tobytes()[: random.integers(1, len(whole) + 1)])
        with contextlib.suppress(InputError):  # no other error
            assert read_image(path, 3).mode == "RGB"


@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_archives_with_random_damage_are_unpacked_or_named(tmp_path, suffix):
    import shutil

    random = np.random.default_rng(0)
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_bytes(random.bytes(2000))
    kind = {"tar.gz": "gztar", "tar.bz2": "bztar", "tar.xz": "xztar"}.get(suffix, suffix)
    path = shutil.make_archive(str(tmp_path / "set"), kind, tmp_path / "source")
    with open(path, "rb") as file:
        whole = np.frombuffer(file.read(), np.uint8)
    for trial in range(60):
        damaged = whole.copy()
        where = random.integers(0, len(whole) if trial % 2 else min(512, len(whole)), 4)
        damaged[where] = random.integers(0, 256, 4)
        (tmp_path / "damaged").write_bytes(damaged.tobytes()[: random.integers(1, len(whole) + 1)])
        with contextlib.suppress(InputError):  # no other error
            unpack(tmp_path / "damaged", tmp_path / "into")


def test_corruptions_larger_than_the_disk_are_refused_before_any_is_rendered(root, monkeypatch):
    from sdd_eval.data.corruption.writer import write_corrupted

    usage = type("Usage", (), {"free": 1_000_000})
    monkeypatch.setattr("sdd_eval.data.files.shutil.disk_usage", lambda path: usage)
    digits = load_images("digits", root)
    with pytest.raises(InputError, match="needs 3,825,600 bytes, and 1,000,000 are free"):
        write_corrupted(digits, root / "set", corruptions=FIFTEEN)
    assert not list((root / "set").glob("*.npy.part"))
    write_corrupted(digits, root / "set", corruptions=("contrast",))


def test_a_folder_without_permission_is_named_by_every_command(root, write_images, monkeypatch):
    from sdd_eval.data.install.verify import verify
    from sdd_eval.data.readers.folders import FolderSet

    write_images(root / "set", ["a/0.png", "b/0.png"])

    def refusing(self, base):
        raise PermissionError(13, "Permission denied", str(base))

    monkeypatch.setattr(FolderSet, "is_present", refusing)
    for command in (load_images, verify):
        try:
            found = command("set", root)
        except InputError as error:
            found = str(error)
        assert "Permission denied" in str(found)
    assert exit_code(["data", "list", "--data-root", str(root)]) == 0


def test_add_says_that_labels_are_missing(root, tmp_path, capsys):
    images = grey_set(root)
    (tmp_path / "corrupted").mkdir()
    np.save(tmp_path / "corrupted" / "fog.npy", np.tile(images, (5, 1, 1, 1)))
    words = ["data", "add", "mine_c", str(tmp_path / "corrupted"), "--data-root", str(root)]
    assert exit_code(words) == 0
    expected = "labels.npy does not exist; the labels of the test set will be used"
    assert expected in capsys.readouterr().err
