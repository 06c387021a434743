import subprocess
import sys
import time

import numpy as np
import pytest

from sdd_eval import plugins
from sdd_eval.data import catalogue, standardisation
from sdd_eval.data.catalogue import list_datasets
from sdd_eval.data.dataset import Archive
from sdd_eval.data.images import ArrayImages, from_arrays
from sdd_eval.data.ood_sets import default_ood_sets
from sdd_eval.data.readers.digits import DIGITS
from sdd_eval.errors import InputError


def test_hyphens_and_aliases_are_accepted(root):
    assert catalogue.dataset("photo-patches", root).name == "photo_patches"
    assert catalogue.dataset("lsun", root).name == "lsun_resize"


def test_an_unknown_name_suggests_plugins_and_folders(root, write_images):
    write_images(root / "my_scenes", ["a.png"])
    with pytest.raises(InputError, match="unknown data set 'cifar1000'; did you mean 'cifar100'"):
        catalogue.dataset("cifar1000", root)
    with pytest.raises(InputError, match="did you mean 'my_scenes'"):
        catalogue.dataset("my_scene", root)


@pytest.mark.parametrize("name", ["", ".", "..", "/"])
def test_names_of_dots_and_slashes_are_unknown(root, name):
    with pytest.raises(InputError, match="unknown data set"):
        catalogue.dataset(name, root)


def test_the_default_ood_sets_are_in_the_catalogue():
    for name in ("cifar10", "cifar100", "digits", "a folder"):
        assert set(default_ood_sets(name)) <= set(plugins.names("datasets"))


def test_channel_statistics_are_those_of_all_pixels():
    pixels = np.random.default_rng(0).integers(0, 256, (1500, 3, 5, 5), dtype=np.uint8)
    mean, std = standardisation.channel_statistics(ArrayImages("set", pixels, None, "", ""))
    assert mean == pytest.approx((pixels / 255).mean((0, 2, 3)), rel=1e-12)
    assert std == pytest.approx((pixels / 255).std((0, 2, 3)), rel=1e-12)


def test_channel_statistics_of_a_constant_have_no_deviation():
    pixels = np.full((3, 1, 4, 4), 51, dtype=np.uint8)
    images = ArrayImages("set", pixels, None, "", "")
    assert standardisation.channel_statistics(images) == ((0.2,), (0.0,))


def test_standardisation_is_resolved_by_name(root):
    digits = catalogue.dataset("digits", root)
    colour = from_arrays(np.zeros((1, 32, 32, 3), np.uint8))
    authors = standardisation.resolve_standardisation("authors", digits, colour)
    assert authors == ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
    own = standardisation.resolve_standardisation("digits", digits, digits.images("train"))
    assert own == standardisation.channel_statistics(DIGITS.load(root, "train"))


def test_rgb_constants_are_refused_for_grey_images(root):
    digits = catalogue.dataset("digits", root)
    with pytest.raises(InputError, match="use --standardisation digits"):
        standardisation.resolve_standardisation("imagenet", digits, digits.images())


def test_the_authors_constants_of_grey_images_are_those_of_the_data_set(root):
    digits = catalogue.dataset("digits", root)
    train = digits.images("train")
    own = standardisation.resolve_standardisation("authors", digits, train)
    assert own == standardisation.channel_statistics(train)


def test_an_unknown_standardisation_is_refused(root):
    digits = catalogue.dataset("digits", root)
    with pytest.raises(InputError, match="'authros'; did you mean 'authors'"):
        standardisation.resolve_standardisation("authros", digits, digits.images())


def test_the_list_has_plugins_regenerated_sets_and_folders(root, write_images, write_corrupted):
    write_images(root / "scenes", ["a.png", "b.png"])
    write_corrupted(root / "CIFAR-100-C-regenerated")
    (root / "empty").mkdir()
    rows = {row.name: row for row in list_datasets(root)}
    assert set(plugins.names("datasets")) | {"scenes", "cifar100_c_regenerated"} == set(rows)
    assert (rows["scenes"].provenance, rows["scenes"].images) == ("user's folder", 2)
    assert rows["cifar100_c_regenerated"].provenance == "regenerated"
    assert rows["cifar10"].provenance == "absent"
    assert rows["dtd"].source.startswith("https://")


def test_a_broken_set_is_listed_as_broken_with_the_others(root, write_cifar100):
    (write_cifar100(root) / "test").write_bytes(b"broken")
    rows = {row.name: row for row in list_datasets(root)}
    assert rows["cifar100"].provenance.startswith("broken: ")
    assert rows["digits"].provenance == "official"


def test_a_plugin_that_cannot_be_imported_is_listed_with_its_error(root, monkeypatch):
    real = plugins.load

    def load(group, name):
        if name == "dtd":
            raise InputError("plugin 'dtd' does not import")
        return real(group, name)

    monkeypatch.setattr(plugins, "load", load)
    rows = {row.name: row for row in list_datasets(root)}
    assert rows["dtd"].provenance == "broken: plugin 'dtd' does not import"
    assert "cifar10" in rows


def test_listing_is_fast_and_imports_no_heavy_library(root):
    code = (
        "import sys, pathlib; from sdd_eval.data.catalogue import list_datasets;"
        f"list_datasets(pathlib.Path({str(root)!r}));"
        "print([name for name in ('torch', 'sklearn', 'scipy', 'matplotlib', 'pandas')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    list_datasets(root)
    begun = time.process_time()
    list_datasets(root)
    assert time.process_time() - begun < 0.3


def test_every_archive_in_the_catalogue_is_fully_described():
    for name in plugins.names("datasets"):
        for archive in plugins.load("datasets", name).archives:
            assert isinstance(archive, Archive)
            assert archive.url.startswith("http")
            assert len(archive.md5) == 32
            assert archive.filename in archive.url
            assert "dropbox" not in archive.url or archive.url.endswith("?dl=1")
