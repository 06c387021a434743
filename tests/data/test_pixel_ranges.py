"""Images of every mode of Pillow are scaled to 8 bits by the range of their values."""

import numpy as np
import pytest
from PIL import Image

from sdd_eval.data.image_folder import to_8_bits

GREY = {
    **{"1": 1, "L": 200, "LA": (200, 255), "La": (200, 255), "P": 7, "RGB": (200,) * 3},
    **{"RGBX": (200, 200, 200, 0), "RGBA": (200, 200, 200, 255), "RGBa": (200, 200, 200, 255)},
    **{"CMYK": (0, 0, 0, 55), "YCbCr": (200, 128, 128), "LAB": (205, 128, 128)},
    **{"HSV": (0, 0, 200), "I;16": 200 * 257, "I;16B": 200 * 257, "I;16L": 200 * 257},
    **{"I;16N": 200 * 257},
}


@pytest.mark.parametrize("mode", GREY)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_of_pillow_is_scaled_by_its_range(mode, channels):
    image = Image.new(mode, (3, 2), GREY[mode])
    if mode == "P":
        image.putpalette([0] * 21 + [200, 200, 200])
    pixels = np.asarray(to_8_bits(image, channels))
    assert pixels.shape == ((2, 3) if channels == 1 else (2, 3, 3))
    assert np.abs(pixels.astype(int) - (255 if mode == "1" else 200)).max() <= 1


@pytest.mark.parametrize("mode", ["I", "F"])
def test_values_of_unknown_range_are_refused(mode):
    with pytest.raises(ValueError, match="unknown range; save it with 8 or 16 bits"):
        to_8_bits(Image.new(mode, (2, 2)), 3)


@pytest.mark.parametrize(("bits", "inverted"), [(12, False), (16, True)])
def test_tiff_files_state_their_range(bits, inverted):
    image = Image.fromarray(np.full((2, 2), 200 * (2**bits - 1) // 255, np.uint16))
    image.tag_v2 = {258: (bits,), 262: 0 if inverted else 1}
    expected = 55 if inverted else 200
    assert np.abs(np.asarray(to_8_bits(image, 1)).astype(int) - expected).max() <= 1
