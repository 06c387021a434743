import json
from pathlib import Path

import numpy as np
import pytest

from sdd_eval.data import catalogue
from sdd_eval.data.readers.cifar import CIFAR100
from sdd_eval.data.readers.cifar_c import CIFAR10_C, CIFAR100_C, open_corrupted_folder
from sdd_eval.errors import InputError

SMAPS = Path("/proc/self/smaps")


def test_a_cell_has_the_rows_of_its_severity(root, write_corrupted):
    write_corrupted(root / "CIFAR-100-C")
    corrupted = CIFAR100_C.load_corrupted(root)
    assert corrupted.corruptions == ("gaussian_noise", "fog")
    cell = corrupted.cell("fog", 4)
    assert (len(cell), cell.channels, cell.image_size) == (20, 3, 32)
    assert (next(cell.batches(20)) == 4).all()
    assert cell.labels.tolist() == list(range(20))
    assert cell.provenance == "partial: 20 of 10,000"


@pytest.mark.skipif(not SMAPS.exists(), reason="asks Linux which pages are in memory")
def test_a_cell_reads_only_its_own_rows(root, write_corrupted):
    count = 2000  # a severity is 6 MB, the file 31 MB
    write_corrupted(root / "CIFAR-100-C", ("fog",), count)
    cell = CIFAR100_C.load_corrupted(root).cell("fog", 2)
    resident = []
    for batch in cell.batches(500):
        assert (batch == 2).all()
        resident.append(_resident_kilobytes("fog.npy"))
    assert len(resident) == 4
    assert 0 < max(resident) < 1.2 * count * 3


def _resident_kilobytes(file):
    """Return the kilobytes of a mapped file that are in memory."""
    lines = iter(SMAPS.read_text().splitlines())
    corrupted = 0
    for line in lines:
        if line.endswith(file):
            corrupted += next(int(item.split()[1]) for item in lines if item.startswith("Rss:"))
    return corrupted


def test_fingerprints_differ_by_corruption_and_severity(root, write_corrupted):
    write_corrupted(root / "CIFAR-100-C", ("fog", "snow"))
    array = np.load(root / "CIFAR-100-C" / "snow.npy")
    np.save(root / "CIFAR-100-C" / "snow.npy", array + 1)
    corrupted = CIFAR100_C.load_corrupted(root)
    prints = {
        corrupted.cell(name, level).fingerprint for name in ("fog", "snow") for level in (1, 2)
    }
    assert len(prints) == 4


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((100, 32, 32, 3), np.float32), "has the type float32, not uint8"),
        (np.zeros((100, 32, 32), np.uint8), "has the shape"),
        (np.zeros((100, 32, 31, 3), np.uint8), "has the shape"),
        (np.zeros((99, 32, 32, 3), np.uint8), "has the shape"),
        (np.zeros((0, 32, 32, 3), np.uint8), "has the shape"),
        (np.zeros((50, 32, 32, 3), np.uint8), "has the shape"),
    ],
)
def test_a_file_of_another_shape_or_type_is_named(root, write_corrupted, array, message):
    write_corrupted(root / "CIFAR-100-C", ("gaussian_noise", "fog"))
    np.save(root / "CIFAR-100-C" / "fog.npy", array)
    only_fog_is_lost(CIFAR100_C.load_corrupted(root), rf"fog\.npy {message}")


def only_fog_is_lost(corrupted, message):
    """Check that `fog` is refused by name and gaussian noise is read."""
    assert corrupted.corruptions == ("gaussian_noise",)
    assert (next(corrupted.cell("gaussian_noise", 2).batches(20)) == 2).all()
    with pytest.raises(InputError, match=message):
        corrupted.cell("fog", 1)


@pytest.mark.parametrize("size", [0, 5, 1000])
def test_a_truncated_file_is_named(root, write_corrupted, size):
    folder = write_corrupted(root / "CIFAR-100-C")
    path = folder / "fog.npy"
    path.write_bytes(path.read_bytes()[:size])
    only_fog_is_lost(CIFAR100_C.load_corrupted(root), r"fog\.npy is not a complete \.npy file")


def test_a_pickle_in_a_npy_file_is_not_executed(root, write_corrupted):
    folder = write_corrupted(root / "CIFAR-100-C")
    np.save(folder / "fog.npy", np.array([print], dtype=object), allow_pickle=True)
    only_fog_is_lost(CIFAR100_C.load_corrupted(root), r"fog\.npy is not a complete \.npy file")


def test_reading_a_missing_file_names_it(root, write_corrupted):
    write_corrupted(root / "CIFAR-100-C", ("gaussian_noise",))
    only_fog_is_lost(CIFAR100_C.load_corrupted(root), r"fog\.npy does not exist")


