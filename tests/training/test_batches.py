import dataclasses

import numpy as np
import pytest
import torch

from sdd_eval.data.images import ArrayImages
from sdd_eval.errors import InputError
from sdd_eval.records import Recipe
from sdd_eval.training.data.augmentation import augment_image, random_crop, random_flip
from sdd_eval.training.data.batches import (
    TrainingSet,
    draw_partners,
    epoch_batches,
    training_set,
)
from sdd_eval.training.methods.ce import CrossEntropy


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def numbered(count=50, side=8):
    """Return images whose pixels equal their index, with the index modulo 5 as label."""
    images = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, side, side)
    return TrainingSet(images.contiguous(), torch.arange(count) % 5)


def batches(recipe, epoch=0, method=None, count=50):
    return list(epoch_batches(numbered(count), recipe, method or CrossEntropy(), epoch))


PLAIN = Recipe(batch_size=16, augmentation="none")


def test_an_epoch_has_each_image_once_including_a_partial_last_batch():
    result = batches(PLAIN)
    assert [len(batch.labels) for batch in result] == [16, 16, 16, 2]
    numbers = torch.cat([batch.pixels[:, 0, 0, 0] for batch in result]) * 255
    assert sorted(numbers.round().int().tolist()) == list(range(50))
    labels = torch.cat([batch.labels for batch in result])
    assert torch.equal(labels, numbers.round().long() % 5)


def test_pixels_are_float32_in_0_to_1():
    pixels = batches(PLAIN)[0].pixels
    assert pixels.dtype == torch.float32
    assert pixels.max() <= 49 / 255


def test_order_and_augmentation_depend_only_on_seed_and_epoch():
    def first(recipe, epoch):
        batch = batches(recipe, epoch)[0]
        return batch.labels, batch.pixels

    recipe = Recipe(batch_size=16, augmentation="crop_flip")
    other_seed = dataclasses.replace(recipe, seed=1)
    torch.manual_seed(7)
    once = first(recipe, 3)
    torch.manual_seed(8)
    again = first(recipe, 3)
    assert all(torch.equal(one, two) for one, two in zip(once, again, strict=True))
    assert not torch.equal(once[1], first(recipe, 4)[1])
    assert not torch.equal(once[1], first(other_seed, 3)[1])


def test_a_crop_shifts_by_up_to_an_eighth_of_the_side_and_pads_with_zeros():
    image = torch.arange(1, 33 * 32 + 1 - 32).view(1, 1, 32, 32)
    shifted = random_crop(image.expand(4000, 1, 32, 32), seeded())
    offsets = set()
    for row in shifted[:, 0]:
        y, x = divmod(int(row[16, 16]) - 1, 32)
        dy, dx = y - 16, x - 16
        offsets.add((dy, dx))
        expected = torch.zeros(40, 40, dtype=image.dtype)
        expected[4:36, 4:36] = image[0, 0]
        assert torch.equal(row, expected[4 + dy : 36 + dy, 4 + dx : 36 + dx])
    assert offsets == {(dy, dx) for dy in range(-4, 5) for dx in range(-4, 5)}


def test_a_crop_shifts_all_channels_of_an_image_equally():
    images = torch.randint(256, (20, 1, 8, 8), generator=seeded(), dtype=torch.uint8)
    moved = random_crop(images.expand(-1, 3, -1, -1), seeded(1))
    assert torch.equal(moved[:, 0], moved[:, 2])
    assert not torch.equal(moved[:, :1], images)


def test_half_of_the_images_are_mirrored_left_to_right():
    image = torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8)
    result = random_flip(image.expand(10_000, 1, 8, 8), seeded())
    mirrored = (result == image.flip(3)).all((1, 2, 3))
    assert torch.equal(~mirrored, (result == image).all((1, 2, 3)))
    assert mirrored.float().mean().item() == pytest.approx(0.5, abs=0.02)


def test_partners_are_drawn_uniformly_from_the_same_class():
    data = numbered(50)
    rows = torch.arange(50).repeat(400)
    result = draw_partners(data, rows, seeded())
    assert torch.equal(data.labels[result], data.labels[rows])
    counts = torch.bincount(result, minlength=50)
    assert counts.min() > 300
    assert counts.max() < 500


@pytest.mark.parametrize("augmentation", ["none", "crop", "crop_flip"])
def test_crop_does_not_mirror(augmentation):
    ramp = torch.arange(0, 160, 10, dtype=torch.uint8).expand(50, 3, 16, 16).contiguous()
    data = TrainingSet(ramp, torch.arange(50) % 5)
    recipe = Recipe(batch_size=50, augmentation=augmentation)
    (batch,) = epoch_batches(data, recipe, CrossEntropy(), 0)
    one_by_one = [
        augment_image(image, augmentation, 16, seed) / 255 for seed, image in enumerate(ramp)
    ]
    for pixels in (batch.pixels, torch.stack(one_by_one)):
        middle = pixels[:, 0, 8]
        rising = middle[:, 9] > middle[:, 6]
        assert rising.all() == (augmentation != "crop_flip")
        assert rising.any()
        assert torch.equal(middle[:, 8], middle[:1, 8].expand(50)) == (augmentation == "none")


def test_a_batch_has_the_views_and_partners_of_the_method():
    class Greedy(CrossEntropy):
        views = 2
        partners = True

    recipe = dataclasses.replace(PLAIN, augmentation="crop_flip")
    batch = batches(recipe, method=Greedy())[0]
    assert len(batch.views) == 2
    assert not torch.equal(*batch.views)
    centres = [view[:, 0, 4, 4] for view in batch.views]
    assert torch.equal(*centres)  # the same images
    partners = (batch.partners[:, 0, 4, 4] * 255).round().long()
    assert torch.equal(partners % 5, batch.labels)


def test_channels_last_changes_the_memory_layout_but_not_the_pixels():
    plain, last = (
        batches(dataclasses.replace(PLAIN, channels_last=flag))[0].pixels for flag in (False, True)
    )
    assert torch.equal(plain, last)
    assert last.is_contiguous(memory_format=torch.channels_last)


def test_images_without_labels_cannot_be_trained_on():
    images = ArrayImages("beach", np.zeros((4, 3, 8, 8), np.uint8), None, "0", "made here")
    with pytest.raises(InputError, match="beach has no labels"):
        training_set(images, torch.device("cpu"))
