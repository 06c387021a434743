"""A command that is killed with SIGKILL at a random moment, and run again, loses nothing.

Its files are then those of a run without interruption, bit for bit, except for the times in them.
"""

from __future__ import annotations

import functools
import json
import os
import random
import re
import shutil
import signal
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from sdd_eval.cli import exit_code

TRAIN = (
    "train --dataset tiny --arch small_cnn --batch-size 4 --standardisation tiny "
    "--augmentation crop --device cpu"
)
STUDY = """
name = "small"
[recipe]
dataset = "tiny"
arch = "small_cnn"
standardisation = "tiny"
augmentation = "none"
epochs = 2
batch_size = 4
[[train]]
sd_dropout = [0.0, 0.1]
[[evaluate]]
evaluator = ["accuracy", "calibration"]
[[compare]]
base = { sd_dropout = 0.0 }
others = [{ sd_dropout = 0.1 }]
"""

#: Each command with the files that it writes.
COMMANDS = {
    "train": (
        f"{TRAIN} --epochs 8 --sd-dropout 0.1 --threads 1 --name new",
        "checkpoints/new/**/*",
    ),
    "batch": ("batch small.toml --device cpu --threads 1", "[cr]*s/**/*"),
    "data corrupt": (
        "data corrupt tiny --corruptions fog glass_blur jpeg_compression --threads 1",
        "data/tiny-C-regenerated/**/*",
    ),
    "report": ("report default --threads 1", "reports/default/**/*"),
    "import": (
        "import imported --arch small_cnn --weights weights.pt --dataset tiny --threads 1",
        "checkpoints/imported/**/*",
    ),
    "data add": ("data add new pictures.zip", "data/new/**/*"),
}

#: Those that take a moment.
FAST = ("train", "import", "data add")

#: Code of the process that is killed: it says when it begins, and draws one figure, to be quick.
CHILD = """
import os
import sys
from pathlib import Path
from sdd_eval.cli import exit_code
from sdd_eval.report import write
from sdd_eval.report.drawing import draw
draw_figures = draw.draw_figures
write.draw_figures = lambda names, *rest: draw_figures(["reliability"], *rest)
draw.FORMATS = ("svg",)
os.chdir(sys.argv.pop(1))
Path("started").touch()
sys.exit(exit_code(sys.argv[1:]))
"""

#: What differs between two runs: when, how long and how fast, and checksums of files with times.
TIMES = re.compile(
    rb'"(created|seconds|duration|date|images_per_second|started|finished)": [^,}\n]*'
    rb"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?([+-]\d\d:\d\d|Z)?"
    rb"|<td>[\d.]+(?=<td>cpu)|Evaluation took [\d.,]+ \w+"  # on the page
)
CHECKSUMS = re.compile(rb"[0-9a-f]{64}|-[0-9a-f]{12}(?=\.json)")


@dataclass(frozen=True)
class Whole:
    """The files of a command that was not interrupted, and the seconds that it took."""

    files: dict[str, bytes]
    seconds: float


def picture(path: Path, number: int) -> None:
    pixels = np.random.default_rng(number).integers(0, 100, (8, 8, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels + np.uint8(number % 2 * 120)).save(path)


def content(folder: Path, pattern: str) -> dict[str, bytes]:
    """Return the files of a folder without the times in them."""
    paths = (path for path in sorted(folder.glob(pattern)) if path.is_file())
    return {_name(path.relative_to(folder)): without_times(path) for path in paths}


def _name(path: Path) -> str:
    """Return a name without the checksum of runs that the name of a comparison contains."""
    compared = "comparisons" in path.parts
    return CHECKSUMS.sub(b"", str(path).encode()).decode() if compared else str(path)


def without_times(path: Path) -> bytes:
    """Return the content of a file without the times in it."""
    if path.name == "history.csv":
        rows = [line.split(",") for line in path.read_text().splitlines()]
        kept = [n for n, name in enumerate(rows[0]) if name not in ("seconds", "images_per_second")]
        return json.dumps([[row[n] for n in kept] for row in rows]).encode()
    data = TIMES.sub(b"", path.read_bytes())
    return CHECKSUMS.sub(b"", data) if "comparisons" in path.parts else data


def start(start_process, folder: Path, command: str):
    """Start a command in a process of its own, and return it as soon as it works."""
    (folder / "started").unlink(missing_ok=True)
    environment = {"SDD_EVAL_DATA": str(folder / "data")}
    process = start_process(
        CHILD, folder, *command.split(), output=os.devnull, environment=environment
    )
    while not (folder / "started").exists() and process.is_alive():
        time.sleep(0.002)
    return process


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Return a folder with what the commands need."""
    folder = tmp_path_factory.mktemp("prepared")
    for number in range(16):
        split = "train" if number < 8 else "test"
        picture(folder / f"data/tiny/{split}/{'ab'[number % 2]}/{number}.png", number)
    with zipfile.ZipFile(folder / "pictures.zip", "w") as archive:
        for number in range(60):
            picture(folder / "picture.png", number)
            archive.write(folder / "picture.png", f"pictures/{'ab'[number % 2]}/{number}.png")
    (folder / "small.toml").write_text(STUDY)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("SDD_EVAL_DATA", str(folder / "data"))
        for command in (f"{TRAIN} --epochs 1 --name net", "accuracy net", "calibration net"):
            assert exit_code([*command.split(), "--threads", "1"]) == 0
    torch.save(load_file(folder / "checkpoints/net/weights.safetensors"), folder / "weights.pt")
    return folder


@pytest.fixture(scope="module")
def whole(prepared, tmp_path_factory, start_process):
    """Return a function that runs a command without interruption, once."""

    @functools.cache
    def run(name):
        command, pattern = COMMANDS[name]
        copy = tmp_path_factory.mktemp("whole") / "copy"
        shutil.copytree(prepared, copy)
        process = start(start_process, copy, command)
        began = time.perf_counter()
        process.join()
        assert process.exitcode == 0
        seconds, files = time.perf_counter() - began, content(copy, pattern)
        assert files
        return Whole(files, seconds)

    return run


@pytest.fixture
def kill_and_repeat(prepared, whole, start_process, tmp_path):
    """Return a function that kills a command, runs it again and compares its files."""

    def run(name, moment):
        command, pattern = COMMANDS[name]
        expected, copy, code = whole(name), tmp_path / "copy", 0
        while code == 0:  # it has ended before, and is killed earlier the next time
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(prepared, copy)
            process = start(start_process, copy, command)
            time.sleep(moment * expected.seconds)
            process.kill()
            process.join()
            code, moment = process.exitcode, moment / 2
        assert code == -signal.SIGKILL
        was_complete = content(copy, pattern) == expected.files
        again = start(start_process, copy, command)
        again.join()
        # `data add` and `import` refuse to replace what they have completed
        assert again.exitcode == 0 or (was_complete and again.exitcode == 2)
        result = content(copy, pattern)
        assert result.keys() == expected.files.keys()
        assert [path for path in result if result[path] != expected.files[path]] == []
        shutil.rmtree(copy)

    return run


@pytest.mark.parametrize("name", FAST)
def test_a_killed_command_that_is_repeated_ends_as_if_not_killed(name, kill_and_repeat):
    kill_and_repeat(name, 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(10))
@pytest.mark.parametrize("name", COMMANDS)
def test_commands_killed_at_ten_moments_end_as_if_not_killed(name, number, kill_and_repeat):
    kill_and_repeat(name, random.Random(f"{name} {number}").random())
