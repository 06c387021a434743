"""Running a study: missing jobs, failures, interruptions and the final summary."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sdd_eval.cli import exit_code
from sdd_eval.studies import jobs_of, plan, read_study
from sdd_eval.studies import run as running
from sdd_eval.studies.cost_model import Estimates
from sdd_eval.studies.jobs import Workspace


def files(folder: Path) -> dict[str, int]:
    """The runs and weights below a folder, with their times."""
    paths = [*folder.rglob("runs/*/*.json"), *folder.rglob("*.safetensors")]
    return {str(path): path.stat().st_mtime_ns for path in paths}


@pytest.mark.usefixtures("tiny")
def test_a_study_trains_evaluates_and_reports_each_once(here, capsys):
    assert exit_code(["batch", "study.toml"]) == 0
    output = capsys.readouterr().out
    assert "4 done" in output
    assert "CE + SD-Dropout λ 0.1" in output
    first = files(here)
    assert len(first) == 4
    record = json.loads((here / "reports/tiny/study.json").read_text())
    assert sorted(record["stands_for"]) == sorted(p.name for p in (here / "checkpoints").iterdir())
    assert exit_code(["batch", "study.toml"]) == 0
    assert "4 already done" in capsys.readouterr().out
    assert files(here) == first


@pytest.mark.usefixtures("tiny")
def test_a_new_title_and_new_columns_are_in_the_report_without_new_runs(here, capsys):
    assert exit_code(["batch", "study.toml", "--limit", "50"]) == 0
    first, page = files(here), here / "reports/tiny/index.html"
    text, written = (here / "study.toml").read_text(), page.stat().st_mtime_ns
    assert exit_code(["batch", "study.toml", "--limit", "50"]) == 0
    assert page.stat().st_mtime_ns == written
    assert "Two weights" in text
    renamed = text.replace("Two weights", "Renamed")
    (here / "study.toml").write_text(f'columns = ["nll"]\n{renamed}')
    assert exit_code(["batch", "study.toml", "--limit", "50"]) == 0
    assert files(here) == first
    assert "Renamed" in page.read_text()
    assert json.loads((here / "reports/tiny/study.json").read_text())["columns"] == ["nll"]


@pytest.mark.usefixtures("tiny")
def test_a_study_file_leaves_pictures_out_of_the_page_without_new_runs(here):
    page, text = here / "reports/tiny/index.html", (here / "study.toml").read_text()
    assert exit_code(["batch", "study.toml", "--limit", "50"]) == 0
    assert "data:image/png" in page.read_text()
    first = files(here)
    (here / "study.toml").write_text(f"images = false\n{text}")
    for _ in range(2):
        assert exit_code(["batch", "study.toml", "--limit", "50"]) == 0
        assert "data:image/png" not in page.read_text()
        written = page.stat().st_mtime_ns
    assert exit_code(["report", "tiny"]) == 0
    assert "data:image/png" not in page.read_text()
    assert page.stat().st_mtime_ns > written
    assert files(here) == first


@pytest.mark.usefixtures("tiny")
def test_a_dry_run_lists_the_jobs_and_writes_no_file(here, capsys):
    assert exit_code(["batch", "study.toml", "--dry-run"]) == 0
    output = capsys.readouterr().out
    assert "4 jobs: 4 missing; about" in output
    assert "4 of 4 estimates are rough" in output
    assert [path.name for path in here.iterdir()] == ["study.toml"]


@pytest.mark.usefixtures("tiny")
def test_estimates_come_from_finished_jobs_if_there_are_any(capsys):
    assert exit_code(["batch", "study.toml", "--limit", "50"]) == 0
    capsys.readouterr()
    assert exit_code(["batch", "study.toml", "--dry-run", "--seeds", "0", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    states = [line.split()[2] for line in lines if line.startswith(("train", "accuracy"))]
    assert states == ["done", "missing"] * 2 + ["missing"] * 4
    assert sum("estimated from digits-small_cnn-ce" in line for line in lines) == 2
    assert sum("as earlier runs of accuracy on small_cnn" in line for line in lines) == 4


@pytest.mark.usefixtures("tiny")
@pytest.mark.filterwarnings("ignore::sdd_eval.store.DamagedFile")
def test_no_estimate_comes_from_a_run_of_an_unknown_format(here, capsys):
    assert exit_code(["batch", "study.toml", "--limit", "50"]) == 0
    for path in here.glob("reports/*/runs/*/accuracy-*.json"):
        path.write_text(path.read_text().replace('"format": 2', '"format": 99'))
    capsys.readouterr()
    assert exit_code(["batch", "study.toml", "--dry-run", "--seeds", "0", "1"]) == 0
    assert "as earlier runs of accuracy" not in capsys.readouterr().out


def test_the_time_of_a_training_follows_its_number_of_images(study_file, recipe, lookup, here):
    workspace = Workspace(here / "checkpoints", here / "reports", here / "data")

    def seconds(setting: str) -> float:
        file = study_file(f'name = "few"\n{recipe}{setting}\n[[train]]\nmethod = "ce"\n')
        (planned,) = plan(jobs_of(read_study(file, lookup=lookup)), workspace)
        return planned.seconds

    assert seconds("images_per_class = 10") == pytest.approx(seconds("") / 10)


@pytest.mark.usefixtures("tiny")
def test_estimates_know_a_checkpoint_by_the_name_of_its_folder(here):
    assert exit_code(["batch", "study.toml", "--limit", "50"]) == 0
    (card, *_) = (here / "checkpoints").glob("*/card.json")
    card.parent.rename(here / "checkpoints/renamed")
    estimates = Estimates(Workspace(here / "checkpoints", here / "reports", here / "data"))
    assert estimates.networks["renamed"][0] == "small_cnn"


def test_the_estimate_of_an_audit_counts_its_queries(study_file, recipe, lookup, here):
    workspace = Workspace(here / "checkpoints", here / "reports", here / "data")

    def seconds(settings):
        table = f'[[evaluate]]\nevaluator = "attack"\nsettings = {settings}\nlimit = 10\n'
        file = study_file(f'name = "few"\n{recipe}\n[[train]]\nmethod = "ce"\n{table}')
        _, audit = plan(jobs_of(read_study(file, lookup=lookup)), workspace)
        return audit.seconds

    def audit(queries):
        effort = f'steps = 2, restarts = 1, parameters = ["n_queries={queries}"]'
        return seconds(f"{{ audit = true, {effort} }}")

    gradients = 2 * (1 + 2) + 2  # FGSM and PGD at two temperatures, PGD by the margin
    assert audit(1000) / audit(10) == pytest.approx((1000 + 3 * gradients) / (10 + 3 * gradients))
    assert audit(1000) > 50 * seconds("{ steps = 2 }")


def test_a_failing_job_stops_only_the_jobs_that_depend_on_it(study_file, recipe, capsys):
    study_file(f"""
