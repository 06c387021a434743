"""Decoding and augmentation of photographs by worker processes."""

import dataclasses
import os
import pickle
import signal

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from sdd_eval.checkpoints import read_card
from sdd_eval.cli import exit_code
from sdd_eval.data.catalogue import load_images
from sdd_eval.data.image_folder import FolderImages
from sdd_eval.data.images import ArrayImages
from sdd_eval.data.splits import validation_split
from sdd_eval.errors import InputError
from sdd_eval.evaluation import Request, evaluate_checkpoint
from sdd_eval.evaluators.accuracy import Accuracy
from sdd_eval.records import Recipe
from sdd_eval.training.data import batches
from sdd_eval.training.data.augmentation import augment_image
from sdd_eval.training.data.batches import epoch_batches, training_set
from sdd_eval.training.data.training_data import with_augmentation
from sdd_eval.training.distributed.processes import Processes
from sdd_eval.training.methods.ce import CrossEntropy
from sdd_eval.training.train import train

CPU = torch.device("cpu")
RECIPE = Recipe(dataset="cub200", batch_size=5, augmentation="resized_crop_flip")


class Greedy(CrossEntropy):
    views = 2
    partners = True


@pytest.fixture(scope="module")
def root(tmp_path_factory, write_cub):
    """Return a data root with a CUB-200 of 24 images, 16 of them for training."""
    folder = tmp_path_factory.mktemp("root")
    write_cub(folder, 24)
    return folder


@pytest.fixture(scope="module")
def birds(root):
    return load_images("cub200", root, "train", image_size=128)


def epoch_of(images, recipe=RECIPE, method=None, epoch=0, workers=0):
    data = training_set(images, CPU, recipe.augmentation, workers)
    return list(epoch_batches(data, recipe, method or Greedy(), epoch))


def tensors(batches):
    return [tensor for batch in batches for tensor in (*batch.views, batch.partners, batch.labels)]


def kinds(pixels):
    """Return the class of an image by its colour: reddish or greenish."""
    return pixels.mean((2, 3)).argmax(1)


def test_an_epoch_has_each_image_once_with_label_views_and_partner(birds):
    result = epoch_of(birds)
    assert [len(batch.labels) for batch in result] == [5, 5, 5, 1]
    assert torch.cat([batch.labels for batch in result]).bincount().tolist() == [8, 8]
    for batch in result:
        assert len(batch.views) == 2
        assert not torch.equal(*batch.views)
        for pixels in (*batch.views, batch.partners):
            assert pixels.shape[1:] == (3, 128, 128)
            assert pixels.dtype == torch.float32
            assert 0 <= pixels.min() < pixels.max() <= 1
            assert torch.equal(kinds(pixels), batch.labels)


@pytest.mark.parametrize("workers", [1, 2])
def test_batches_do_not_depend_on_the_number_of_workers(birds, workers):
    alone, shared = epoch_of(birds), epoch_of(birds, workers=workers)
    for one, other in zip(tensors(alone), tensors(shared), strict=True):
        assert torch.equal(one, other)


def test_an_epoch_depends_only_on_seed_and_epoch(birds):
    epoch_of(birds, epoch=2)
    torch.rand(7)
    before = torch.get_rng_state()
    again, other = epoch_of(birds, epoch=3), epoch_of(birds, epoch=4)
    assert torch.equal(torch.get_rng_state(), before)
    for one, same in zip(tensors(epoch_of(birds, epoch=3)), tensors(again), strict=True):
        assert torch.equal(one, same)
    assert not torch.equal(again[0].pixels, other[0].pixels)
    reseeded = epoch_of(birds, dataclasses.replace(RECIPE, seed=1), epoch=3)
    assert not torch.equal(again[0].pixels, reseeded[0].pixels)


def test_objects_sent_to_workers_can_be_pickled(birds):
    draws = batches.AugmentedViews(birds, RECIPE, 0, 2)
    sent = pickle.loads(pickle.dumps(draws))
    batch = [(3, 5), (4, 0)]
    assert torch.equal(sent[batch], draws[batch])
    assert draws[batch].shape == (3, 2, 3, 128, 128)


