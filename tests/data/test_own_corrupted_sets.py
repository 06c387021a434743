"""Corrupted sets of the user's own: without labels, and with corruptions of any name."""

import os

import numpy as np
import pytest

from sdd_eval.cli import exit_code
from sdd_eval.data import catalogue
from sdd_eval.data.catalogue import load_images
from sdd_eval.data.install.add import add
from sdd_eval.errors import InputError


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


def test_add_says_that_labels_are_missing(root, tmp_path, capsys):
    images = grey_set(root)
    (tmp_path / "corrupted").mkdir()
    np.save(tmp_path / "corrupted" / "fog.npy", np.tile(images, (5, 1, 1, 1)))
    words = ["data", "add", "mine_c", str(tmp_path / "corrupted"), "--data-root", str(root)]
    assert exit_code(words) == 0
    expected = "labels.npy does not exist; the labels of the test set will be used"
    assert expected in capsys.readouterr().err