def test_the_most_frequent_shape_is_the_expected_one(root, write_corrupted):
    folder = write_corrupted(root / "CIFAR-100-C", ("gaussian_noise", "snow", "fog"))
    np.save(folder / "gaussian_noise.npy", np.zeros((50, 32, 32, 3), np.uint8))
    corrupted = CIFAR100_C.load_corrupted(root)
    assert corrupted.corruptions == ("snow", "fog")
    assert corrupted.images == 20
    assert CIFAR100_C.status(root).images == 20
    with pytest.raises(InputError, match=r"gaussian_noise\.npy has the shape .* 2 other files"):
        corrupted.cell("gaussian_noise", 1)


def test_a_folder_without_a_complete_file_is_refused(root, write_corrupted):
    folder = write_corrupted(root / "CIFAR-100-C", ("fog",))
    (folder / "fog.npy").write_bytes(b"")
    with pytest.raises(InputError, match=r"fog\.npy is not a complete \.npy file"):
        CIFAR100_C.load_corrupted(root)


def test_a_repaired_file_changes_the_fingerprint(root, write_corrupted):
    folder = write_corrupted(root / "CIFAR-100-C")
    whole = (folder / "fog.npy").read_bytes()
    (folder / "fog.npy").write_bytes(whole[:-1])
    broken = CIFAR100_C.load_corrupted(root).fingerprint
    (folder / "fog.npy").write_bytes(whole)
    assert CIFAR100_C.load_corrupted(root).fingerprint != broken


def test_a_set_with_a_broken_file_does_not_pass_verification(root, write_corrupted):
    from sdd_eval.data.install.verify import verified_status

    folder = write_corrupted(root / "CIFAR-100-C")
    assert verified_status(CIFAR100_C, root).images == 20
    (folder / "fog.npy").write_bytes(b"")
    with pytest.raises(InputError, match=r"fog\.npy is not a complete \.npy file"):
        verified_status(CIFAR100_C, root)


def test_labels_that_differ_between_severities_are_refused(root, write_corrupted):
    folder = write_corrupted(root / "CIFAR-100-C")
    np.save(folder / "labels.npy", np.arange(100))
    with pytest.raises(InputError, match=r"labels\.npy does not repeat"):
        CIFAR100_C.load_corrupted(root)
    np.save(folder / "labels.npy", np.arange(20))
    with pytest.raises(InputError, match=r"labels\.npy: its labels are int64 \(20,\), not 100"):
        CIFAR100_C.load_corrupted(root)


@pytest.mark.parametrize("content", [None, b"", b"no array"])
def test_without_labels_the_set_takes_those_of_the_test_set(
    root, write_corrupted, write_cifar100, content
):
    write_cifar100(root, count=20)
    clean = CIFAR100.load(root)
    path = write_corrupted(root / "CIFAR-100-C") / "labels.npy"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    corrupted = catalogue.load_corrupted("cifar100_c", root, clean=clean)
    assert "labels.npy" in corrupted.broken["labels"]
    assert corrupted.cell("fog", 2).labels.tolist() == clean.labels.tolist()


def test_matching_checksums_are_official_even_if_corruptions_are_missing(
    root, write_corrupted, monkeypatch
):
    from sdd_eval.data.fingerprints import file_digests

    folder = write_corrupted(root / "CIFAR-100-C", ("fog",), count=10_000, side=1)
    for name in ("fog", "labels"):
        monkeypatch.setitem(CIFAR100_C.md5, name, file_digests(folder / f"{name}.npy").md5)
    assert CIFAR100_C.load_corrupted(root).provenance == "official"
    assert CIFAR100_C.status(root).provenance == "official"
    monkeypatch.setitem(CIFAR100_C.md5, "fog", "0" * 32)
    assert CIFAR100_C.load_corrupted(root).provenance == "unverified"


def test_a_folder_with_a_record_of_this_package_is_regenerated(root, write_corrupted):
    folder = write_corrupted(root / "CIFAR-100-C")
    (folder / "regenerated.json").write_text(json.dumps({"frost": "photographs"}))
    corrupted = CIFAR100_C.load_corrupted(root)
    assert (corrupted.provenance, corrupted.frost) == ("regenerated", "photographs")
    assert CIFAR100_C.status(root).provenance == "regenerated"


def test_unknown_corruptions_and_severities_are_refused(root, write_corrupted):
    write_corrupted(root / "CIFAR-100-C")
    corrupted = CIFAR100_C.load_corrupted(root)
    with pytest.raises(InputError, match="'fgo'; did you mean 'fog'"):
        corrupted.cell("fgo", 1)
    with pytest.raises(InputError, match="severity is 6, not one of 1 to 5"):
        corrupted.cell("fog", 6)


def test_a_corrupted_set_cannot_be_loaded_as_images(root, write_corrupted):
    with pytest.raises(InputError, match="not one set of images; use it as --corrupted"):
        catalogue.load_images("cifar10-c", root)


