"""Damaged files: one corruption or one set is lost, by name, and never the command."""

import contextlib

import numpy as np
import pytest
from PIL import Image

from sdd_eval.cli import exit_code
from sdd_eval.data import catalogue
from sdd_eval.data.catalogue import list_datasets, load_images
from sdd_eval.data.install.add import add
from sdd_eval.data.install.unpack import unpack
from sdd_eval.data.readers.cifar_c import CIFAR100_C
from sdd_eval.data.readers.foreign_formats import read_matlab
from sdd_eval.errors import InputError


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
