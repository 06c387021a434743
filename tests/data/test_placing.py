import pytest

from sdd_eval.data.install.unpack import install_staged, staging
from sdd_eval.errors import InputError


def test_nothing_is_moved_where_anything_is_in_the_way(root):
    (root / "set").mkdir()
    (root / "set" / "b.mat").write_text("the user's")
    with staging(root) as aside:
        for name in ("a.mat", "b.mat"):
            (aside / name).write_text("new")
        with pytest.raises(InputError, match=r"b\.mat already exists"):
            install_staged(aside, root / "set")
    assert (root / "set" / "b.mat").read_text() == "the user's"
    assert [entry.name for entry in (root / "set").iterdir()] == ["b.mat"]


def test_stray_dot_files_stay_behind_and_nothing_aside_is_left(root):
    with staging(root) as aside:
        for name in (".DS_Store", "__MACOSX", "set"):
            (aside / name).mkdir()
        install_staged(aside, root)
    assert [entry.name for entry in root.iterdir()] == ["set"]


def test_an_empty_folder_is_not_in_the_way(root):
    (root / "set").mkdir()
    with staging(root) as aside:
        (aside / "set").mkdir()
        (aside / "set" / "a").write_text("")
        install_staged(aside, root)
    assert (root / "set" / "a").exists()
