"""`sdd-eval plan`: how many seeds or images would show a difference."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from sdd_eval.cli import exit_code
from sdd_eval.comparison.power import _required_images, requirements
from sdd_eval.comparison.records import MetricDifference


@pytest.fixture
def study(synthetic: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A compared study of two methods with three seeds each."""
    monkeypatch.chdir(tmp_path)
    folder = Path("reports/s")
    nets = synthetic.pair()
    synthetic.write_study(folder, [synthetic.accuracy_run(net) for net in nets])
    names = [net.checkpoint for net in nets]
    assert exit_code(["compare", *names, "--study", "s", "--no-figures"]) == 0
    return folder


def test_seeds_are_planned_from_the_spread_of_the_seeds(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (small,), (large,) = ([*requirements(study, change)] for change in (0.001, 0.05))
    assert (small.unit, small.n) == ("seeds", 3)
    assert small.needed is not None
    assert large.needed is not None
    assert small.needed > 10 > large.needed >= 2
    capsys.readouterr()
    assert exit_code(["plan", "s", "--difference", "0.1%"]) == 0
    output = capsys.readouterr().out
    assert re.search(r"accuracy\.accuracy +CE +CE \+ SD-Dropout λ", output)
    assert re.search(rf"accuracy\.accuracy .* 0\.1 points  3 seeds  {small.needed:,} seeds", output)


def test_images_are_planned_from_the_width_of_the_paired_interval() -> None:
    row = MetricDifference("e", "d", "m", {}, "fraction", "", 1000, 0, 0, 0, "", -0.02, 0.02)
    assert _required_images(row, 0.01, 0.8) == 8173
    assert _required_images(row, 0.02, 0.8) == 2044
    assert _required_images(row, 0.0, 0.8) is None


@pytest.mark.usefixtures("study")
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("nowhere", "there is no study nowhere"),
        ("s --difference small", "--difference is small; it must be above 0"),
        ("s --difference -1", "--difference"),
        ("s --power 1", "--power is 1"),
        ("s --metrics ece", "the compared ones are: accuracy"),
    ],
)
def test_an_impossible_plan_is_one_line(
    flags: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(["plan", *flags.split()]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