name = "half"
{recipe}
[[train]]
dataset = ["cifar100", "digits"]
[[evaluate]]
evaluator = "accuracy"
""")
    assert exit_code(["batch", "study.toml", "--dry-run"]) == 0
    planned = capsys.readouterr().out
    assert "cifar100 is not on disk" in planned
    assert "2 missing, 2 blocked" in planned
    assert exit_code(["batch", "study.toml"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "1 failed, 1 not run, 2 done" in lines
    assert lines[-3] == "2 of 4 jobs failed or were not run:"
    assert lines[-2].startswith("  train cifar100-small_cnn-ce-")
    assert "sdd-eval data get cifar100" in lines[-2]
    assert "it needs 'train cifar100-small_cnn-ce-" in lines[-1]


@pytest.mark.usefixtures("one_figure")
def test_missing_data_sets_are_reported_before_training(study_file, recipe, capsys):
    study_file(f"""
name = "missing"
{recipe}
validation = 100
[[train]]
[[evaluate]]
evaluator = "odin"
settings = {{ outliers = ["uniform", "isun"] }}
[[evaluate]]
evaluator = "corruption"
dataset = "digits_validation"
settings = {{ corruptions = ["fog"] }}
[[evaluate]]
evaluator = "calibration"
dataset = "digits_validation"
[[evaluate]]
evaluator = "accuracy"
dataset = "cifar100"
""")
    assert exit_code(["batch", "study.toml", "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "5 jobs: 3 missing, 2 blocked" in lines[-1]
    assert sum("isun is not on disk (sdd-eval data get isun)" in line for line in lines) == 1
    assert (
        sum("cifar100 is not on disk (sdd-eval data get cifar100)" in line for line in lines) == 1
    )
    assert exit_code(["batch", "study.toml", "--limit", "5"]) == 1
    output = capsys.readouterr().out.splitlines()
    assert "note: 1 job will fail: isun is not on disk (sdd-eval data get isun)" in output
    assert "3 done, 2 failed" in output


@pytest.mark.usefixtures("tiny")
def test_an_unexpected_error_is_a_failure_with_its_traceback(here, monkeypatch, capsys):
    do = running._run

    def broken(work, workspace, progress):
        if getattr(work, "evaluator", ""):
            raise ZeroDivisionError("by\nzero")
        return do(work, workspace, progress)

    monkeypatch.setattr(running, "_run", broken)
    assert exit_code(["batch", "study.toml"]) == 1
    output = capsys.readouterr().out
    assert "2 done, 2 failed" in output.replace("1 done, 1 failed", "")
    assert "ZeroDivisionError: by zero" in output
    assert "Traceback" in (here / "reports/tiny/failures.txt").read_text()
    monkeypatch.setattr(running, "_run", do)
    assert exit_code(["batch", "study.toml"]) == 0
    assert not (here / "reports/tiny/failures.txt").exists()


@pytest.mark.usefixtures("tiny")
def test_an_interrupted_study_continues(here, monkeypatch, capsys):
    do = running._run

    def interrupted(work, workspace, progress):
        if getattr(work, "evaluator", ""):
            raise KeyboardInterrupt
        return do(work, workspace, progress)

    monkeypatch.setattr(running, "_run", interrupted)
    assert exit_code(["batch", "study.toml"]) == 130
    first = files(here)
    assert len(first) == 1
    monkeypatch.setattr(running, "_run", do)
    capsys.readouterr()
    assert exit_code(["batch", "study.toml"]) == 0
    assert "1 already done, 3 done" in capsys.readouterr().out
    assert first.items() <= files(here).items()


def test_a_checkpoint_of_another_recipe_is_not_changed(tiny, here, capsys):
    assert exit_code(["batch", "study.toml", "--limit", "20"]) == 0
    folder = here / "checkpoints"
    (name,) = [path.name for path in folder.iterdir() if "sdd" not in path.name]
    card = folder / name / "card.json"
    card.write_text(card.read_text().replace('"lr": 0.1', '"lr": 0.2'))
    capsys.readouterr()
    assert exit_code(["batch", "study.toml", "--dry-run"]) == 0
    assert "was trained with another recipe" in capsys.readouterr().out
    assert exit_code(["batch", "study.toml"]) == 1
    assert "lr is 0.2 there, 0.1 here" in capsys.readouterr().out


@pytest.mark.usefixtures("here")
def test_without_a_study_the_built_in_ones_are_listed(capsys):
    assert exit_code(["batch"]) == 0
    assert "STUDY is a file or one of" in capsys.readouterr().out


def test_a_job_of_another_process_is_retried_at_the_end(tiny, monkeypatch, capsys):
    from sdd_eval import store

    do, busy = running._run, []

    def at_first(work, workspace, progress):
        if not getattr(work, "evaluator", "") and not busy:
            busy.append(work.name)
            raise store.Busy("another process is training it")
        return do(work, workspace, progress)

    monkeypatch.setattr(running, "_run", at_first)
    monkeypatch.setattr(running, "WAIT", 0.01)
    assert exit_code(["batch", "study.toml"]) == 0
    assert "4 done" in capsys.readouterr().out


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
    outputs = [process.communicate(timeout=500) for process in [begin(here), begin(here)]]
    done = [int(n) for out, _ in outputs for n in re.findall(r"(\d+) done", out)]
    already = [int(n) for out, _ in outputs for n in re.findall(r"(\d+) already done", out)]
    assert sum(done) == 12, outputs
    assert sum(already) == 12, outputs
    assert len(list(here.rglob("runs/*/*.json"))) == 8


@pytest.mark.slow
def test_a_killed_study_is_resumed_by_the_same_command_with_the_same_result(study_file, here):
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


@pytest.mark.usefixtures("one_figure")
def test_a_study_may_start_from_a_checkpoint_that_exists_before_it(study_file, recipe, capsys):
    text = f'name = "further"\n{recipe}\n[[train]]\nstart_from = "first"\n'
    study_file(text)
    assert exit_code(["batch", "study.toml", "--dry-run"]) == 2
    assert "line 11: unknown checkpoint 'first'" in capsys.readouterr().err
    flags = "--dataset digits --arch small_cnn --standardisation digits --augmentation none"
    assert exit_code(["train", *flags.split(), "--epochs", "1", "--name", "first"]) == 0
    for outcome in ("1 done", "1 already done"):
        assert exit_code(["batch", "study.toml"]) == 0
        assert outcome in capsys.readouterr().out
    assert exit_code(["batch", "study.toml", "--dry-run"]) == 0
    assert "1 jobs: 1 done" in capsys.readouterr().out
