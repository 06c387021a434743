"""`sdd-eval train-detector` and `sdd-eval detection`, and the results table of their runs."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from sdd_eval import store
from sdd_eval.cli import exit_code
from sdd_eval.object_detection.evaluator import Detection
from sdd_eval.report.runs import read_runs
from sdd_eval.report.tables.results import tidy


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDD_EVAL_DATA", str(made / "data"))
    shutil.copytree(made / "checkpoints", tmp_path / "checkpoints")
    return tmp_path


def output_of(capsys, command):
    code = exit_code(command.split())
    result = capsys.readouterr()
    return code, result.out, result.err.strip().splitlines()[-1] if result.err.strip() else ""


SMALL = "--dataset shapes --min-size 32 --max-size 64 --channels 8 --regions 8 --threads 1"


@pytest.mark.usefixtures("here")
def test_the_half_schedule_has_seven_epochs_and_the_name_the_backbone_s(capsys, monkeypatch):
    from sdd_eval.object_detection import train

    def stopped(*given, **_):
        raise KeyboardInterrupt(given)

    monkeypatch.setattr(train, "fit", stopped)
    code, _, _ = output_of(
        capsys, f"train-detector --from backbone --schedule half --batch-size 2 {SMALL}"
    )
    assert code == 130
    code, _, error = output_of(
        capsys, f"train-detector --from backbone --schedule half --epochs 3 {SMALL}"
    )
    assert (code, error) == (2, "sdd-eval: --schedule half means 7 epochs, but --epochs is 3")


def test_a_detector_is_trained_and_evaluated_only_once(here, capsys):
    train = f"train-detector --from backbone --epochs 1 --batch-size 2 --name mine {SMALL}"
    code, out, _ = output_of(capsys, train)
    assert (code, out.splitlines()[0]) == (0, "checkpoints/mine")
    code, out, _ = output_of(capsys, "detection mine --threads 1")
    assert code == 0
    assert "mine · detection on 6 images of shapes (user's folder), measured" in out
    assert "map50" in out
    assert "stored run reused" in output_of(capsys, "detection mine --threads 1")[1]
    (path,) = store.run_paths(here / "reports" / "default")
    assert path.name.startswith("detection-shapes-")
    assert store.read_run(path).n == 6


def test_too_little_memory_suggests_a_batch_size(here, capsys, monkeypatch):
    def exhausted(self, subject):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Detection, "collect", exhausted)
    code, _, error = output_of(capsys, "detection detector --batch-size 4 --threads 1")
    assert code == 2
    assert "too little memory for batch_size 4; try 2" in error
    assert store.run_paths(here / "reports" / "default") == []


def test_a_limited_run_is_marked(here, capsys):
    code, out, _ = output_of(capsys, "detection detector --limit 3 --json --threads 1")
    run = json.loads(out)
    assert (code, run["limit"], run["n"]) == (0, 3, 3)
    assert len(store.read_run(store.run_paths(here / "reports/default")[0]).arrays["row"]) == 3


@pytest.mark.usefixtures("here")
def test_the_results_table_has_the_method_and_lambda_of_the_backbone(capsys):
    assert output_of(capsys, "detection detector --threads 1")[0] == 0
    from pathlib import Path

    table = tidy(read_runs([Path("reports/default")]).runs)
    row = table[table["metric"] == "map"].iloc[0]
    assert (row["method"], row["sd_dropout"], row["seed"]) == ("ce", 0.1, 3)
    assert (row["dataset"], row["arch"]) == ("shapes", "fasterrcnn_fpn:resnet18w16")
    assert exit_code(["report"]) == 0


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("detection backbone", "backbone is a classifier, not an object detector; train a "
         "detector on it with `sdd-eval train-detector --from backbone`"),
        ("accuracy detector", "detector is an object detector, not a classifier; sdd-eval "
         "detection measures it"),
        ("train-detector --from detector", "detector is an object detector, not a classifier; "
         "sdd-eval detection measures it"),
        ("train-detector", "--from is missing; use: sdd-eval train-detector --from CHECKPOINT"),
        ("detection", "no checkpoint is named; use: sdd-eval detection CHECKPOINT…"),
        ("detection detector --limit 0", "--limit is 0; it must be 1 or more"),
    ],
)  # fmt: skip
def test_a_checkpoint_of_the_wrong_task_is_refused(command, error, capsys):
    code, out, line = output_of(capsys, command)
    assert (code, out, line) == (2, "", f"sdd-eval: {error}")


def test_a_data_set_with_other_categories_is_refused(here, capsys, write_coco):
    folder = write_coco(here / "others", "others")
    path = folder / "annotations" / "instances_val2017.json"
    path.write_text(path.read_text().replace("boat", "ship"))
    code, _, error = output_of(capsys, f"detection detector --dataset {folder}")
    assert code == 2
    assert error.endswith("category 2 is 'boat' in the checkpoint and 'ship' in the data set")
