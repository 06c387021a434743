"""`sdd-eval verify`: a report that follows from its runs holds, and any changed part is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sdd_eval.cli import exit_code

NAME = "digits-small_cnn-ce-seed0"
STUDY = Path("reports/default")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, trained: Path) -> Path:
    """A working folder with a report of two networks and their comparison."""
    folder = tmp_path_factory.mktemp("report")
    for name in (NAME, "copy"):
        shutil.copytree(trained, folder / "checkpoints" / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("SDD_EVAL_DATA", str(folder / "data"))
        for command in (
            f"accuracy {NAME} copy --limit 50",
            f"calibration {NAME} copy",
            f"compare {NAME} copy --no-figures",
            "report",
        ):
            assert exit_code(command.split()) == 0
    return folder


@pytest.fixture
def here(report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, as the working folder."""
    shutil.copytree(report, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("SDD_EVAL_DATA", str(tmp_path / "data"))
    return tmp_path / "here"


def contents(folder: Path) -> dict[str, int]:
    return {str(p): p.stat().st_mtime_ns for p in sorted(folder.rglob("*"))}


@pytest.mark.usefixtures("here")
def test_a_report_that_follows_from_its_runs_holds(capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(STUDY)
    assert exit_code(["verify", str(STUDY), "--all"]) == 0
    output = capsys.readouterr().out
    for part in (
        *(f"runs/{name}/{evaluator}-" for name in (NAME, "copy") for evaluator in EVALUATORS),
        *("results.csv", "summary.csv", "runs.csv", f"comparisons/{NAME}--copy.json", "index.html"),
        *("weights of copy", "images of digits"),
    ):
        (line,) = (line for line in output.splitlines() if part in line)
        assert line.startswith("holds")
    assert contents(STUDY) == before


EVALUATORS = ("accuracy", "calibration")


def _edit(pattern: str, change: Callable[[Any], None]) -> None:
    path = sorted(STUDY.glob(pattern))[0]
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def _replace(pattern: str, old: str, new: str) -> None:
    path = sorted(STUDY.glob(pattern))[0]
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def _first(run: Any, **fields: Any) -> None:
    run["measurements"][0].update(fields)


def _first_row(run: Any, **fields: Any) -> None:
    run["rows"][0].update(fields)


def _other_weights() -> None:
    digest = json.loads(sorted(STUDY.glob("runs/*/*.json"))[0].read_text())["weights_sha256"]
    _replace("runs.csv", digest, "0" * 64)


def _shorten(pattern: str) -> None:
    path = sorted(STUDY.glob(pattern))[0]
    path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("change", "part", "detail"),
    [
        (
            lambda: _edit("runs/copy/accuracy-*.json", lambda run: _first(run, value=0.999)),
            "runs/copy/accuracy-",
            "value of accuracy is 0.999, the arrays give",
        ),
        (
            lambda: _edit("runs/copy/calibration-*.json", lambda run: _first(run, low=0.0)),
            "runs/copy/calibration-",
            "low of ece bins=10 is 0.0, the arrays give",
        ),
        (
            lambda: _edit("runs/copy/accuracy-*.json", lambda run: run.update(n=-1)),
            "runs/copy/accuracy-",
            "has -1 images",
        ),
        (lambda: _replace("results.csv", ",50,", ",51,"), "results.csv", "the runs give 50"),
        (lambda: _replace("summary.csv", ",1,", ",3,"), "summary.csv", "the runs give"),
        (_other_weights, "runs.csv", "line 2, weights_sha256: 0"),
        (
            lambda: _edit("comparisons/pairs/*.json", lambda pair: _first_row(pair, low=1.0)),
            "comparisons/",
            "the runs give",
        ),
        (lambda: _replace("index.html", "<td", "<td>1"), "index.html", "differ; the runs give"),
    ],
    ids=["value", "interval", "count", "results", "summary", "runs", "comparison", "page"],
)
def test_a_changed_part_is_named(
    change: Callable[[], None],
    part: str,
    detail: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    change()
    assert exit_code(["verify", str(STUDY)]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("differs")]
    assert any(part in line and detail in line for line in lines)


@pytest.mark.usefixtures("here")
def test_other_weights_are_named_and_missing_ones_are_not_checked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    card = Path("checkpoints/copy/card.json")
    content = json.loads(card.read_text())
    card.write_text(json.dumps({**content, "weights_sha256": "0" * 64}))
    shutil.rmtree(f"checkpoints/{NAME}")
    assert exit_code(["verify", str(STUDY)]) == 1
    output = capsys.readouterr().out
    assert "its card has 000000000000…" in output
    assert f"not checked  weights of {NAME}" in output


@pytest.mark.usefixtures("here")
def test_weights_that_are_not_those_of_the_card_are_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = Path("checkpoints/copy/weights.safetensors")
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    assert exit_code(["verify", str(STUDY)]) == 1
    (line,) = (row for row in capsys.readouterr().out.splitlines() if "weights of copy" in row)
    assert line.startswith("differs")
    assert "; its file has " in line


@pytest.mark.parametrize("argument", ["", "nowhere"])
def test_a_folder_without_runs_is_refused(
    argument: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert exit_code(["verify", *argument.split()]) == 2
    assert capsys.readouterr().err.count("\n") == 1
