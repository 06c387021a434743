"""`sdd-eval paper claims`: what stands in no table of the paper's."""

from __future__ import annotations

import pandas
import pytest
import torch

from sdd_eval.cli import exit_code
from sdd_eval.models.network import Network

STUDY = """
[recipe]
dataset = "digits"
arch = "small_cnn"
standardisation = "digits"
augmentation = "none"
epochs = 1
[[train]]
sd_dropout = [0.0, 0.1]
[[evaluate]]
evaluator = "mask_variance"
[[evaluate]]
evaluator = "corruption"
settings = { corruptions = ["snow", "fog"] }
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDD_EVAL_DATA", str(tmp_path / "data"))
    return tmp_path


def test_what_every_method_costs_stands_beside_cross_entropy(here, capsys):
    flags = ["--arch", "resnet8", "--batch-size", "4", "--steps", "1"]
    assert exit_code(["paper", "claims", *flags]) == 0
    written = pandas.read_csv(here / "reports/paper/claims-cost.csv")
    plain = written[written["sd_dropout"] == 0].set_index("method")
    assert plain.loc["ce", "images_per_second_over_ce"] == 1
    assert {"dml", "byot", "r_drop"} <= set(plain.index)
    assert set(written[written["sd_dropout"] > 0]["method"]) == set(plain.index)
    assert plain.loc["dml", "memory_over_ce"] == pytest.approx(2, abs=0.1)
    assert plain.loc["dml", "trained_parameters"] == 2 * plain.loc["ce", "trained_parameters"]
    assert plain["exported_parameters"].nunique() == 1
    said = capsys.readouterr().out
    assert "Cost of training beside cross-entropy" in said
    assert "byot + sdd" in said


@pytest.mark.usefixtures("here")
def test_no_step_is_too_few_and_too_little_memory_names_a_batch_size(capsys, monkeypatch):
    assert exit_code(["paper", "claims", "--steps", "0"]) == 2
    assert "--steps is 0; at least 1 is needed" in capsys.readouterr().err

    def exhausted(self, pixels):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Network, "activations", exhausted)
    monkeypatch.setattr(Network, "features", exhausted)
    assert exit_code(["paper", "claims", "--arch", "resnet8", "--batch-size", "8"]) == 2
    said = capsys.readouterr().err
    assert "too little memory for batch_size 8; try 4" in said


@pytest.mark.usefixtures("only_svg")
def test_a_study_tells_of_masks_and_corruptions(here, capsys):
    (here / "masks.toml").write_text(STUDY)
    assert exit_code(["batch", "masks.toml", "--limit", "40"]) == 0
    capsys.readouterr()
    assert exit_code(["paper", "claims", "masks", "--no-cost"]) == 0
    said = capsys.readouterr().out
    folder = here / "reports/masks/paper"
    variance = pandas.read_csv(folder / "claims-variance.csv")
    assert list(variance["images"]) == ["digits", "photo_patches", "uniform", "gaussian"] * 2
    assert (variance["relative_variance"] > 0).all()
    corruptions = pandas.read_csv(folder / "claims-corruptions.csv")
    assert list(corruptions["corruption"]) == ["snow", "fog"]
    assert (corruptions["low"] <= corruptions["difference"]).all()
    assert (corruptions["difference"] <= corruptions["high"]).all()
    won = (corruptions["result"] == "won").sum()
    assert f"of 2 corruptions {won} won" in said
    assert "(1 networks against 1)" in said
    assert not (folder / "claims-cost.csv").exists()


@pytest.mark.usefixtures("here", "only_svg")
def test_a_study_without_such_runs_says_how_to_make_them(capsys):
    assert exit_code(["paper", "claims", "nowhere", "--no-cost"]) == 2
    assert "there is no study nowhere" in capsys.readouterr().err
    assert exit_code(["batch", "paper/table-13", "--small", "--limit", "20"]) == 0
    capsys.readouterr()
    assert exit_code(["paper", "claims", "paper-table-13-small", "--no-cost"]) == 0
    said = capsys.readouterr().out
    assert "note: small: digits stands for cifar100" in said
    assert "nothing measured: sdd-eval mask-variance CHECKPOINT" in said
    assert "nothing measured: sdd-eval corruption CHECKPOINT" in said