def test_the_augmentation_of_an_image_does_not_depend_on_its_position_in_the_epoch(birds):
    plain = CrossEntropy()
    small, large = (
        epoch_of(birds, dataclasses.replace(RECIPE, batch_size=size), plain) for size in (3, 16)
    )
    pixels = torch.cat([batch.pixels for batch in small])
    assert torch.equal(pixels, torch.cat([batch.pixels for batch in large]))


def test_photographs_are_augmented_as_by_torchvision(birds):
    theirs = v2.Compose(
        [
            v2.RandomResizedCrop(64, scale=(0.08, 1.0), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.PILToTensor(),
        ]
    )
    image = birds.full_resolution(0)
    for seed in range(5):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            expected = theirs(image)
        assert torch.equal(augment_image(image, "resized_crop_flip", 64, seed), expected)


def test_images_in_memory_are_augmented_as_by_torchvision():
    pixels = np.random.default_rng(0).integers(0, 256, (8, 3, 16, 16), dtype=np.uint8)
    images = ArrayImages("small", pixels, np.arange(8) % 2, "f", "made here")
    result = epoch_of(images)
    assert result[0].pixels.shape == (5, 3, 16, 16)
    assert not torch.equal(*result[0].views)


@pytest.mark.parametrize("count", [2, 3])
def test_shards_of_a_streamed_batch_concatenate_to_the_batch(birds, count):
    """Of 16 images in batches of 5, only the first process has a row of the last batch."""
    data = training_set(birds, CPU, RECIPE.augmentation)
    parts = [
        list(epoch_batches(data, RECIPE, Greedy(), 1, Processes("cpu", rank, count).rows))
        for rank in range(count)
    ]
    assert [len(share.labels) for share in (part[-1] for part in parts)] == [1] + [0] * (count - 1)
    for batch, *shares in zip(epoch_of(birds, epoch=1), *parts, strict=True):
        stacked = [torch.cat(item) for item in zip(*(tensors([s]) for s in shares), strict=True)]
        for whole, own in zip(tensors([batch]), stacked, strict=True):
            assert torch.equal(own, whole)
        for share in shares:
            assert [len(tensor) for tensor in tensors([share])] == [len(share.rows)] * 4
            assert torch.equal(kinds(share.partners), share.labels)
            assert torch.equal(kinds(share.views[1]), share.labels)
            assert share.total == len(batch.labels)


def test_validation_images_are_not_streamed(birds):
    training, held = validation_split(birds, 6, seed=0)
    colours = {tuple(np.asarray(birds.full_resolution(int(row)))[0, 0]) for row in training.rows}
    seen = {tuple(np.asarray(image)[0, 0]) for image in map(streamed_original(training), range(10))}
    assert seen == colours
    assert len(held) == 6
    assert with_augmentation(Recipe(), training).augmentation == "resized_crop_flip"
    assert sum(len(batch.labels) for batch in epoch_of(training)) == 10


def streamed_original(images):
    return lambda row: batches.full_resolution(images, row)


def test_auto_augmentation_is_resized_crop_for_photographs_and_crop_for_small_images(birds, root):
    assert with_augmentation(Recipe(), birds).augmentation == "resized_crop_flip"
    small = load_images("cub200", root, "train", image_size=32)
    assert with_augmentation(Recipe(), small).augmentation == "crop_flip"
    assert with_augmentation(Recipe(augmentation="none"), birds).augmentation == "none"


def test_a_small_folder_is_decoded_to_the_device_once(root):
    small = load_images("cub200", root, "train", image_size=32)
    data = training_set(small, CPU)
    assert torch.equal(data.images, torch.cat(list(small.batches(7))))


def test_a_large_folder_is_streamed_batch_by_batch(root, monkeypatch):
    monkeypatch.setattr(batches, "RESIDENT_BYTES", 1000)
    read, original = [], FolderImages.full_resolution
    monkeypatch.setattr(
        FolderImages, "full_resolution", lambda self, row: read.append(row) or original(self, row)
    )
    small = load_images("cub200", root, "train", image_size=32)
    recipe = dataclasses.replace(RECIPE, augmentation="none")
    data = training_set(small, CPU, "none")
    first = next(epoch_batches(data, recipe, CrossEntropy(), 0))
    assert len(read) == 5
    expected = next(small.batches(5, np.array(read)))
    assert torch.equal((first.pixels * 255).round().byte(), expected)

    moved = epoch_of(small, dataclasses.replace(RECIPE, augmentation="crop_flip"))[0]
    assert torch.equal(kinds(moved.pixels), moved.labels)
    assert not torch.equal(*moved.views)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_image_gives_a_one_line_error(birds, tmp_path, workers):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff and then nothing")
    images = dataclasses.replace(birds, folder=tmp_path, files=("broken.jpg",) * len(birds))
    with pytest.raises(InputError, match=r"cannot read .*broken\.jpg as") as caught:
        epoch_of(images, workers=workers)
    assert "\n" not in str(caught.value)


def test_the_error_about_a_killed_worker_suggests_fewer_workers(birds, monkeypatch):
    def die(self, pairs):
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(batches.AugmentedViews, "__getitem__", die)
    with pytest.raises(InputError, match=r"of 2 workers that read images was killed.*--workers 1"):
        epoch_of(birds, workers=2)


def test_a_negative_number_of_workers_is_refused(birds):
    with pytest.raises(InputError, match="workers is -1; it must be 0 or more"):
        training_set(birds, CPU, workers=-1)


class Interrupter:
    """Progress that raises KeyboardInterrupt after a number of images."""

    def __init__(self, images):
        self.left = images

    def start(self, label, total):
        pass

    def advance(self, units=1, note=""):
        self.left -= units
        if self.left < 0:
            raise KeyboardInterrupt


def test_a_training_on_photographs_resumes_and_is_evaluated(root, tmp_path):
    recipe = Recipe(
        dataset="cub200",
        arch="small_cnn",
        image_size=128,
        batch_size=8,
        epochs=2,
        lr=0.01,
        sd_dropout=0.1,
        position="layer2",
    )
    options = {"data_root": root, "device": "cpu", "threads": 1}
    card = train(recipe, tmp_path / "alone", workers=0, **options)
    assert card.recipe.augmentation == "resized_crop_flip"
    assert card.model.mean == (0.485, 0.456, 0.406)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "two", workers=2, progress=Interrupter(17), **options)
    assert (tmp_path / "two" / card.name / "state.pt").exists()
    again = train(recipe, tmp_path / "two", workers=1, **options)
    assert again.weights_sha256 == card.weights_sha256
    assert train(recipe, tmp_path / "two", **options) == again  # "auto" is what it has

    request = Request(Accuracy(), tmp_path / "study", root)
    run = evaluate_checkpoint(tmp_path / "two" / card.name, request).run
    assert run.n == 8
    assert run.measurements[0].value == pytest.approx(card.metrics["accuracy"])
    assert run.provenance.data["cub200"].origin == "partial: 8 of 5,794"


@pytest.mark.slow
def test_the_train_command_of_the_paper_runs_on_photographs(root, tmp_path, capsys):
    command = (
        "train --dataset cub200 --arch torchvision:resnet18 --batch-size 8 --epochs 1 --lr 0.01 "
        f"--sd-dropout 1 --threads 1 --data-root {root} --checkpoints {tmp_path}"
    )
    assert exit_code(command.split()) == 0
    assert "cub200-torchvision_resnet18-ce-sdd1-seed0" in capsys.readouterr().out
    spec = read_card(tmp_path / "cub200-torchvision_resnet18-ce-sdd1-seed0").model
    assert (spec.image_size, spec.classes) == (224, 2)
