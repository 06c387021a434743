"""A deadline stops a study with all finished work kept, and the same command goes on."""

from __future__ import annotations

import contextlib
import dataclasses
import random
import shutil
import signal
import sys
import time

import pytest

from sdd_eval import comparison, plugins, report, store
from sdd_eval.cli import exit_code
from sdd_eval.evaluation import partial_results
from sdd_eval.studies.concurrent import _Queue, run_concurrently
from sdd_eval.studies.deadline import Deadline, OutOfTime
from sdd_eval.studies.jobs import Job, Workspace, jobs_of
from sdd_eval.studies.plan import plan
from sdd_eval.studies.resolve import read_study
from sdd_eval.studies.run import JobOutcome, run_jobs

#: Training images of an epoch.
EPOCH = 1000
STUDY = """
name = "limited"
[recipe]
dataset = "digits"
arch = "small_cnn"
standardisation = "digits"
augmentation = "none"
epochs = 5
[[train]]
sd_dropout = 0.1
[[evaluate]]
evaluator = ["accuracy", "calibration"]
"""

#: An evaluator of another package: its last part is one long step, unless it is repeated.
EVALUATOR = """
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sdd_eval.arrays import Array, Arrays
from sdd_eval.evaluators.evaluator import Evaluator
from sdd_eval.statistics.statistic import Quantity, shares

MARK = Path(__file__).with_name("repeated")


@dataclass(frozen=True)
class Slow(Evaluator):
    name = "slow"
    version = 1

    def collect(self, subject):
        images = len(subject.labels())
        parts = [subject.stored(f"part {i}", lambda i=i: part(i, images)) for i in range(4)]
        return Arrays([Array("right", np.stack([one["right"] for one in parts]).all(axis=0))])

    def statistics(self, arrays):
        yield shares([Quantity("right", "fraction", {}, {})], [arrays["right"]])


def part(number, images):
    if number == 3 and not MARK.exists():
        MARK.touch()
        wait()
    return {"right": np.random.default_rng(number).random(images) < 0.9}


def wait():
    time.sleep(60.0)
"""


