"""Damaged files in a project: no command ends in a traceback, and none makes it worse."""

from __future__ import annotations

import json
import os
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

#: Files, and the commands that read them.
READERS = {
    "checkpoints/net/card.json": (
        "show net",
        "accuracy net",
        "train --name net",
        "batch",
        "report",
    ),
    "checkpoints/net/weights.safetensors": ("accuracy net", "train --name net", "batch", "export"),
    "checkpoints/net/history.csv": ("report", "batch", "accuracy net", "train --name net"),
    "reports/default/runs/net/*.json": ("report", "compare net other", "accuracy net", "paper"),
    "reports/default/runs/net/*.npz": ("report", "compare net other", "accuracy net", "paper"),
    "reports/small/*.json": ("report small", "batch", "compare", "paper", "paper claims"),
    "reports/small/comparisons/*": ("report small", "batch", "compare", "paper"),
    "data/tiny/test/a/0.png": ("accuracy net", "data list", "data check tiny", "data corrupt tiny"),
    "data/tiny/train/b/1.png": ("train --name new", "accuracy net", "data list", "data check"),
    "data/tiny-C-regenerated/*": ("data check", "data list", "corruption net", "data corrupt tiny"),
    "images.npy": ("data add",),
    "both.npz": ("data add",),
    "pictures/a/0.png": ("data add",),
    "weights.pt": ("import",),
    "figures.mplstyle": ("report default --style figures.mplstyle",),
    "small.toml": ("batch",),
}

#: The full command lines of these.
TRAIN = (
    "--dataset tiny --arch small_cnn --epochs 1 --batch-size 4 --standardisation tiny "
    "--augmentation none --threads 1"
)
ARGUMENTS = {
    "train --name net": f"train --name net {TRAIN}",
    "train --name new": f"train --name new {TRAIN}",
    "accuracy net": "accuracy net --threads 1",
    "corruption net": "corruption net --threads 1",
    "compare": "compare --study small --threads 1",
    "compare net other": "compare net other --no-figures --threads 1",
    "batch": "batch small.toml --threads 1",
    "paper": "paper small --threads 1",
    "paper claims": "paper claims small --no-cost --threads 1",
    "import": "import imported --arch small_cnn --weights weights.pt --dataset tiny --threads 1",
    "data corrupt tiny": "data corrupt tiny --corruptions fog --threads 1",
    "export": "accuracy net other --threads 1",
}

#: Values that no field of a file should have.
VALUES: tuple[Any, ...] = (
    *(None, -1, 0, 10**40, 1e300, True, "", "x", "\ud800", "a\0b", [], {}, [[]], {"x": []}),
    json.loads("NaN"),
    json.loads("[" * 200 + "]" * 200),
)


def cut(path: Path, chance: random.Random) -> None:
    """Keep the beginning of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: chance.randrange(len(content) + 1)])


def flip(path: Path, chance: random.Random) -> None:
    """Change some bytes of a file."""
    content = bytearray(path.read_bytes() or b"x")
    for _ in range(chance.choice((1, 8, 64))):
        content[chance.randrange(len(content))] = chance.randrange(256)
    path.write_bytes(content)


def replace(path: Path, chance: random.Random) -> None:
    """Write something else into a file."""
    deep = b"[" * 100_000
    path.write_bytes(chance.choice((b"", b"\0" * 64, b"\xff\xfe", b"{}", b"[]", b"null", deep)))


def archive(path: Path, chance: random.Random) -> None:
    """Make a zip archive of a file."""
    path.unlink()
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x", "y")


def header(path: Path, chance: random.Random) -> None:
    """Write an array whose header lies about its content."""
    shape = chance.choice(("(-1, 8, 8, 3)", "(10000000000, 8, 8, 3)", "()", "(0, 8, 8, 3)", "'x'"))
    kind = chance.choice(("|u1", "|O", "<f8", "<c16", "bool", "nothing"))
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    length = len(text).to_bytes(2, "little")
    path.write_bytes(b"\x93NUMPY\x01\x00" + length + text.encode() + b"\x01" * 64)


def folder(path: Path, chance: random.Random) -> None:
    """Make a folder of a file."""
    path.unlink()
    path.mkdir()


def remove(path: Path, chance: random.Random) -> None:
    """Remove a file."""
    path.unlink()


def loop(path: Path, chance: random.Random) -> None:
    """Make a file a symbolic link to itself."""
    path.unlink()
    path.symlink_to(path.name)


def field(path: Path, chance: random.Random) -> None:
    """Set a random field of a JSON file to a value of a wrong type or size."""
    try:
        content = json.loads(path.read_text())
    except ValueError:
        cut(path, chance)
        return
    place: Any = content
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return
        key = chance.choice(keys)
        if not isinstance(place[key], dict | list) or not place[key] or chance.random() < 0.3:
            break
        place = place[key]
    place[key] = chance.choice(VALUES)
    path.write_text(json.dumps(content), encoding="utf-8", errors="surrogatepass")


DAMAGES: tuple[Callable[[Path, random.Random], None], ...] = (
    *(cut, flip, replace, archive, header, folder, remove, loop),
    *(field, field, field),
)


def check(project: Any, pattern: str, damage: Callable[..., None], number: int) -> None:
    """Damage a file, run the commands that read it, and repair it."""
    chance = random.Random(number)
    paths = sorted(path for path in project.folder.glob(pattern) if path.is_file())
    assert paths, pattern
    path = chance.choice(paths)
    command = chance.choice(READERS[pattern])
    if command == "data add":
        command = f"data add new {pattern.split('/')[0]}"
    try:
        damage(path, chance)
        project.check(ARGUMENTS.get(command, f"{command}").split(), may_fail=True)
    finally:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif os.path.lexists(path):
            path.unlink()
        project.restore()


def cases(project: Any, examples: int) -> None:
    """Check generated damages of generated files."""

    @settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(st.sampled_from(sorted(READERS)), st.sampled_from(DAMAGES), st.integers(0, 10**6))
    def run(pattern: str, damage: Callable[..., None], number: int) -> None:
        check(project, pattern, damage, number)

    run()


def test_damaged_files_end_no_command_with_a_traceback(project):
    cases(project, 60)


@pytest.mark.slow
def test_many_damaged_files_end_no_command_with_a_traceback(project):
    cases(project, 400)
