"""`--quiet` prints only errors and the result, `--verbose` also how it came about."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sdd_eval.cli import exit_code

NAME = "digits-small_cnn-ce-seed0"
PAGE = "reports/default/index.html"
TRAIN = (
    "train --dataset digits --arch small_cnn --epochs 1 --standardisation digits "
    "--augmentation none"
)
STUDY = """
name = "s"
seeds = [0]
checkpoints = ["{name}"]
[[evaluate]]
evaluator = "accuracy"
"""


@pytest.mark.usefixtures("here", "one_figure")
def test_quiet_commands_print_only_their_results(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "s.toml").write_text(STUDY.format(name=NAME))
    (run,) = (f"reports/default/runs/{NAME}/accuracy-digits-",)
    weights = f"checkpoints/{NAME}/weights.safetensors"
    for command, result in {
        TRAIN: f"checkpoints/{NAME}",
        f"import other --arch small_cnn --weights {weights} --dataset digits": "checkpoints/other",
        f"accuracy {NAME} other --limit 20": run,
        f"evaluate {NAME} other --evaluators accuracy --limit 20": PAGE,
        f"compare {NAME} other --no-figures": f"reports/default/comparisons/{NAME}--other",
        "report": PAGE,
        "batch s.toml": "reports/s/index.html",
    }.items():
        assert exit_code([*command.split(), "--quiet"]) == 0
        printed = capsys.readouterr()
        lines = printed.out.splitlines()
        assert lines[0].startswith(result), command
        assert all(Path(line).exists() for line in lines), command
        assert printed.err == "", command


@pytest.mark.usefixtures("here", "one_figure")
def test_quiet_json_is_one_document_and_errors_are_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = f"evaluate {NAME} --evaluators accuracy --limit 20 --quiet --json"
    assert exit_code(command.split()) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["runs"][0]["checkpoint"] == NAME
    assert printed.err == ""
    assert exit_code(["accuracy", "nowhere", "--quiet"]) == 2
    assert "unknown checkpoint 'nowhere'" in capsys.readouterr().err
    assert exit_code(["report", "--quiet", "--verbose"]) == 2
    assert "--quiet and --verbose exclude each other" in capsys.readouterr().err


@pytest.mark.usefixtures("one_figure")
def test_verbose_says_versions_timings_protocols_and_what_is_reused(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SDD_EVAL_CACHE", str(here / "cache"))
    command = f"evaluate {NAME} --evaluators accuracy calibration --limit 20"
    assert exit_code([*command.split(), "--verbose"]) == 0
    printed = capsys.readouterr()
    for text in (
        "torch ",
        f"accuracy of {NAME} on 20 images: measured in",
        "  accuracy: largest logit against the label",
        "outputs of 0 sets of images read from",
        "outputs of 1 sets of images read from",
        f"[1/3] accuracy {NAME}: ",
        "[3/3] report",
    ):
        assert text in printed.err
    assert exit_code([*command.split(), "--verbose", "--json"]) == 0
    again = capsys.readouterr()
    assert f"calibration of {NAME} on 20 images: stored run reused" in again.err
    assert len(json.loads(again.out)["runs"]) == 2
    assert exit_code(["accuracy", NAME, "--limit", "20"]) == 0
    assert "torch " not in capsys.readouterr().err
