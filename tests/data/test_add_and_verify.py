import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from sdd_eval.data.catalogue import load_images
from sdd_eval.data.install.add import add
from sdd_eval.data.install.verify import verify
from sdd_eval.data.readers.cifar import CIFAR100
from sdd_eval.data.readers.cifar_c import CIFAR100_C
from sdd_eval.data.readers.folders import DTD, ISUN
from sdd_eval.errors import InputError


@pytest.mark.parametrize("given", ["", "cifar-100-python"])
def test_a_folder_or_its_parent_or_child_is_linked(tmp_path, root, write_cifar100, given):
    write_cifar100(tmp_path / "mine")
    status = add("cifar100", tmp_path / "mine" / given, root)
    assert status.provenance == "partial: 200 of 10,000"
    assert (root / "cifar-100-python").is_symlink()
    assert len(CIFAR100.load(root)) == 200


@pytest.mark.parametrize("given", ["", "dtd", "dtd/images"])
def test_each_level_of_a_nested_layout_is_accepted(tmp_path, root, write_images, given):
    write_images(tmp_path / "mine" / "dtd" / "images", ["banded/a.jpg", "dotted/b.jpg"])
    (tmp_path / "mine" / "dtd" / "labels").mkdir()
    assert add("dtd", tmp_path / "mine" / given, root).images == 2
    assert DTD.load(root).class_names == ("banded", "dotted")


def test_an_archive_is_unpacked(tmp_path, root, write_cifar100, pack):
    write_cifar100(tmp_path / "mine")
    archive = pack(tmp_path / "some name.tgz", tmp_path / "mine")
    assert add("cifar100", archive, root).images == 200
    assert not (root / "cifar-100-python").is_symlink()
    assert sorted(entry.name for entry in root.iterdir()) == ["cifar-100-python"]


def test_an_archive_with_the_published_checksum_makes_the_set_official(
    tmp_path, root, write_images, pack, monkeypatch
):
    write_images(tmp_path / "mine" / "iSUN" / "iSUN_patches", ["0.png", "1.png"])
    archive = pack(tmp_path / "iSUN.tar.gz", tmp_path / "mine")
    md5 = hashlib.md5(archive.read_bytes()).hexdigest()
    published = (replace(ISUN.archives[0], md5=md5),)
    small = replace(ISUN, published={"test": 2}, archives=published)
    monkeypatch.setattr("sdd_eval.data.readers.folders.ISUN", small)
    assert add("isun", archive, root).provenance == "official"
    other = tmp_path / "other"
    assert add("isun", tmp_path / "mine", other).provenance == "unverified"


def test_a_single_file_is_copied(tmp_path, root, write_svhn):
    path = write_svhn(tmp_path / "mine") / "test_32x32.mat"
    assert add("svhn", path, root).images == 50
    path.unlink()
    assert len(load_images("svhn", root)) == 50


def test_a_file_is_added_below_a_relative_data_root(tmp_path, write_svhn, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write_svhn(tmp_path / "mine") / "test_32x32.mat"
    assert add("svhn", path, Path("data")).images == 50
    assert len(load_images("svhn", tmp_path / "data")) == 50


def test_folders_and_archives_of_images_are_added_under_a_new_name(tmp_path, root, write_images):
    mine = write_images(tmp_path / "mine", ["cat/a.png", "dog/b.png"])
    assert add("pets", mine, root).provenance == "user's folder"
    assert load_images("pets", root).class_names == ("cat", "dog")
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as packed:
        packed.write(mine / "cat" / "a.png", "export/photos/a.png")
    assert add("zipped", tmp_path / "pets.zip", root).images == 1


@pytest.mark.parametrize("name", ["cifar100", "cifar100_c", "svhn", "dtd", "cifar10", "pets"])
def test_other_content_is_refused_and_nothing_is_added(tmp_path, root, name):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("no images")
    with pytest.raises(InputError, match=f"mine does not look like {name}"):
        add(name, tmp_path / "mine", root)
    assert list(root.iterdir()) == []


def test_an_error_names_the_users_path_of_a_broken_file(tmp_path, root, write_cifar100):
    folder = write_cifar100(tmp_path / "mine")
    (folder / "test").write_bytes(b"broken")
    with pytest.raises(InputError, match=f"{folder}/test is not a pickle"):
        add("cifar100", folder, root)
    assert list(root.iterdir()) == []


def test_an_existing_set_is_not_overwritten(tmp_path, root, write_cifar100):
    write_cifar100(tmp_path / "mine")
    write_cifar100(root, count=3)
    with pytest.raises(InputError, match="cifar-100-python already exists"):
        add("cifar100", tmp_path / "mine", root)
    assert len(CIFAR100.load(root)) == 3


def test_invalid_paths_and_names_are_refused_with_the_reason(tmp_path, root):
    with pytest.raises(InputError, match="absent does not exist"):
        add("cifar100", tmp_path / "absent", root)
    with pytest.raises(InputError, match="digits has no files to add"):
        add("digits", tmp_path, root)
    with pytest.raises(InputError, match=r"'\.\./up' is not a valid name"):
        add("../up", tmp_path, root)


def verdicts(name, root):
    return {finding.item: finding.verdict for finding in verify(name, root)}


def test_verify_compares_every_file_without_the_cache(root, write_cifar100, monkeypatch):
    from sdd_eval.data.fingerprints import file_digests

    folder = write_cifar100(root)
    monkeypatch.setitem(CIFAR100.test, "test", file_digests(folder / "test").md5)
    (folder / "train").unlink()
    result = verdicts("cifar100", root)
    assert result["cifar-100-python/test"] == "ok"
    assert result["cifar-100-python/meta"] == "wrong"
    assert result["cifar-100-python/train"] == "missing"
    assert result["images"] == "wrong"


def test_verify_names_every_broken_image(root, write_images):
    folder = write_images(root / "set", ["a.png", "b.png", "c.png"])
    (folder / "b.png").write_bytes(b"broken")
    assert verdicts("set", root) == {"b.png": "wrong", "images": "wrong"}


def test_verify_reports_a_broken_set(root, write_corrupted):
    folder = write_corrupted(root / "CIFAR-100-C")
    (folder / "fog.npy").write_bytes(b"broken")
    result = {finding.item: finding for finding in verify("cifar100_c", root)}
    assert result["images"].verdict == "wrong"
    assert "fog.npy" in result["images"].detail
    with pytest.raises(InputError, match="fog"):
        CIFAR100_C.load_corrupted(root).cell("fog", 1)


def test_verify_compares_regenerated_images_with_their_record(root):
    from sdd_eval.data.catalogue import regenerated_folder
    from sdd_eval.data.corruption.writer import write_corrupted
    from sdd_eval.data.images import ArrayImages
    from sdd_eval.data.readers.digits import DIGITS

    digits = DIGITS.load(root)
    few = ArrayImages("digits", digits.images[:3], digits.labels[:3], "few", "official")
    folder = regenerated_folder("digits", root)
    write_corrupted(few, folder, corruptions=("contrast", "brightness"))
    assert set(verdicts("digits_c_regenerated", root).values()) == {"ok"}
    whole = (folder / "contrast.npy").read_bytes()
    (folder / "contrast.npy").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert verdicts("digits_c_regenerated", root)["contrast.npy"] == "wrong"


def test_verify_of_an_absent_set_names_the_download_command(root):
    with pytest.raises(InputError, match="`sdd-eval data get dtd`"):
        verify("dtd", root)
