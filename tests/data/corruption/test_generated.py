"""Corrupted sets that are rendered while they are read."""

import numpy as np
import pytest

from sdd_eval.data.corruption import generated
from sdd_eval.data.corruption.generated import GeneratedCorruptions
from sdd_eval.data.corruption.recipe import corrupt
from sdd_eval.data.images import ArrayImages, ImageSet
from sdd_eval.errors import InputError
from sdd_eval.metrics.corruption import FIFTEEN


@pytest.fixture
def source(photos):
    pixels = np.ascontiguousarray(photos.transpose(0, 3, 1, 2))
    return ArrayImages("patches", pixels, np.arange(12), "f" * 64, "made here", ("a", "b"))


def test_the_set_is_regenerated_and_has_the_sources_metadata(source):
    rendering = GeneratedCorruptions(source)
    assert rendering.name == "patches_c_regenerated"
    assert rendering.provenance == "regenerated"
    assert rendering.frost == "synthetic"
    assert rendering.corruptions == FIFTEEN
    cell = rendering.cell("fog", 2)
    assert isinstance(cell, ImageSet)
    assert len(cell) == 12
    assert cell.provenance == "regenerated"
    assert cell.class_names == ("a", "b")
    assert np.array_equal(cell.labels, source.labels)
    assert (cell.image_size, cell.channels) == (32, 3)


@pytest.mark.parametrize("small", [True, False])
def test_batches_have_the_requested_rows(source, photos, small, monkeypatch):
    if not small:
        monkeypatch.setattr(generated, "SMALL", 0)
    cell = GeneratedCorruptions(source, seed=4).cell("elastic_transform", 3)
    whole = corrupt(photos, "elastic_transform", 3, seed=4)
    rows = np.array([9, 2, 2, 11, 0])
    for _ in range(2):
        batches = [batch.numpy() for batch in cell.batches(2, rows)]
        assert [len(batch) for batch in batches] == [2, 2, 1]
        assert np.array_equal(np.concatenate(batches).transpose(0, 2, 3, 1), whole[rows])
    everything = np.concatenate([batch.numpy() for batch in cell.batches(5)])
    assert np.array_equal(everything.transpose(0, 2, 3, 1), whole)


def test_only_requested_rows_are_rendered_and_only_once(source, monkeypatch):
    corrupted = []

    def noting(pixels, *arguments, **settings):
        corrupted.extend(settings["indices"].tolist())
        return corrupt(pixels, *arguments, **settings)

    monkeypatch.setattr(generated, "corrupt", noting)
    rows = np.array([1, 5])
    list(GeneratedCorruptions(source, seed=77).cell("contrast", 1).batches(8, rows))
    assert corrupted == [1, 5]
    # Another evaluation makes the set anew, and finds what the first has rendered.
    list(GeneratedCorruptions(source, seed=77).cell("contrast", 1).batches(8, np.array([5, 6])))
    assert corrupted == [1, 5, 6]


def test_the_cache_stays_within_its_limit(source, monkeypatch):
    monkeypatch.setattr(generated, "CACHE_BYTES", 3 * 12 * 3072)
    rendering = GeneratedCorruptions(source, seed=78)
    for severity in range(1, 6):
        list(rendering.cell("contrast", severity).batches(12))
    held = sum(pixels.nbytes for pixels, _ in generated._CACHE.values())
    assert held <= 3 * 12 * 3072


def test_the_fingerprint_depends_on_everything_that_determines_the_images(source, photos):
    photo = np.zeros((200, 200, 3), np.uint8)
    other = ArrayImages("patches", source.images, source.labels, "e" * 64, "made here")
    renderings = [
        GeneratedCorruptions(source),
        GeneratedCorruptions(source, seed=1),
        GeneratedCorruptions(source, frost_photos=[photo]),
        GeneratedCorruptions(source, frost_photos=[photo + 1]),
        GeneratedCorruptions(other),
    ]
    prints = {rendering.fingerprint for rendering in renderings}
    cells = {
        rendering.cell("fog", level).fingerprint for rendering in renderings for level in (1, 2)
    }
    assert len(prints) == 5
    assert len(cells) == 10
    assert GeneratedCorruptions(source).fingerprint == renderings[0].fingerprint
    assert renderings[2].frost == "photographs"


def test_an_unknown_cell_is_refused(source):
    with pytest.raises(InputError, match="unknown corruption 'rain'"):
        GeneratedCorruptions(source).cell("rain", 1)
    with pytest.raises(InputError, match="severity is 9"):
        GeneratedCorruptions(source).cell("fog", 9)
