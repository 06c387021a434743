"""Several jobs at a time have the results of one after the other, also after Ctrl-C or a kill."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sdd_eval.cli import exit_code
from sdd_eval.studies.concurrent import _Queue, run_concurrently
from sdd_eval.studies.jobs import Job, Workspace, jobs_of
from sdd_eval.studies.resolve import read_study
from sdd_eval.studies.run import JobOutcome, run_jobs

STUDY = """
name = "shared"
[recipe]
dataset = "digits"
arch = "small_cnn"
standardisation = "digits"
augmentation = "none"
epochs = {epochs}
[[train]]
sd_dropout = [0.0, 0.1]
[[train]]
lr = 1e30
[[evaluate]]
evaluator = "accuracy"
"""


def job(key, *needs):
    return Job(key, key, None, needs)


def outcome(key, result="done"):
    return JobOutcome(key, key, result)


def test_a_job_begins_when_those_that_it_needs_have_ended():
    queue = _Queue([job("train a"), job("a", "train a"), job("train b"), job("b", "train b")])
    first, second = queue.next(), queue.next()
    assert (first.key, second.key, queue.next()) == ("train a", "train b", None)
    queue.end(second, outcome("train b"))
    assert queue.next().key == "b"
    assert not queue.ended


def test_of_jobs_that_need_a_failed_one_nothing_is_run():
    queue = _Queue([job("train a"), job("b", "train a"), job("c", "b")])
    queue.end(queue.next(), outcome("train a", "failed"))
    assert queue.ended
    assert [one.result for one in queue.outcomes.values()] == ["failed", "not run", "not run"]


def test_a_job_that_another_command_is_running_is_tried_again_later(monkeypatch):
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    queue = _Queue([job("train a"), job("train b")])
    queue.end(queue.next(), None)
    assert queue.next().key == "train b"
    assert queue.next() is None
    now += 3.0
    assert queue.next().key == "train a"


class Display:
    """Counts how jobs begin and end."""

    def __init__(self):
        self.begun, self.ended, self.units = [], 0, 0

    def begin(self, label, seconds, one_piece=False):
        self.begun.append(label)
        return self

    def start(self, label, total):
        pass

    def advance(self, units=1, note=""):
        self.units += units

    def end(self, took):
        assert took >= 0
        self.ended += 1


class Silent:
    """Shows nothing of jobs that run one after the other."""

    def job(self, label, seconds, one_piece=False):
        return contextlib.nullcontext()

    def start(self, label, total):
        pass

    def advance(self, units=1, note=""):
        pass


def workspace(folder):
    return Workspace(folder / "checkpoints", folder / "reports" / "s", folder / "data", threads=1)


def files(folder):
    """The weights, and the numbers of the runs."""
    weights = {p.parent.name: p.read_bytes() for p in folder.rglob("*.safetensors")}
    runs = {
        p.name: json.loads(p.read_text())["measurements"] for p in folder.rglob("runs/*/*.json")
    }
    return weights, runs


@pytest.mark.slow
def test_jobs_at_the_same_time_have_the_results_of_one_after_the_other(study_file, here):
    jobs = jobs_of(read_study(study_file(STUDY.format(epochs=2))))
    display = Display()
    at_once = run_concurrently(jobs, workspace(here / "at_once"), {}, display, 2)
    in_turn = run_jobs(jobs, workspace(here / "in_turn"), {}, Silent())
    assert [(one.key, one.result, one.reason) for one in at_once] == [
        (one.key, one.result, one.reason) for one in in_turn
    ]
    assert [one.result for one in at_once].count("done") == 4
    assert files(here / "at_once") == files(here / "in_turn")
    assert len(files(here / "in_turn")[0]) == 2
    assert len({one.worker for one in at_once if one.worker}) == 2
    assert len(display.begun) == display.ended == 5
    assert display.units > 2 * 2 * 1000


def begin(here, *flags):
    command = [sys.executable, "-m", "sdd_eval", "batch", "study.toml", "--jobs", "2", *flags]
    return subprocess.Popen(
        command, cwd=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


def workers(process):
    """The processes that run the jobs of a command."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(c) for c in children if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()]


def wait_for(condition, process):
    while not condition() and process.poll() is None:
        time.sleep(0.05)
    assert process.poll() is None, process.communicate()


@pytest.mark.slow
def test_an_interrupt_of_the_terminal_ends_all_processes_and_the_command_resumes(study_file, here):
    study_file(STUDY.format(epochs=12))
    process = begin(here)
    wait_for(lambda: len(list(here.rglob("state.pt"))) == 2, process)
    running = workers(process)
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "sdd-eval: interrupted; run the same command again to resume"
    assert "Traceback" not in errors
    assert len(running) == 2
    assert not any(Path(f"/proc/{child}").exists() for child in running)
    assert not list(here.rglob(".*.part"))
    process = begin(here)
    out, errors = process.communicate(timeout=300)
    assert "4 done" in out, errors
    resumed = files(here)[0]
    (here / "checkpoints").rename(here / "resumed")
    assert exit_code(["batch", "study.toml", "--threads", "1"]) == 1
    assert files(here / "checkpoints")[0] == resumed


@pytest.mark.slow
def test_a_killed_process_loses_its_job_only(study_file, here):
    study_file(STUDY.format(epochs=12))
    process = begin(here)
    wait_for(lambda: list(here.rglob("state.pt")), process)
    os.kill(workers(process)[0], signal.SIGKILL)
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "its process was killed by SIGKILL" in out, errors
    assert "2 failed" in out
    assert "2 done" in out
    assert len(files(here)[0]) == 1


def test_jobs_are_for_this_machine_and_not_for_a_cluster(tiny, capsys):
    assert exit_code(["batch", "study.toml", "--engine", "ray", "--jobs", "2"]) == 2
    assert "with --engine ray the cluster decides" in capsys.readouterr().err
