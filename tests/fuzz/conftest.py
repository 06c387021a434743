"""A small prepared project folder, and a way to run commands in it in this process."""

from __future__ import annotations

import contextlib
import io
import os
import resource
import shutil
import signal
import stat
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdd_eval.cli import main

#: Seconds after which a command counts as hanging; the machine may be busy.
SECONDS = 120
#: Bytes that a command may allocate beyond what the process has, so that it fails as a command.
MEMORY = 6 << 30

#: A study of two networks, evaluated and compared.
STUDY = Path(__file__).with_name("small.toml")

#: Flags of a training that takes a fraction of a second.
TRAIN = (
    "train --dataset tiny --arch small_cnn --epochs 1 --batch-size 4 --standardisation tiny "
    "--augmentation none --threads 1"
)


class TooLongError(BaseException):
    """Raised in a command that takes longer than `SECONDS`."""


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str


def run(words: list[str]) -> Result:
    """Run a command line as `sdd-eval` does, with the streams of a terminal in UTF-8."""
    streams = [io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2)]
    streams[1].reconfigure(errors="backslashreplace")  # as Python's own
    handler = signal.getsignal(signal.SIGTERM)
    with (
        contextlib.redirect_stdout(streams[0]),
        contextlib.redirect_stderr(streams[1]),
        warnings.catch_warnings(),
        _limited(),
    ):
        warnings.simplefilter("ignore")
        try:
            main(words)
        except SystemExit as error:
            code = error.code
        finally:
            signal.signal(signal.SIGTERM, handler)
    for stream in streams:
        stream.flush()
    out, err = (stream.buffer.getvalue().decode("utf-8") for stream in streams)
    return Result(0 if code is None else int(code), out, err)


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """Limit time and memory of a command."""

    def stop(*_: object) -> None:
        raise TooLongError

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, hard))
    former = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


class Project:
    """A working copy of a prepared folder, which is restored after each case that changed it."""

    def __init__(self, template: Path, folder: Path) -> None:
        self.template, self.folder = template, folder
        self.restore()

    def restore(self) -> None:
        """Make the working copy equal to the template again."""
        import torch

        torch.set_num_threads(1)
        if self.folder.exists() and self.snapshot() == self.pristine:
            return
        os.chdir(self.folder.parent)
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.template, self.folder, symlinks=True)
        os.mkfifo(self.folder / "fifo")
        os.chdir(self.folder)
        self.pristine = self.snapshot()

    def snapshot(self) -> dict[str, tuple[int, ...]]:
        """Return size and time of change of every file; folders count if they are new."""
        state = {}
        for folder, folders, files in os.walk(self.folder):
            for name in (*folders, *files):
                path = os.path.join(folder, name)
                facts = os.lstat(path)
                is_folder = stat.S_ISDIR(facts.st_mode)
                relative = os.path.relpath(path, self.folder)
                state[relative] = () if is_folder else (facts.st_size, facts.st_mtime_ns)
        return state

    def check(self, words: list[str], *, may_fail: bool = False) -> Result:
        """Run a command; it must end as documented, and change no file if it is refused.

        It ends with 0, with 2 for bad input, or with 1 if the system refuses a file; if it
        `may_fail`, also with 1 and a report of what failed.
        """
        before = self.snapshot()
        result = run(words)
        assert "Traceback" not in result.err + result.out, result
        assert result.code in (0, 1, 2), result
        if result.code == 2 or (result.code == 1 and not may_fail):
            assert result.err.startswith("sdd-eval: "), result
            assert result.err.count("\n") == 1, result
            after = self.snapshot()
            changed = {k for k in before.keys() | after.keys() if before.get(k) != after.get(k)}
            changed -= {k for k in after.keys() - before.keys() if "comparisons" in k}  # a cache
            assert not changed, (changed, result)
        return result


def picture(path: Path, number: int) -> None:
    """Write an image of 8 × 8 whose brightness depends on its number."""
    from PIL import Image

    pixels = np.random.default_rng(number).integers(0, 100, (8, 8, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels + np.uint8(number % 2 * 120)).save(path)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the prepared folder: a data set, checkpoints, runs, a study and other files."""
    import torch

    folder = tmp_path_factory.mktemp("template")
    for split, count in (("train", 8), ("test", 8)):
        for number in range(count):
            picture(folder / f"data/tiny/{split}/{'ab'[number % 2]}/{number}.png", number)
    for number in range(4):
        picture(folder / f"pictures/{'ab'[number % 2]}/{number}.png", number)
    random = np.random.default_rng(0)
    np.save(folder / "images.npy", random.integers(0, 256, (4, 8, 8, 3), dtype=np.uint8))
    np.save(folder / "labels.npy", np.arange(4) % 2)
    np.savez(folder / "both.npz", images=np.load(folder / "images.npy"), labels=np.arange(4) % 2)
    shutil.copy(STUDY, folder / "small.toml")
    (folder / "figures.mplstyle").write_text("font.size: 8\n")
    (folder / "network.py").write_text("def network(**options):\n    raise ValueError('no')\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        environment(patch, folder)
        for words in PREPARATION:
            result = run(words.split())
            assert result.code == 0, result
    weights = "checkpoints/net/weights.safetensors"
    from safetensors.torch import load_file

    torch.save({"state_dict": load_file(folder / weights)}, folder / "weights.pt")
    return folder


#: The commands that prepare the folder.
PREPARATION = (
    f"{TRAIN} --name net",
    f"{TRAIN} --name other --sd-dropout 0.1",
    "data corrupt tiny --corruptions fog --threads 1",
    "accuracy net other --threads 1",
    "calibration net other --threads 1",
    "batch small.toml --threads 1",
    "report default --threads 1",
)


def environment(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let commands read and write below a folder only, and draw one figure, which saves seconds."""
    from sdd_eval.report import write
    from sdd_eval.report.drawing import draw

    def draw_reliability(names: list[str], *rest: Any) -> Any:
        return draw_figures(["reliability"], *rest)

    draw_figures = draw.draw_figures
    patch.setattr(write, "draw_figures", draw_reliability)
    patch.setattr(draw, "FORMATS", ("svg",))
    patch.setenv("SDD_EVAL_DATA", str(folder / "data"))
    patch.setenv("SDD_EVAL_CACHE", "off")
    patch.setattr(sys, "argv", ["sdd-eval"])


@pytest.fixture(scope="session")
def working_copy(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return the working copy that all cases of this process share."""
    return Project(template, tmp_path_factory.mktemp("project") / "copy")


@pytest.fixture
def project(working_copy: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Return the project, which is the working folder."""
    monkeypatch.chdir(working_copy.folder)
    environment(monkeypatch, working_copy.folder)
    return working_copy
