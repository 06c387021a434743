from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sdd_eval.data.images import ImageSet
from sdd_eval.data.readers import cifar, svhn
from sdd_eval.data.readers.builtin_ood import GAUSSIAN, PHOTO_PATCHES, UNIFORM
from sdd_eval.data.readers.cifar import CIFAR10, CIFAR100
from sdd_eval.data.readers.digits import DIGITS
from sdd_eval.data.readers.svhn import SVHN, SVHN_ALL
from sdd_eval.errors import InputError

NOWHERE = Path("/nonexistent")


def test_digits_are_split_in_their_original_order():
    train, test = (DIGITS.load(NOWHERE, split) for split in ("train", "test"))
    assert (len(train), len(test)) == (1000, 797)
    assert (test.channels, test.image_size, test.provenance) == (1, 8, "official")
    assert set(np.unique(train.images)) == {round(value * 255 / 16) for value in range(17)}
    assert train.labels[:4].tolist() == [0, 1, 2, 3]
    assert train.fingerprint != test.fingerprint


def test_digits_have_a_fixed_shape():
    with pytest.raises(InputError, match="1-channel images of 8 pixels, but the network takes 3"):
        DIGITS.load(NOWHERE, image_size=32, channels=3)


def test_cifar100_has_fine_labels_and_their_names(root, write_cifar100):
    write_cifar100(root)
    train, test = (CIFAR100.load(root, split) for split in ("train", "test"))
    assert (len(train), len(test), test.channels, test.image_size) == (400, 200, 3, 32)
    assert test.labels[:101].tolist() == [*range(100), 0]
    assert test.class_names[7] == "class 07"
    assert isinstance(test, ImageSet)


def test_cifar_rows_are_red_then_green_then_blue_from_the_top(root, write_cifar100):
    data = np.zeros((1, 3072), dtype=np.uint8)
    data[0, 1024 + 2 * 32 + 5] = 77
    folder = write_cifar100(root, count=1, test_labels=[3])
    assert folder.exists()
    write_cifar100(root, count=1, test_labels=[3], data=data)
    image = CIFAR100.load(root).images[0]
    assert image[1, 2, 5] == 77
    assert image.sum() == 77


def test_cifar10_joins_five_batches_with_keys_of_bytes(root, write_cifar10):
    write_cifar10(root)
    train = CIFAR10.load(root, "train")
    assert len(train) == 100
    assert train.labels.tolist() == [*range(10)] * 10
    assert len(np.unique(train.images[::20].reshape(5, -1), axis=0)) == 5
    assert CIFAR10.load(root).class_names[9] == "class 9"


def test_an_incomplete_cifar_is_partial(root, write_cifar100):
    write_cifar100(root)
    assert CIFAR100.load(root).provenance == "partial: 200 of 10,000"
    assert CIFAR100.load(root, "train").provenance == "partial: 400 of 50,000"
    assert CIFAR100.status(root).provenance == "partial: 200 of 10,000"


def test_the_published_count_with_another_checksum_is_unverified(root, write_cifar100):
    write_cifar100(root, count=20)
    small = replace(CIFAR100, published=(40, 20))
    assert small.load(root).provenance == small.load(root, "train").provenance == "unverified"
    assert small.status(root).provenance == "unverified"


def test_cifar_with_the_published_checksums_is_official(root, write_cifar100, monkeypatch):
    folder = write_cifar100(root, count=20)
    small = replace(CIFAR100, published=(40, 20))
    sums = {name: cifar.file_digests(folder / name).md5 for name in ("test", "meta", "train")}
    for split in ("test", "meta", "train"):
        monkeypatch.setitem(getattr(CIFAR100, split), split, sums[split])
    assert small.load(root).provenance == "official"
    assert small.load(root, "train").provenance == "official"
    assert small.status(root).provenance == "official"
    (folder / "test").write_bytes((folder / "test").read_bytes() + b"\0")
    assert small.status(root).provenance == "unverified"
    assert small.load(root).provenance == "unverified"


def test_status_computes_no_checksum(root, write_cifar100, monkeypatch):
    write_cifar100(root, count=20)
    monkeypatch.setattr(cifar, "file_digests", lambda path: pytest.fail("hashed"))
    monkeypatch.setattr("sdd_eval.data.fingerprints._hash_file", lambda path: pytest.fail("hashed"))
    assert replace(CIFAR100, published=(40, 20)).status(root).provenance == "unverified"


def test_status_does_not_read_a_set_with_a_cached_checksum(root, write_cifar100, monkeypatch):
    folder = write_cifar100(root, count=10)
    for split in ("test", "meta"):
        monkeypatch.setitem(getattr(CIFAR100, split), split, cifar.file_digests(folder / split).md5)
    monkeypatch.setattr(cifar, "read_pickle", lambda path: pytest.fail("read"))
    assert CIFAR100.status(root).provenance == "official"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"test_labels": [100, 1, 2]},
            "label of image 0 is 100, not a whole number from 0 to 99",
        ),
        (
            {"test_labels": [-1, 1, 2]},
            "label of image 0 is -1, not a whole number from 0 to 99",
        ),
        ({"test_labels": [1, 2]}, r"its labels are int64 \(2,\), not 3 class indices"),
        ({"test_labels": ["a", "b", "c"]}, r"its labels are <U1 \(3,\), not 3 class indices"),
        ({"data": np.zeros((3, 100), np.uint8)}, "not 3,072 values each"),
        ({"data": np.zeros((3, 3072), np.float32)}, "has no uint8 array 'data'"),
        ({"data": "nothing"}, "has no uint8 array 'data'"),
    ],
)
def test_a_broken_cifar_file_is_named(root, write_cifar100, change, message):
    change.setdefault("test_labels", [0, 1, 2])
    write_cifar100(root, count=3, **change)
    with pytest.raises(InputError, match=rf"cifar-100-python/test.*{message}"):
        CIFAR100.load(root)


