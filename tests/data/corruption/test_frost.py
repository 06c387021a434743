"""Synthetic frost, and frost from photographs."""

import numpy as np
import pytest
from PIL import Image

from sdd_eval.data.corruption import frost
from sdd_eval.data.corruption.recipe import corrupt
from sdd_eval.errors import InputError

#: Mean change of mid-grey images by 20,000 crops of the five published photographs, with its root
#: mean square spread within crops and its spread between crops, by severity.
PUBLISHED_CHANGE = (
    (0.1271, 0.0188, 0.0304),
    (0.1907, 0.0282, 0.0456),
    (0.2042, 0.0376, 0.0608),
    (0.1792, 0.0376, 0.0608),
    (0.1610, 0.0423, 0.0684),
)


@pytest.mark.parametrize("side", [8, 32, 48])
def test_synthetic_windows_are_bluish_and_textured_at_every_size(side):
    windows = frost.synthetic_windows(side)
    assert len(windows) == 5
    for window in windows:
        assert window.shape == (5 * side, 5 * side, 3)
        assert 0 <= window.min() < window.max() <= 1
        assert window.std() > 0.05
        assert (window[..., 2] >= window[..., 0]).all()


@pytest.mark.parametrize("severity", range(1, 6))
def test_synthetic_frost_changes_pixels_as_much_as_the_published_photographs(severity):
    grey = np.full((2000, 32, 32, 3), 128, np.uint8)
    change = corrupt(grey, "frost", severity).astype(np.float64) / 255 - 128 / 255
    mean, within, between = PUBLISHED_CHANGE[severity - 1]
    assert change.mean() == pytest.approx(mean, rel=0.02)
    assert np.sqrt(change.var(axis=(1, 2)).mean()) == pytest.approx(within, rel=0.05)
    assert change.mean(axis=(1, 2, 3)).std() == pytest.approx(between, rel=0.08)


def test_frost_from_a_flat_photograph_adds_its_colour(tmp_path, photos):
    path = tmp_path / "frost.png"
    Image.fromarray(np.full((200, 300, 3), (250, 100, 50), np.uint8)).save(path)
    corrupted = corrupt(photos, "frost", 3, frost_photos=[path])
    expected = np.minimum(0.9 * photos + 0.4 * np.array([250, 100, 50]), 255)
    assert np.abs(corrupted - np.floor(expected + 5e-4)).max() <= 1


def test_frost_crops_all_photographs_resized_to_a_fifth(photos):
    black = np.zeros((2, 32, 32, 3), np.uint8)
    stripes = np.zeros((320, 320, 3), np.uint8)
    stripes[:, 100:] = 200
    white = np.full((160, 160, 3), 255, np.uint8)
    many = corrupt(black.repeat(40, axis=0), "frost", 1, frost_photos=[stripes, white])
    levels = {tuple(np.unique(image)) for image in many}
    assert (51,) in levels
    assert (0, 40) in levels
    # The edge at column 100 is one at column 20, so a piece has it at 20 at most.
    edges = [(image[0, :, 0] == 0).sum() for image in many if 0 in image]
    assert 14 < max(edges) <= 20
    assert len(set(edges)) > 5


def test_small_or_broken_photographs_are_refused(tmp_path, photos):
    small, broken = tmp_path / "small.png", tmp_path / "broken.png"
    Image.fromarray(np.zeros((100, 400, 3), np.uint8)).save(small)
    broken.write_bytes(b"no image")
    with pytest.raises(InputError, match=r"small\.png is 400 × 100 pixels; frost needs 160 × 160"):
        corrupt(photos, "frost", 1, frost_photos=[small])
    with pytest.raises(InputError, match=r"cannot read .*broken\.png as an image"):
        corrupt(photos, "frost", 1, frost_photos=[broken])
    with pytest.raises(InputError, match="photograph 1 of frost is 100 × 100"):
        corrupt(photos, "frost", 1, frost_photos=[np.zeros((100, 100, 3), np.uint8)])
    with pytest.raises(InputError, match="the list of photographs of frost is empty"):
        corrupt(photos, "frost", 1, frost_photos=[])


def test_a_folder_is_expanded_to_its_photographs(tmp_path, photos):
    (tmp_path / "frosts").mkdir()
    paths = [tmp_path / "frosts" / name for name in ("a.png", "b.png")]
    for path, level in zip(paths, (90, 160), strict=True):
        Image.fromarray(np.full((160, 160, 3), level, np.uint8)).save(path)
    (tmp_path / "frosts" / "readme.txt").write_text("no photograph")
    many = photos.repeat(3, axis=0)
    corrupted = corrupt(many, "frost", 1, frost_photos=[tmp_path / "frosts"])
    assert np.array_equal(corrupted, corrupt(many, "frost", 1, frost_photos=paths))
    assert not np.array_equal(corrupted, corrupt(many, "frost", 1, frost_photos=paths[:1]))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty contains no photographs of frost"):
        corrupt(photos, "frost", 1, frost_photos=[str(tmp_path / "empty")])


def test_of_the_six_published_photographs_the_first_five_are_used_in_their_order(tmp_path):
    names = ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg", "frost6.jpg")
    paths = [tmp_path / name for name in names]
    for level, path in enumerate(paths):
        Image.fromarray(np.full((160, 160, 3), 40 * level, np.uint8)).save(path)
    used = [photo.name for photo in frost.read_photographs(paths[::-1], 32)]
    assert used == [str(path) for path in paths[:5]]
    assert [photo.name for photo in frost.read_photographs([tmp_path], 32)] == used
    assert len(frost.read_photographs(paths[1:], 32)) == 5
