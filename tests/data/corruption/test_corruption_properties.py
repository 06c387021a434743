"""Properties of single corruptions: noise levels, directions, and rounding."""

import numpy as np
import pytest

from sdd_eval.data.corruption.recipe import corrupt


def test_values_are_truncated_and_not_rounded():
    grey = np.full((1, 32, 32, 3), 100, np.uint8)
    # 100 + .05 · 255 = 112.75
    assert (corrupt(grey, "brightness", 1) == 112).all()


def test_a_flat_image_is_unchanged_by_every_blur():
    for level in (1, 100, 254, 255):
        flat = np.full((1, 32, 32, 3), level, np.uint8)
        for blur in ("gaussian_blur", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur"):
            for severity in (1, 3, 5):
                assert (corrupt(flat, blur, severity) == level).all(), (blur, severity, level)


@pytest.mark.parametrize(("severity", "scale"), [(1, 0.04), (5, 0.10)])
def test_gaussian_noise_has_the_standard_deviation_of_the_table(severity, scale):
    grey = np.full((20, 32, 32, 3), 128, np.uint8)
    noise = corrupt(grey, "gaussian_noise", severity).astype(float) / 255
    assert noise.std() == pytest.approx(scale, rel=0.02)
    # Truncation costs half a level.
    assert noise.mean() == pytest.approx((128 - 0.5) / 255, abs=0.002)


def test_shot_noise_has_the_variance_of_counted_photons():
    grey = np.full((20, 32, 32, 3), 128, np.uint8)
    for severity, white in ((1, 500), (4, 75)):
        noise = corrupt(grey, "shot_noise", severity).astype(float) / 255
        assert noise.var() == pytest.approx(128 / 255 / white, rel=0.03)


def test_impulse_noise_has_as_much_salt_as_pepper():
    grey = np.full((20, 32, 32, 3), 128, np.uint8)
    noise = corrupt(grey, "impulse_noise", 5)
    assert (noise == 255).mean() == pytest.approx(0.035, rel=0.05)
    assert (noise == 0).mean() == pytest.approx(0.035, rel=0.05)
    assert set(np.unique(noise)) == {0, 128, 255}


def test_motion_blur_smears_one_way_only():
    dot = np.zeros((40, 32, 32, 3), np.uint8)
    dot[:, 16, 16] = 255
    smeared = corrupt(dot, "motion_blur", 5)[..., 0]
    # The kernel reads ahead within ±45° of the rows, so light goes to the left and stays there.
    assert (smeared[:, :, 17:] == 0).all()
    assert (smeared[:, :, 13:16].max(axis=(1, 2)) > 0).all()


def test_saturating_black_pixels_uses_the_hue_of_red():
    grey = np.full((1, 32, 32, 3), 200, np.uint8)
    assert corrupt(grey, "saturate", 5)[0, 0, 0].tolist() == [200, 160, 160]
