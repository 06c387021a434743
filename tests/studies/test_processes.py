"""Several processes at one study, and one that is killed: nothing is done twice or lost."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

STUDY = """
name = "shared"
seeds = [0, 1]
[recipe]
dataset = "digits"
arch = "small_cnn"
standardisation = "digits"
augmentation = "none"
epochs = 8
[[train]]
sd_dropout = [0.0, 0.1]
[[evaluate]]
evaluator = ["accuracy", "calibration"]
"""


def begin(here: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sdd_eval", "batch", "study.toml", "--threads", "1"]
    return subprocess.Popen(
        command, cwd=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def weights(folder: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in folder.rglob("*.safetensors")}


@pytest.mark.slow
def test_two_processes_share_a_study(study_file, here):
    study_file(STUDY)
    told = [process.communicate(timeout=500) for process in [begin(here), begin(here)]]
    done = [int(n) for out, _ in told for n in re.findall(r"(\d+) done", out)]
    there = [int(n) for out, _ in told for n in re.findall(r"(\d+) already there", out)]
    assert sum(done) == 12, told
    assert sum(there) == 12, told
    assert len(list(here.rglob("runs/*/*.json"))) == 8


@pytest.mark.slow
def test_a_killed_study_goes_on_with_the_same_command_and_ends_in_the_same(study_file, here):
    study_file(STUDY)
    process = begin(here)
    while not list(here.rglob("state.pt")) and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert not list(here.rglob("*.safetensors"))
    out, err = begin(here).communicate(timeout=500)
    assert "12 done" in out, err
    first = weights(here / "checkpoints")
    (here / "checkpoints").rename(here / "before")
    (here / "reports").rename(here / "before-reports")
    begin(here).communicate(timeout=500)
    assert weights(here / "checkpoints") == first
    assert len(first) == 4
