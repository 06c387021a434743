"""Custom data sets: added once, then used as test set, corrupted set or OOD set."""

import numpy as np
import pytest
import torch

from sdd_eval.data.catalogue import (
    corrupted_set,
    list_datasets,
    load_corrupted,
    load_images,
)
from sdd_eval.data.install.add import add
from sdd_eval.data.install.verify import verify
from sdd_eval.errors import InputError
from sdd_eval.evaluation import evaluate
from sdd_eval.evaluators.ood.ood import Odin
from sdd_eval.models.build import build
from sdd_eval.records import ModelSpec


def arrays(count=12, side=8, channels=3, classes=3, seed=0):
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (count, side, side, channels), dtype=np.uint8)
    return {"images": images, "labels": np.arange(count) % classes}


@pytest.fixture
def npz(tmp_path):
    """An `.npz` file of twelve images in three classes."""
    np.savez_compressed(tmp_path / "mine.npz", **arrays())
    return tmp_path / "mine.npz"


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build(ModelSpec("small_cnn", 3, (0.5,) * 3, (0.2,) * 3, 8))


def test_a_npz_file_is_a_data_set(npz, root):
    status = add("blobs", npz, root)
    assert (status.images, status.provenance) == (12, "user's folder")
    npz.unlink()
    images = load_images("blobs", root)
    wanted = arrays()
    assert np.array_equal(next(images.batches(12)), wanted["images"].transpose(0, 3, 1, 2))
    assert np.array_equal(images.labels, wanted["labels"])
    assert (images.name, images.image_size, images.channels) == ("blobs", 8, 3)
    corrupted = {row.name: row for row in list_datasets(root)}["blobs"]
    assert (corrupted.images, corrupted.provenance) == (12, "user's folder")
    assert [finding.verdict for finding in verify("blobs", root)] == ["ok"]


def test_a_folder_of_two_npz_files_has_two_splits_and_class_names(tmp_path, root):
    folder = tmp_path / "mine"
    folder.mkdir()
    names = np.array(["cat", "dog", "emu"])
    np.savez(folder / "train.npz", **arrays(30), class_names=names)
    np.savez(folder / "test.npz", **arrays(6, seed=1), class_names=names)
    assert add("pets", folder, root).images == 6
    assert (root / "pets").is_symlink()
    train, test = (load_images("pets", root, split) for split in ("train", "test"))
    assert (len(train), len(test)) == (30, 6)
    assert test.class_names == ("cat", "dog", "emu")
    assert train.fingerprint != test.fingerprint


def test_a_npz_file_is_found_by_path(npz, root):
    assert load_images(str(npz), root).name == "mine"
    with pytest.raises(InputError, match="mine has no split 'train'"):
        load_images(str(npz), root, "train")


@pytest.mark.parametrize("kind", ["npz", "folders"])
def test_added_sets_serve_as_test_set_corrupted_set_and_ood_set(
    kind, npz, root, write_images, tmp_path, network
):
    if kind == "npz":
        add("mine", npz, root)
    else:
        files = [f"{name}/{index}.png" for name in ("a", "b", "c") for index in range(4)]
        add("mine", write_images(tmp_path / "tree", files), root)
    for evaluator in ("accuracy", "corruption"):
        images = load_images("mine", root, image_size=8, channels=3)
        run = evaluate(network, evaluator, data=images, root=root)
        assert run.n == 12
        assert run.measurements
    assert run.dataset == "mine_c_regenerated"
    np.savez(tmp_path / "clean.npz", **arrays(9, seed=2))
    add("clean", tmp_path / "clean.npz", root)
    run = evaluate(network, Odin(outliers=("mine",)), data="clean", root=root)
    assert {m.at["outliers"] for m in run.measurements} == {"mine", "average"}
    assert run.provenance.data["mine"].images == 12


def test_a_custom_corrupted_set_is_found_by_name(npz, root, tmp_path, network):
    add("mine", npz, root)
    folder = tmp_path / "rendered"
    folder.mkdir()
    clean = arrays()
    for corruption in ("fog", "contrast"):
        np.save(folder / f"{corruption}.npy", np.concatenate([clean["images"] // 2] * 5))
    np.save(folder / "labels.npy", np.tile(clean["labels"], 5))
    assert add("mine_c", folder, root).images == 12
    images = load_images("mine", root)
    assert corrupted_set("", "mine", root).name == "mine_c"
    row = load_corrupted("mine_c", root, clean=images)
    assert row.frost == "unknown"  # what it is made of nobody says: its mean is no `mca`
    assert (row.corruptions, row.provenance) == (("fog", "contrast"), "user's folder")
    run = evaluate(network, "corruption", data="mine", root=root)
    assert run.dataset == "mine_c"
    cells = {(m.at["corruption"], m.at["severity"]) for m in run.measurements if "severity" in m.at}
    assert {corruption for corruption, _ in cells} == {"fog", "contrast"}
    with pytest.raises(InputError, match="mine_c is a test set under several corruptions"):
        load_images("mine_c", root)
    np.save(folder / "labels.npy", np.tile(clean["labels"][::-1], 5))
    with pytest.raises(InputError, match="differs from the labels of mine"):
        load_corrupted("mine_c", root, clean=images)


def test_ood_sets_need_no_labels(tmp_path, root):
    np.savez(tmp_path / "far.npz", images=arrays()["images"])
    add("far", tmp_path / "far.npz", root)
    assert load_images("far", root).labels is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"x": np.zeros(3)}, "has no array 'images'; it has x"),
        ({**arrays(), "labels": np.zeros(5, int)}, "not 12 class indices"),
        ({"images": np.zeros((4, 8, 8, 3))}, "are float64, not uint8"),
        (
            {"images": np.array([None, "a"], dtype=object)},
            "not a complete .npz file of plain arrays",
        ),
        ({**arrays(), "class_names": np.array(["a", "b"])}, "label 2 but only 2 class names"),
    ],
)
def test_arrays_that_are_not_images_are_refused(tmp_path, root, content, message):
    np.savez(tmp_path / "bad.npz", **content)
    with pytest.raises(InputError, match=message):
        load_images(str(tmp_path / "bad.npz"), root)
    with pytest.raises(InputError):
        add("bad", tmp_path / "bad.npz", root)
    assert list(root.iterdir()) == []


def test_broken_and_ambiguous_files_are_refused(tmp_path, root):
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match=r"cut\.npz is not a complete \.npz file"):
        load_images(str(tmp_path / "cut.npz"), root)
    with (tmp_path / "npy.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(InputError, match="it is a single array"):
        load_images(str(tmp_path / "npy.npz"), root)
    np.savez(tmp_path / "other.npz", **arrays())
    with pytest.raises(InputError, match=r"one of several files must be test\.npz"):
        load_images(str(tmp_path), root)


def test_arrays_of_another_size_are_refused(npz, root):
    with pytest.raises(InputError, match="3-channel images of 8 pixels, but the network takes 3"):
        load_images(str(npz), root, image_size=32)