class Clock:
    """Shows nothing, and takes the images of progress for seconds."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def job(self, label, seconds, one_piece=False):
        return contextlib.nullcontext()

    def begin(self, label, seconds, one_piece=False):
        return self

    def start(self, label, total):
        self.label, self.resumed = label, False

    def advance(self, units=1, note=""):
        if self.resumed:  # the first advance is what an earlier command did
            self.now += units
        self.resumed = True

    def end(self, took):
        pass


def deadline(seconds, clock, **least):
    return Deadline(seconds, least, clock)


def workspace(folder):
    return Workspace(folder / "checkpoints", folder / "reports" / "s", folder / "data", threads=1)


def weights(folder):
    return {path.parent.name: path.read_bytes() for path in folder.rglob("*.safetensors")}


def run(jobs, folder, limit=None):
    """Run the jobs with a limit in images; return the results."""
    clock = Clock()
    least = {job.key: float(EPOCH if job.key.startswith("train") else 360) for job in jobs}
    limit = None if limit is None else Deadline(limit, least, clock)
    return [one.result for one in run_jobs(jobs, workspace(folder), {}, clock, limit)]


@pytest.mark.parametrize(("limit", "epochs"), [(2.5 * EPOCH, 2), (2 * EPOCH + 1, 2), (700, 0)])
def test_a_training_stops_after_the_last_epoch_that_fits_and_resumes_bit_for_bit(
    study_file, here, limit, epochs
):
    jobs = jobs_of(read_study(study_file(STUDY)))
    assert run(jobs, here / "limited", limit) == ["left"] * 3
    history = list((here / "limited").rglob("history.csv"))
    assert sum(len(path.read_text().splitlines()) - 1 for path in history) == epochs
    assert run(jobs, here / "limited") == ["done"] * 3
    assert run(jobs, here / "at_once", 100 * EPOCH) == ["done"] * 3
    assert weights(here / "limited") == weights(here / "at_once")
    assert len(weights(here / "at_once")) == 1


def test_no_time_is_spent_on_an_epoch_that_does_not_fit():
    clock = Clock()
    watched = deadline(25.0, clock).watch(clock)
    watched.start("training", 50)
    for _ in range(2):
        watched.advance(0)
        for _ in range(9):
            watched.advance(1)
    assert clock.now < 25.0
    with pytest.raises(OutOfTime):
        watched.advance(0, "epoch 2/5")
    assert clock.now < 25.0


def test_the_last_epoch_is_followed_by_the_checkpoint_even_if_no_other_would_fit():
    clock = Clock()
    watched = deadline(15.0, clock).watch(clock)
    watched.start("training", 10)
    for _ in range(10):
        watched.advance(1)
    watched.advance(0, "epoch 1/1")
    assert clock.now == 9.0  # all images; the clock leaves out the first


def test_an_alarm_ends_work_without_progress_and_none_is_left_behind():
    begun = time.monotonic()
    with pytest.raises(OutOfTime), Deadline(0.05).alarm():
        time.sleep(10.0)
    assert 0.05 <= time.monotonic() - begun < 5.0
    with Deadline(0.05).alarm():
        pass
    time.sleep(0.1)


@pytest.fixture
def slow(tmp_path, monkeypatch):
    """Install the slow evaluator; return its module."""
    folder = tmp_path / "installed"
    metadata = folder / "slow_steps-1.dist-info"
    metadata.mkdir(parents=True)
    (folder / "slow_steps.py").write_text(EVALUATOR)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: slow-steps\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[sdd_eval.evaluators]\nslow = slow_steps:Slow\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "slow_steps", raising=False)
    monkeypatch.setattr(partial_results, "SECONDS", 0.0)  # stored after each part
    plugins.load("evaluators", "slow")
    return sys.modules["slow_steps"]


def slow_jobs(study_file, here):
    """Train the network of a study; return the job of its slow evaluation."""
    text = STUDY.replace('["accuracy", "calibration"]', '"slow"').replace(
        "epochs = 5", "epochs = 1"
    )
    training, evaluation = jobs_of(read_study(study_file(text)))
    run([training], here)
    return [dataclasses.replace(evaluation, needs=())]


def limited(jobs, folder, seconds):
    """Run the jobs with a limit in seconds; return the results."""
    limit = Deadline(seconds, {job.key: 1e-3 for job in jobs})
    return [one.result for one in run_jobs(jobs, workspace(folder), {}, Clock(), limit)]


def stored_run(folder):
    (path,) = store.run_paths(folder / "reports/s")
    return store.read_run(path)


def test_a_long_step_without_progress_is_stopped_at_the_deadline(slow, study_file, here):
    jobs = slow_jobs(study_file, here)
    begun = time.monotonic()
    assert limited(jobs, here, 1.0) == ["left"]
    assert time.monotonic() - begun < 30.0
    assert not store.run_paths(here / "reports/s")
    assert not list(here.rglob(".*.part"))
    assert limited(jobs, here, 1000.0) == ["done"]
    assert limited(jobs, here, 1000.0) == ["already done"]


def test_what_is_resumed_after_a_long_step_has_the_numbers_of_an_uninterrupted_run(
    slow, study_file, here, monkeypatch
):
    jobs = slow_jobs(study_file, here)
    monkeypatch.setattr(slow, "wait", lambda: signal.raise_signal(signal.SIGALRM))
    assert limited(jobs, here, 1000.0) == ["left"]
    assert limited(jobs, here, 1000.0) == ["done"]
    resumed = stored_run(here)
    assert resumed.provenance.resumed == 3
    shutil.rmtree(here / "reports")
    assert run(jobs, here) == ["done"]
    at_once = stored_run(here)
    assert at_once.provenance.resumed is None
    assert resumed.measurements == at_once.measurements
    assert (resumed.arrays["right"] == at_once.arrays["right"]).all()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # files not closed
def test_an_alarm_at_any_moment_damages_no_run(slow, study_file, here, monkeypatch):
    jobs = slow_jobs(study_file, here)
    monkeypatch.setattr(slow, "wait", lambda: None)
    assert run(jobs, here) == ["done"]
    expected, generator, results = stored_run(here), random.Random(0), []
    for _ in range(12):
        shutil.rmtree(here / "reports")
        results.append("left")
        for attempt in range(100):
            results += limited(jobs, here, generator.uniform(0.0, 0.1 + 0.05 * attempt))
            assert all(store.read_run(path).arrays for path in store.run_paths(here / "reports/s"))
            if results[-1] != "left":
                break
        assert results[-1] in ("done", "already done")
        assert stored_run(here).measurements == expected.measurements
        assert (stored_run(here).arrays["right"] == expected.arrays["right"]).all()
        assert not list(here.rglob(".*.part"))
    assert results.count("left") > 12


def fail_at_the_alarm():
    try:
        signal.raise_signal(signal.SIGALRM)
    finally:
        fail()


def fail():
    raise RuntimeError("a library cannot restore its state")


def test_an_error_that_follows_from_the_alarm_is_no_failure():
    with pytest.raises(OutOfTime), Deadline(1000.0).alarm():
        fail_at_the_alarm()
    with pytest.raises(RuntimeError), Deadline(1000.0).alarm():
        fail()


def test_a_job_with_nothing_to_do_is_no_work_that_is_left(slow, study_file, here, monkeypatch):
    jobs = slow_jobs(study_file, here)
    monkeypatch.setattr(slow, "wait", lambda: None)
    assert run(jobs, here) == ["done"]
    of_jobs = Deadline(1000.0).before(1001.0)
    assert of_jobs.left < 0
    outcomes = run_jobs(jobs, workspace(here), {}, Clock(), of_jobs)
    assert [one.result for one in outcomes] == ["already done"]


def test_comparisons_that_take_long_leave_the_report_its_time(
    study_file, here, monkeypatch, capsys
):
    text = STUDY.replace("0.1\n", "[0.0, 0.1]\n", 1).replace("epochs = 5", "epochs = 1")
    sides = "base = { sd_dropout = 0.0 }\nothers = [{ sd_dropout = 0.1 }]\n"
    study_file(f"{text}[[compare]]\n{sides}")
    run(jobs_of(read_study(here / "study.toml")), here)
    written = []
    monkeypatch.setattr(comparison, "compare_planned", lambda *_, **more: time.sleep(60.0))
    monkeypatch.setattr(report, "write_report", lambda *_, **more: written.append(time.monotonic()))
    (here / "reports/s").rename(here / "reports/limited")
    begun = time.monotonic()
    assert exit_code(["batch", "study.toml", "--deadline", "3", "--threads", "1"]) == 4
    (when,) = written
    assert 2.6 <= when - begun < 3.0
    assert "the same command goes on:\ncompare\n" in capsys.readouterr().out


def test_jobs_that_do_not_fit_are_left_and_shorter_ones_run():
    clock = Clock()
    limit = deadline(10.0, clock, long=50.0, longer=20.0, short=2.0)
    assert limit.admits("long")  # the first one, so that every command makes progress
    limit.begin("long")
    clock.now = 5.0
    assert not limit.admits("longer")
    assert limit.admits("short")
    clock.now = 11.0
    assert not limit.admits("short")
    assert limit.admits("done before")


def test_several_jobs_at_a_time_end_when_none_fits():
    clock = Clock()
    limit = deadline(10.0, clock, a=5.0, b=5.0, c=20.0)
    jobs = [
        Job("a", "a", None),
        Job("b", "b", None),
        Job("c", "c", None),
        Job("d", "d", None, ("c",)),
    ]
    queue = _Queue(jobs, limit)
    assert [queue.next().key, queue.next().key, queue.next()] == ["a", "b", None]
    for key in "ab":
        queue.end(Job(key, key, None), JobOutcome(key, key, "done"))
    assert queue.ended
    assert [queue.outcomes[key].result for key in "abcd"] == ["done", "done", "left", "left"]


def test_an_epoch_is_what_a_training_needs_and_an_evaluation_needs_all_of_its_time(
    study_file, here
):
    training, *evaluations = plan(jobs_of(read_study(study_file(STUDY))), workspace(here))
    assert training.least == pytest.approx(training.seconds / 5)
    assert all(one.least == one.seconds > 0 for one in evaluations)


def test_the_command_lists_what_is_left_and_has_an_exit_code_of_its_own(study_file, here, capsys):
    study_file(STUDY.replace("epochs = 5", "epochs = 1000"))
    assert exit_code(["batch", "study.toml", "--deadline", "1"]) == 4
    out = capsys.readouterr().out
    assert "left at the deadline; the same command goes on:" in out
    assert "train digits-small_cnn-ce-sdd0.1" in out
    assert "failed" not in out


def test_a_deadline_that_is_far_away_changes_nothing(study_file, here, capsys):
    study_file(STUDY)
    assert exit_code(["batch", "study.toml", "--deadline", "1000"]) == 0
    assert "left" not in capsys.readouterr().out
    assert (here / "reports/limited/index.html").is_file()


def test_a_cluster_takes_no_deadline(tiny, capsys):
    assert exit_code(["batch", "study.toml", "--engine", "ray", "--deadline", "60"]) == 2
    assert "--deadline is for this machine" in capsys.readouterr().err


@pytest.mark.slow
def test_processes_stop_at_the_deadline_and_other_ones_go_on(study_file, here):
    jobs = jobs_of(read_study(study_file(STUDY.replace("0.1\n", "[0.0, 0.1]\n", 1))))
    clock = Clock()
    clock.advance = lambda units=1, note="": None
    least = {job.key: 1e-3 for job in jobs}
    limited = run_concurrently(jobs, workspace(here), {}, clock, 2, Deadline(1e-2, least, clock))
    assert {one.result for one in limited} == {"left"}
    again = run_concurrently(jobs, workspace(here), {}, clock, 2)
    assert {one.result for one in again} == {"done"}
    run_jobs(jobs, workspace(here / "in_turn"), {}, Clock())
    assert weights(here / "checkpoints") == weights(here / "in_turn")


@pytest.mark.slow
def test_a_process_is_stopped_in_a_long_step_too(slow, study_file, here):
    jobs = slow_jobs(study_file, here)
    clock = Clock()
    clock.advance = lambda units=1, note="": None
    begun = time.monotonic()
    limit = Deadline(10.0, {job.key: 1e-3 for job in jobs})
    outcomes = run_concurrently(jobs, workspace(here), {}, clock, 2, limit)
    assert [one.result for one in outcomes] == ["left"]
    assert time.monotonic() - begun < 40.0
    outcomes = run_concurrently(jobs, workspace(here), {}, clock, 2)
    assert [one.result for one in outcomes] == ["done"]
