"""Small data sets in the layouts of their publishers, and a cache folder per test."""

import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


def pixels(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 3072), dtype=np.uint8)


def dump(path, content, protocol=2):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=protocol))


@pytest.fixture
def write_cifar100():
    """Write CIFAR-100's three files with a number of images; labels count upwards."""

    def write(root, count=200, test_labels=None, data=None):
        folder = root / "cifar-100-python"
        for split, number in (("train", 2 * count), ("test", count)):
            labels = [row % 100 for row in range(number)]
            if split == "test" and test_labels is not None:
                labels = test_labels
            content = {
                "filenames": [f"{row}.png" for row in range(number)],
                "fine_labels": labels,
                "coarse_labels": [0] * len(labels),
                "data": pixels(number) if data is None else data,
            }
            dump(folder / split, content)
        names = [f"class {index:02}" for index in range(100)]
        dump(folder / "meta", {"fine_label_names": names, "coarse_label_names": names[:20]})
        return folder

    return write


@pytest.fixture
def write_cifar10():
    def write(root, count=20):
        folder = root / "cifar-10-batches-py"
        for number, name in enumerate([*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]):
            labels = [row % 10 for row in range(count)]
            content = {b"labels": labels, b"data": pixels(count, number)}
            dump(folder / name, content)
        dump(folder / "batches.meta", {"label_names": [f"class {k}" for k in range(10)]})
        return folder

    return write


@pytest.fixture
def write_corrupted():
    """Write a folder in the layout of CIFAR-C; each value encodes the severity of its row."""

    def write(folder, corruptions=("fog", "gaussian_noise"), count=20, side=32, channels=3):
        folder.mkdir(parents=True, exist_ok=True)
        severities = np.repeat(np.arange(1, 6, dtype=np.uint8), count)[:, None, None, None]
        for corruption in corruptions:
            rows = np.broadcast_to(severities, (5 * count, side, side, channels))
            np.save(folder / f"{corruption}.npy", rows)
        np.save(folder / "labels.npy", np.tile(np.arange(count) % 100, 5))
        return folder

    return write


@pytest.fixture
def write_svhn():
    """Write `test_32x32.mat` with digits 1 to 10 in turn, `X` filled with the row's number."""

    def write(root, count=50, labels=None, dtype=np.uint8):
        folder = root / "svhn"
        folder.mkdir(parents=True, exist_ok=True)
        rows = np.broadcast_to(np.arange(count).astype(dtype), (32, 32, 3, count))
        digits = np.arange(count) % 10 + 1 if labels is None else np.asarray(labels)
        savemat(
            folder / "test_32x32.mat",
            {"X": rows, "y": digits.astype(np.uint8)[:, None]},
            do_compression=True,
        )
        return folder

    return write


@pytest.fixture
def write_images():
    """Write one image per name below a folder; every image has another colour."""

    def write(folder, names, size=(40, 36), mode="RGB"):
        for number, name in enumerate(names):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            colour = (10 + number) % 256
            Image.new(mode, size, colour if mode == "L" else (colour, 2 * colour % 256, 3)).save(
                path
            )
        return folder

    return write


@pytest.fixture
def pack():
    """A .tar.gz of a folder's content."""

    def write(archive, folder):
        with tarfile.open(archive, "w:gz") as tar:
            for entry in sorted(Path(folder).iterdir()):
                tar.add(entry, entry.name)
        return archive

    return write


@pytest.fixture
def pack_member():
    """A tar with a harmless file and one member as the test describes it."""

    def write(archive, **described):
        with tarfile.open(archive, "w") as tar:
            harmless = tarfile.TarInfo("set/readme.txt")
            harmless.size = 5
            tar.addfile(harmless, io.BytesIO(b"hello"))
            member = tarfile.TarInfo(described.pop("name"))
            for key, value in described.items():
                setattr(member, key, value)
            tar.addfile(member, io.BytesIO(b"x" * member.size))
        return archive

    return write
