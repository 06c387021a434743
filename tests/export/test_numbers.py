"""The numbers and curves that are exported."""

from __future__ import annotations

import builtins
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sdd_eval.cli import exit_code
from sdd_eval.errors import InputError
from sdd_eval.export import CheckpointNumbers, read_numbers
from sdd_eval.records import Run

NAME = "digits-small_cnn-ce-seed0"
TARGETS = ("wandb", "tensorboard", "mlflow")


def test_each_number_has_its_axes_its_interval_and_how_it_was_measured(
    source: CheckpointNumbers,
) -> None:
    numbers = {number.name: number for number in source.numbers}
    assert numbers["accuracy/accuracy"].values == {
        "accuracy/accuracy": 0.8,
        "accuracy/accuracy low": 0.755,
        "accuracy/accuracy high": 0.838,
    }
    assert numbers["accuracy/accuracy"].description == (
        "Accuracy; 360 images of digits; largest logit against the label"
    )
    scaled = numbers["calibration/ece temperature=cross-fitted bins=10"]
    assert scaled.values == {scaled.name: 0.01}, "a number without interval has no ends"
    assert len(numbers) == len(source.numbers)


def test_numbers_of_single_bins_are_left_out(source: CheckpointNumbers) -> None:
    assert "bin_accuracy" in {*source.results["metric"]}
    assert not [number for number in source.numbers if "bin_accuracy" in number.name]


def test_names_are_unique_where_an_evaluator_has_several_sets_or_runs(
    synthetic: ModuleType, accuracy_run: Callable[..., Run], project: Path
) -> None:
    other = accuracy_run(dataset="cifar10", data={"cifar10": {"origin": "official"}})
    runs = [*(accuracy_run(n=n, limit=n) for n in (40, 50)), other]
    study = synthetic.write_study(project / "reports/several", runs)
    names = [one.name for one in read_numbers(NAME, study, project / "checkpoints").numbers]
    assert len({*names}) == len(names) == 3
    assert "accuracy/accuracy dataset=cifar10" in names


def test_runs_of_older_weights_are_left_out(
    synthetic: ModuleType, accuracy_run: Callable[..., Run], project: Path
) -> None:
    current = accuracy_run()
    older = replace(current, weights_sha256="0" * 64, evaluator="calibration")
    newer = replace(current, provenance=accuracy_run(created="2026-05-05T00:00:00").provenance)
    study = synthetic.write_study(project / "reports/retrained", [older, newer])
    source = read_numbers(NAME, study, project / "checkpoints")
    assert source.facts["weights_sha256"] == current.weights_sha256
    assert [number.name for number in source.numbers] == ["accuracy/accuracy"]


def test_the_curves_are_those_of_the_history(source: CheckpointNumbers) -> None:
    assert source.epochs == (
        (1, {"lr": 0.1, "loss": 2.25}),
        (2, {"lr": 0.01, "loss": 1.5, "kl_cosine@layer1": 0.25}),
    )
    assert source.facts["checkpoint"] == NAME
    assert source.facts["epochs"] == 200


def test_a_checkpoint_without_a_folder_has_no_curves(project: Path) -> None:
    assert read_numbers(NAME, project / "reports/default", project / "elsewhere").epochs == ()


def test_a_checkpoint_with_other_weights_and_an_unknown_one_are_refused(project: Path) -> None:
    study, parent = project / "reports/default", project / "checkpoints"
    card = parent / NAME / "card.json"
    card.write_text(json.dumps({**json.loads(card.read_text()), "weights_sha256": "0" * 64}))
    with pytest.raises(InputError, match="has other weights than the runs"):
        read_numbers(NAME, study, parent)
    with pytest.raises(InputError, match=f"did you mean '{NAME}'"):
        read_numbers(NAME[:-1], study, parent)


@pytest.mark.parametrize("target", TARGETS)
def test_a_missing_library_is_one_line_that_names_its_extra(
    target: str,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    real = builtins.__import__

    def refuse(name: str, *arguments: Any, **options: Any) -> Any:
        if name.split(".")[0] == target:
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    assert exit_code(["export", target, NAME]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"pip install 'sdd-eval[{target}]'" in error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("wand net", "did you mean 'wandb'"),
        ("wandb", "no checkpoint is named"),
        (f"model-card {NAME} --study ../default", "not a valid name"),
        (f"model-card {NAME} --study missing", "does not exist"),
    ],
)
def test_mistakes_in_flags_are_one_line(
    words: str, message: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(["export", *words.split()]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