def test_an_absent_set_names_the_commands_to_add_it(root):
    assert not CIFAR100.status(root).present
    with pytest.raises(InputError, match=r"`sdd-eval data get cifar100`.*`sdd-eval data add"):
        CIFAR100.load(root)


def test_a_split_that_does_not_exist_is_refused(root):
    with pytest.raises(InputError, match="no split 'validation', only train and test"):
        CIFAR100.load(root, "validation")
    with pytest.raises(InputError, match="uniform has no split 'train'"):
        UNIFORM.load(root, "train")


def test_svhn_keeps_the_first_of_each_digit(root, write_svhn):
    write_svhn(root, count=7, labels=[10, 1, 1, 10, 1, 2, 10])
    two_each = svhn.Svhn("svhn", "", 2, ())
    result = two_each.load(root)
    assert result.labels.tolist() == [0, 1, 1, 0, 2]
    assert result.images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 5]
    assert two_each.status(root).images == 5
    assert result.provenance == "partial: 7 of 26,032"


def test_svhn_all_has_every_test_image(root, write_svhn):
    write_svhn(root)
    assert len(SVHN.load(root)) == len(SVHN_ALL.load(root)) == 50
    assert SVHN.per_class == 1000
    assert SVHN_ALL.load(root).name == "svhn_all"


def test_svhn_images_keep_rows_columns_and_colours(root):
    from scipy.io import savemat

    stored = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 2), dtype=np.uint8)
    (root / "svhn").mkdir()
    savemat(root / "svhn" / "test_32x32.mat", {"X": stored, "y": np.array([[1], [2]])})
    image = SVHN.load(root).images[1]
    assert np.array_equal(image, stored[..., 1].transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [0, 1, 2]}, "label of image 0 is 0, not a whole number from 1 to 10"),
        ({"labels": [1, 11, 2]}, "label of image 1 is 11, not a whole number from 1 to 10"),
        ({"labels": [1, 2]}, "has X of uint8"),
        ({"labels": [1, 2, 3], "dtype": np.float64}, "has X of float64"),
    ],
)
def test_a_broken_svhn_file_is_named(root, write_svhn, change, message):
    write_svhn(root, count=3, **change)
    with pytest.raises(InputError, match=rf"test_32x32\.mat.*{message}"):
        SVHN.load(root)


def test_a_truncated_svhn_file_is_named(root, write_svhn):
    path = write_svhn(root) / "test_32x32.mat"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match=r"test_32x32\.mat is not a readable MATLAB file"):
        SVHN.load(root)


@pytest.mark.parametrize("noise", [UNIFORM, GAUSSIAN], ids=["uniform", "gaussian"])
def test_noise_has_the_requested_shape_and_is_deterministic(noise):
    first, again = (noise.load(NOWHERE, image_size=8, channels=1) for _ in range(2))
    assert (len(first), first.channels, first.image_size) == (2000, 1, 8)
    (whole,) = first.batches(2000)
    (part,) = again.batches(2000, np.array([7, 3]))
    assert whole.shape == (2000, 1, 8, 8)
    assert (part == whole[[7, 3]]).all()
    assert (whole[0] != whole[1]).any()
    assert first.fingerprint == again.fingerprint
    assert first.labels is None
    assert first.provenance == "made here"
    other = noise.load(NOWHERE, image_size=9, channels=3)
    assert next(other.batches(2)).shape == (2, 3, 9, 9)
    assert other.fingerprint != first.fingerprint


def test_noise_has_the_distribution_of_its_name():
    (uniform,), (gaussian,) = (
        [batch.numpy() / 255 for batch in noise.load(NOWHERE, image_size=16).batches(2000)]
        for noise in (UNIFORM, GAUSSIAN)
    )
    assert uniform.mean() == pytest.approx(0.5, abs=0.003)
    assert uniform.std() == pytest.approx(12**-0.5, abs=0.003)
    # Below 0 and above 1 lies P(|N| > 0.5)/2 each; half a grey level of rounding is added.
    assert (gaussian == 0).mean() == pytest.approx(0.3085, abs=0.003)
    assert (gaussian == 1).mean() == pytest.approx(0.3085, abs=0.003)


def test_photo_patches_have_the_requested_shape():
    grey = PHOTO_PATCHES.load(NOWHERE, image_size=8, channels=1)
    colour = PHOTO_PATCHES.load(NOWHERE)
    assert grey.images.shape == (1000, 1, 8, 8)
    assert colour.images.shape == (1000, 3, 32, 32)
    assert len(np.unique(colour.images.reshape(1000, -1), axis=0)) == 1000
    assert PHOTO_PATCHES.status(NOWHERE).images == 1000


def test_the_smallest_photo_patches_are_not_resized():
    from sklearn.datasets import load_sample_image

    corner = load_sample_image("china.jpg")[:32, :32].transpose(2, 0, 1)
    assert np.array_equal(PHOTO_PATCHES.load(NOWHERE).images[0], corner)


def test_batches_of_a_reader_are_tensors(root, write_cifar100):
    write_cifar100(root, count=5)
    batch = next(CIFAR100.load(root).batches(3))
    assert isinstance(batch, torch.Tensor)
    assert batch.shape == (3, 3, 32, 32)
