"""Properties of every corruption."""

import numpy as np
import pytest

from sdd_eval.data.corruption.definition import scaled, whole
from sdd_eval.data.corruption.recipe import corrupt
from sdd_eval.errors import InputError
from sdd_eval.metrics.corruption import EXTRA, FIFTEEN, NINETEEN

RANDOM = {
    *("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise", "glass_blur"),
    *("motion_blur", "snow", "frost", "fog", "elastic_transform", "spatter"),
}


def test_the_benchmark_has_fifteen_corruptions_and_four_extra():
    assert len(FIFTEEN) == 15
    assert set(EXTRA) == {"speckle_noise", "gaussian_blur", "spatter", "saturate"}
    assert NINETEEN == FIFTEEN + EXTRA


@pytest.mark.parametrize("corruption", NINETEEN)
def test_corrupting_a_subset_equals_the_rows_of_the_whole(corruption, photos):
    # More images than are worked on at once, so that blocks fall differently.
    many = np.concatenate([np.roll(photos, shift, axis=2) for shift in range(16)])
    rows = np.array([170, 3, 0, 191, 99])
    for severity in (2, 5):
        whole_set = corrupt(many, corruption, severity, seed=1)
        part = corrupt(many[rows], corruption, severity, seed=1, indices=rows)
        assert np.array_equal(part, whole_set[rows])
        one = corrupt(many[[3]], corruption, severity, seed=1, indices=np.array([3]))
        assert np.array_equal(one[0], whole_set[3])


@pytest.mark.parametrize("corruption", NINETEEN)
def test_random_corruptions_depend_on_seed_and_index(corruption, photos):
    first = corrupt(photos, corruption, 3, seed=0)
    assert np.array_equal(first, corrupt(photos, corruption, 3, seed=0))
    other_seed = corrupt(photos, corruption, 3, seed=1)
    elsewhere = corrupt(photos, corruption, 3, seed=0, indices=np.arange(12) + 100)
    assert np.array_equal(first, other_seed) == (corruption not in RANDOM)
    assert np.array_equal(first, elsewhere) == (corruption not in RANDOM)


@pytest.mark.parametrize(
    "corruption",
    [
        *("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise", "gaussian_blur"),
        *("zoom_blur", "fog", "brightness", "contrast", "jpeg_compression", "pixelate", "snow"),
    ],
)
def test_a_higher_severity_changes_the_image_more(corruption, photos):
    many = np.concatenate([photos] * 4)
    apart = [
        np.abs(corrupt(many, corruption, severity).astype(float) - many).mean()
        for severity in (1, 2, 3, 4, 5)
    ]
    assert apart == sorted(apart)
    assert apart[4] > 1.3 * apart[0]


@pytest.mark.parametrize("corruption", NINETEEN)
@pytest.mark.parametrize(("side", "channels"), [(8, 1), (8, 3), (48, 1), (48, 3)])
def test_the_shape_is_preserved_for_other_sizes_and_grey_images(corruption, side, channels, photos):
    rows = np.linspace(0, 31, side).astype(int)
    images = photos[:4, rows][:, :, rows, :channels]
    for severity in (1, 5):
        corrupted = corrupt(images, corruption, severity)
        assert corrupted.shape == images.shape
        assert corrupted.dtype == np.uint8
    assert (corrupted != images).any()


@pytest.mark.parametrize("corruption", ["defocus_blur", "glass_blur", "motion_blur", "spatter"])
def test_large_images_are_corrupted_as_strongly_as_small_ones(corruption, photos):
    large = photos[:2].repeat(7, axis=1).repeat(7, axis=2)
    apart_small = np.abs(corrupt(photos[:2], corruption, 3).astype(float) - photos[:2]).mean()
    apart_large = np.abs(corrupt(large, corruption, 3).astype(float) - large).mean()
    assert apart_large == pytest.approx(apart_small, rel=0.6)


def test_a_large_shift_of_glass_blur_follows_the_scan_pixel_by_pixel(photos):
    from sdd_eval.data.corruption.blur import glass_sources

    reach, side = 3, 20
    offsets = np.random.default_rng(0).integers(-reach, reach, (2, 2, side, side), dtype=np.int16)
    corrupted = glass_sources(offsets, reach)
    for image in range(2):
        shown = np.arange(side * side).reshape(side, side)
        for row in range(side - reach, reach, -1):
            for column in range(side - reach, reach, -1):
                down, right = offsets[image, :, row, column]
                shown[row, column] = shown[row + down, column + right]
        assert np.array_equal(corrupted[image], shown.ravel())


def test_lengths_scale_with_the_side_but_not_below_a_pixel():
    assert scaled(3, 32) == 3
    assert scaled(3, 224) == 21
    assert scaled(3, 8) == 1
    assert scaled(0.4, 8) == 0.4
    assert [whole(1, side) for side in (8, 32, 48, 224)] == [1, 1, 2, 7]


def test_grey_images_are_the_luma_of_their_rgb_version(photos):
    grey = photos[..., :1]
    colour = corrupt(np.repeat(grey, 3, axis=3), "frost", 4).astype(float)
    luma = colour @ [0.299, 0.587, 0.114]
    assert np.abs(corrupt(grey, "frost", 4)[..., 0] - luma).max() <= 1


def test_an_empty_set_stays_empty():
    assert corrupt(np.zeros((0, 32, 32, 3), np.uint8), "fog", 1).shape == (0, 32, 32, 3)


@pytest.mark.parametrize(
    ("corruption", "severity", "seed", "message"),
    [
        ("frosty", 1, 0, "did you mean 'frost'"),
        ("fog", 0, 0, "severity is 0, not one of 1, 2, 3, 4, 5"),
        ("fog", 6, 0, "severity is 6"),
        ("fog", 1, -1, "seed is -1"),
    ],
)
def test_invalid_arguments_are_refused(corruption, severity, seed, message, photos):
    with pytest.raises(InputError, match=message) as caught:
        corrupt(photos, corruption, severity, seed=seed)
    assert "\n" not in str(caught.value)


def test_images_that_are_not_square_are_refused():
    with pytest.raises(InputError, match=r"\(1, 32, 30, 3\)"):
        corrupt(np.zeros((1, 32, 30, 3), np.uint8), "fog", 1)
