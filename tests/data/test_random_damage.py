"""Data sets of every layout with random damage: commands end with 0, 1 or 2, and one line if 2."""

import shutil

import numpy as np
import pytest

from sdd_eval.cli import exit_code


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    return tmp_path_factory.mktemp("intact") / "root"


@pytest.fixture
def layouts(intact, write_images, write_corrupted, write_cifar100, write_svhn, write_coco):
    """Write a small set of every layout, once."""
    if not intact.exists():
        write_images(intact / "pets", [f"{name}/{k}.png" for name in "ab" for k in range(3)])
        write_images(intact / "photos", ["0.jpg", "1.tiff", "2.webp", "3.gif"])
        write_cifar100(intact, count=5)
        write_svhn(intact, count=10)
        write_coco(intact, "boats")
        write_corrupted(intact / "arrays_c", ("fog", "snow", "own"), count=6, side=8)
        (intact / "arrays").mkdir()
        images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
        np.savez_compressed(intact / "arrays" / "test.npz", images=images, labels=np.arange(6))
    return intact


def damage(path, random):
    """Truncate a file, change some bytes of it, or put other bytes or a folder in its place."""
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    kind = random.integers(6)
    if kind == 0:
        path.write_bytes(content[: random.integers(len(content))].tobytes())
    elif kind in (1, 2):
        reach = len(content) if kind == 1 else min(len(content), 130)
        content[random.integers(0, reach, 4)] = random.integers(0, 256, 4)
        path.write_bytes(content.tobytes())
    elif kind == 3:
        path.write_bytes(random.bytes(200))
    elif kind == 4:
        path.write_bytes(b"")
    else:
        path.unlink()
        path.mkdir()


COMMANDS = (
    "list",
    "check",
    "check pets arrays arrays_c svhn",
    "corrupt arrays --corruptions contrast --threads 1",
    "add again",
)


@pytest.mark.parametrize(
    "seed", [*range(4), *(pytest.param(s, marks=pytest.mark.slow) for s in range(4, 104))]
)
def test_commands_on_damaged_sets_end_with_one_line(seed, layouts, tmp_path, capsys):
    random = np.random.default_rng(seed)
    root = shutil.copytree(layouts, tmp_path / "root")
    files = sorted(path for path in root.rglob("*") if path.is_file())
    damaged = [files[row] for row in random.choice(len(files), 3, replace=False)]
    for path in damaged:
        damage(path, random)
    for command in COMMANDS:
        words = [*command.split(), *([str(damaged[0])] if command.startswith("add") else [])]
        code = exit_code(["data", *words, "--data-root", str(root)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        lines = [line for line in captured.err.splitlines() if line.startswith("sdd-eval: ")]
        errors = [line for line in lines if not line.startswith("sdd-eval: warning: ")]
        assert code in (0, 1, 2)
        assert len(errors) == (code == 2), (command, captured.err)
        if command == "list":
            assert (code, "digits " in captured.out) == (0, True)
