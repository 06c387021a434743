"""All kinds of image sets satisfy one protocol."""

import numpy as np
import pytest
import torch
from PIL import Image

from sdd_eval.data.image_folder import FolderImages
from sdd_eval.data.images import ArrayImages, ImageSet, MappedImages
from sdd_eval.errors import InputError

COUNT, SIDE = 7, 6


@pytest.fixture(scope="module", params=[1, 3], ids=["grey", "colour"])
def truth(request):
    shape = (COUNT, request.param, SIDE, SIDE)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def in_memory(truth, folder, shared):
    return ArrayImages(images=truth, **shared)


def mapped(truth, folder, shared):
    padded = np.concatenate([truth[:2], truth, truth[:3]]).transpose(0, 2, 3, 1)
    np.save(folder / "rows.npy", padded)
    return MappedImages(
        path=folder / "rows.npy",
        start=2,
        stop=2 + COUNT,
        image_size=SIDE,
        channels=truth.shape[1],
        **shared,
    )


def streamed(truth, folder, shared):
    for row, image in enumerate(truth):
        array = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
        Image.fromarray(array).save(folder / f"{row}.png")
    files = tuple(f"{row}.png" for row in range(COUNT))
    channels = truth.shape[1]
    return FolderImages(folder=folder, files=files, image_size=SIDE, channels=channels, **shared)


@pytest.fixture(params=[in_memory, mapped, streamed], ids=lambda make: make.__name__)
def images(request, truth, tmp_path):
    shared = {
        "name": "set",
        "labels": np.arange(COUNT) % 3,
        "fingerprint": "f",
        "provenance": "made here",
        "class_names": ("a", "b", "c"),
    }
    return request.param(truth, tmp_path, shared)


def test_every_implementation_satisfies_the_protocol(images, truth):
    assert isinstance(images, ImageSet)
    assert (len(images), images.channels, images.image_size) == (COUNT, truth.shape[1], SIDE)


def test_batches_cover_all_images_in_order(images, truth):
    batches = list(images.batches(3))
    assert [len(batch) for batch in batches] == [3, 3, 1]
    assert all(batch.dtype == torch.uint8 for batch in batches)
    assert np.array_equal(torch.cat(batches).numpy(), truth)


def test_batches_follow_the_order_of_the_indices(images, truth):
    wanted = np.array([5, 0, 3, 3])
    batches = list(images.batches(3, wanted))
    assert [len(batch) for batch in batches] == [3, 1]
    assert np.array_equal(torch.cat(batches).numpy(), truth[wanted])


def test_empty_indices_yield_no_batch(images):
    assert list(images.batches(3, np.array([], dtype=np.int64))) == []


def test_modifying_a_batch_does_not_change_the_set(images, truth):
    next(images.batches(COUNT, np.arange(COUNT))).zero_()
    assert np.array_equal(torch.cat(list(images.batches(3))).numpy(), truth)


def test_a_broken_image_is_named(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    images = FolderImages("set", tmp_path, ("broken.png",), 4, 3, None, "f", "user's folder")
    with pytest.raises(InputError, match=r"cannot read .*broken\.png as an image"):
        next(images.batches(1))


def test_an_image_that_is_too_small_to_crop_is_named(tmp_path):
    Image.new("RGB", (3, 9)).save(tmp_path / "small.png")
    images = FolderImages("set", tmp_path, ("small.png",), 4, 3, None, "f", "user's folder")
    with pytest.raises(InputError, match=r"small\.png.*3 × 9"):
        next(images.batches(1))