def test_the_corrupted_images_must_be_those_of_the_test_set(root, write_corrupted, write_cifar100):
    write_cifar100(root, count=20)
    clean = CIFAR100.load(root)
    write_corrupted(root / "CIFAR-100-C", count=20)
    corrupted = catalogue.load_corrupted("cifar100-c", root, clean=clean)
    assert corrupted.cell("fog", 1).class_names == clean.class_names
    write_corrupted(root / "CIFAR-100-C", count=10)
    with pytest.raises(InputError, match="has 10 images per severity, but cifar100 has 20"):
        catalogue.load_corrupted("cifar100_c", root, clean=clean)
    np.save(root / "CIFAR-100-C" / "labels.npy", np.zeros(50, dtype=int))
    write_cifar100(root, count=10)
    with pytest.raises(InputError, match="differs from the labels of cifar100"):
        catalogue.load_corrupted("cifar100_c", root, clean=CIFAR100.load(root))


def test_the_corruptions_of_another_set_are_refused(root, write_corrupted, write_cifar100):
    write_cifar100(root, count=20)
    with pytest.raises(InputError, match="cifar10_c corrupts cifar10, not cifar100"):
        catalogue.load_corrupted("cifar10_c", root, clean=CIFAR100.load(root))


def test_an_absent_corrupted_set_names_the_download_command(root):
    assert CIFAR10_C.status(root).provenance == "absent"
    with pytest.raises(InputError, match="`sdd-eval data get cifar10_c`"):
        CIFAR10_C.load_corrupted(root)


def test_the_default_is_the_published_set_then_the_regenerated_folder(root, write_corrupted):
    with pytest.raises(InputError, match=r"data get cifar100_c`.*data corrupt cifar100`"):
        catalogue.corrupted_set("", "cifar100", root)
    write_corrupted(root / "CIFAR-100-C-regenerated")
    assert catalogue.corrupted_set("", "cifar100", root) is None, "regenerated"
    write_corrupted(root / "CIFAR-100-C")
    assert catalogue.corrupted_set("", "cifar100", root).name == "cifar100_c"
    assert catalogue.corrupted_set("", "digits", root) is None


def test_regenerated_images_are_read_from_disk_or_rendered_on_the_fly(root):
    from sdd_eval.data.corruption.writer import write_corrupted as regenerate
    from sdd_eval.data.images import ArrayImages
    from sdd_eval.data.readers.digits import DIGITS

    digits = DIGITS.load(root)
    few = ArrayImages("digits", digits.images[:6], digits.labels[:6], "few", "official")
    rendered = catalogue.load_corrupted("digits_c_regenerated", root, clean=few)
    assert catalogue.load_corrupted("digits-C-regenerated", root, clean=few) == rendered
    with pytest.raises(InputError, match="unknown corrupted set 'cifar100-C-regenerated'"):
        catalogue.load_corrupted("cifar100-C-regenerated", root, clean=few)
    folder = catalogue.regenerated_folder("digits", root)
    regenerate(few, folder, corruptions=("contrast", "fog"))
    read = catalogue.load_corrupted("digits_c_regenerated", root, clean=few)
    assert (read.corruptions, read.provenance, read.frost) == (
        ("fog", "contrast"),
        "regenerated",
        "synthetic",
    )
    for corruption in read.corruptions:
        one, other = (next(item.cell(corruption, 3).batches(6)) for item in (rendered, read))
        assert (one == other).all()
    others = ArrayImages("digits", digits.images[6:12], digits.labels[:6], "others", "official")
    with pytest.raises(InputError, match="other images than digits has now"):
        catalogue.load_corrupted("digits_c_regenerated", root, clean=others)


def test_a_changed_regenerated_file_only_loses_its_own_corruption(root):
    from sdd_eval.data.corruption.writer import write_corrupted as regenerate
    from sdd_eval.data.readers.digits import DIGITS

    folder = root / "set"
    regenerate(DIGITS.load(root), folder, corruptions=("contrast", "fog"))
    path = folder / "fog.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    corrupted = open_corrupted_folder("set", folder)
    assert corrupted.corruptions == ("contrast",)
    with pytest.raises(InputError, match=r"fog\.npy has changed since it was written; delete it"):
        corrupted.cell("fog", 1)


def test_grey_corrupted_images_have_one_channel(tmp_path, write_corrupted):
    folder = write_corrupted(tmp_path / "set", side=8, channels=1)
    assert open_corrupted_folder("set", folder).cell("fog", 1).channels == 1


def test_status_only_reads_headers(root, write_corrupted):
    import tracemalloc

    write_corrupted(root / "CIFAR-100-C", ("fog",), count=500)  # 8 MB
    tracemalloc.start()
    try:
        assert CIFAR100_C.status(root).images == 500
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
