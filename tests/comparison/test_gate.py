"""Conditions on compared networks are decided by intervals, and mistakes in them are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from xml.etree import ElementTree

import pytest

from sdd_eval.cli import gate
from sdd_eval.comparison.gate import GateResult, judge, parse_condition
from sdd_eval.comparison.matching import StoredRun
from sdd_eval.comparison.records import MetricDifference, PairComparison
from sdd_eval.errors import InputError
from sdd_eval.records import Measurement, Run


def row(metric: str = "ece", evaluator: str = "calibration", **values: Any) -> MetricDifference:
    """A compared number: .05 and .07 on 1,000 images, the difference in [.01, .03]."""
    defaults: dict[str, Any] = {"dataset": "d", "at": {"bins": 10}, "unit": "fraction"}
    defaults |= {"protocol": "", "n": 1000, "base": 0.05, "other": 0.07, "difference": 0.02}
    defaults |= {"test": "paired permutation", "low": 0.01, "high": 0.03}
    return MetricDifference(evaluator=evaluator, metric=metric, **{**defaults, **values})


def pair(*rows: MetricDifference, others: tuple[str, ...] = ("new",)) -> PairComparison:
    return PairComparison(("base",), others, "", rows, ("fgsm on d: differ: epsilon 0.1 and 0.2",))


def stored(value: float, low: float | None = None, high: float | None = None) -> list[StoredRun]:
    """The runs of a network whose ECE is `value`."""
    number = Measurement("ece", value, "fraction", {"bins": 10}, low=low, high=high)
    run = SimpleNamespace(evaluator="calibration", dataset="d", n=1000, measurements=(number,))
    return [StoredRun(Path("run.json"), cast("Run", run))]


@pytest.mark.parametrize(
    ("condition", "decision"),
    [
        ("calibration.ece > base", "fail"),
        ("calibration.ece > base + 0.005", "fail"),
        ("calibration.ece > base + 0.01", "undecided"),
        ("calibration.ece >= base + 0.01", "fail"),
        ("calibration.ece > base + 2%", "undecided"),
        ("calibration.ece > base + 0.03", "pass"),
        ("calibration.ece >= base + .03", "undecided"),
        ("calibration.ece < base - 0.01", "pass"),
        ("calibration.ece<base+1e-1", "fail"),
        ("calibration.ece[bins=10] > 0.05", "fail"),
        ("calibration.ece > 0.06", "undecided"),
        ("calibration.ece > 8 %", "pass"),
    ],
)
def test_a_condition_is_decided_by_the_interval(condition: str, decision: str) -> None:
    result = judge(parse_condition(condition), pair(row()), [stored(0.07, 0.055, 0.08)])
    assert result.decision == decision


def test_a_plugin_s_name_may_have_dots() -> None:
    condition = parse_condition("my.evaluator-2.error > base")
    assert (condition.evaluator, condition.metric) == ("my.evaluator-2", "error")
    result = judge(condition, pair(row("error", "my.evaluator-2")), [])
    assert result.decision == "fail"


def test_an_undecided_condition_says_how_many_images_would_decide_it() -> None:
    result = judge(parse_condition("calibration.ece > base + 0.015"), pair(row()), [stored(0.07)])
    # The lower end is .01 below .02; .005 below needs four times as many images.
    assert (result.decision, result.unit, result.n, result.needed) == (
        *("undecided", "images"),
        *(1000, 4000),
    )
    equal = judge(parse_condition("calibration.ece > base + 0.02"), pair(row()), [stored(0.07)])
    assert equal.needed is None


def test_several_seeds_are_decided_over_seeds() -> None:
    both = pair(row(other=0.07), others=("new-0", "new-1", "new-2"))
    runs = [stored(value) for value in (0.06, 0.07, 0.08)]
    result = judge(parse_condition("calibration.ece > 0.02"), both, runs)
    # 0.07 ± 4.303 · 0.01 / √3, Student's interval of three seeds.
    assert (result.low, result.high) == pytest.approx((0.04516, 0.09484), abs=1e-5)
    assert (result.decision, result.unit, result.n) == ("fail", "seeds", 3)


def test_a_number_without_an_interval_is_undecided_with_the_reason() -> None:
    untested = row(low=None, high=None, test="no test: it is a maximum")
    result = judge(parse_condition("calibration.ece > base"), pair(untested), [stored(0.07)])
    assert (result.decision, result.reason) == ("undecided", "no test: it is a maximum")
    result = judge(parse_condition("calibration.ece > 0"), pair(row()), [stored(0.07)])
    assert (result.decision, result.reason) == ("undecided", "it has no interval")


def test_a_number_that_summarises_a_network_is_preferred_to_single_cells() -> None:
    rows = [row(at={"bins": 10, "temperature": "cross-fitted"}, difference=9.0), row()]
    result = judge(parse_condition("calibration.ece > base"), pair(*rows), [stored(0.07)])
    assert result.value == 0.02


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("calibration.ece", "is not a condition; write EVALUATOR.METRIC"),
        ("calibration.ece > based", "is not a condition"),
        ("calibration.ece > base * 2", "is not a condition"),
        ("calibration.ece > nan", "is not a condition"),
        ("calibration.ece[bins] > 0", "write values of axes as [AXIS=VALUE, …]"),
        ("calibration.eec > 0", "did you mean 'ece'"),
        ("acuracy.accuracy > 0", "unknown compared evaluator 'acuracy'"),
        ("fgsm.fgsm_accuracy > 0", "not compared: fgsm on d: differ: epsilon 0.1 and 0.2"),
        ("calibration.ece[bins=15] > 0", "known: [bins=10]"),
        ("ood.auroc < base", "fits several numbers; add one of [outliers=average near]; [outliers"),
    ],
)
def test_a_condition_on_something_not_measured_alike_is_refused(
    condition: str, message: str
) -> None:
    groups = [row("auroc", "ood", at={"outliers": f"average {g}"}) for g in ("near", "far")]
    with pytest.raises(InputError) as error:
        judge(parse_condition(condition), pair(row(), *groups), [stored(0.07)])
    assert message in str(error.value)


RESULT = GateResult(
    *("calibration.ece > base", ("new",), "fail", 0.02, 0.01, 0.03, 0.0, True, "", "images"),
    *(1000, None, "fail"),
)


@pytest.mark.parametrize(
    ("decisions", "undecided", "code"),
    [
        (["pass"], "undecided", 0),
        (["pass", "undecided"], "undecided", 3),
        (["undecided", "fail", "pass"], "undecided", 1),
        (["undecided"], "pass", 0),
        (["undecided"], "fail", 1),
    ],
)
def test_the_exit_code_tells_failed_from_undecided(
    decisions: list[Any], undecided: Any, code: int
) -> None:
    conditions = {"pass": "< base", "fail": "> base", "undecided": "> base + 0.015"}
    results = [
        judge(
            parse_condition(f"calibration.ece {conditions[decision]}"), pair(row()), [], undecided
        )
        for decision in decisions
    ]
    assert [result.decision for result in results] == decisions
    assert gate.exit_code(results) == code


def test_junit_and_github_formats_escape_what_they_must(tmp_path: Path) -> None:
    undecided = replace(RESULT, condition="a.b < 5%", decision="undecided", needed=4000)
    flags = gate.GateFlags(junit=tmp_path / "gate.xml", format="github")
    lines = gate.write([RESULT, undecided], flags).splitlines()[-2:]
    assert lines[0].startswith("::error title=fail%3A calibration.ece > base::new: difference")
    assert lines[1].startswith("::warning title=undecided%3A a.b < 5%25::new: ")
    assert "about 4,000 images would decide it, there are 1,000" in lines[1]
    suite = ElementTree.parse(tmp_path / "gate.xml").getroot()
    assert [suite.get(name) for name in ("tests", "failures", "errors")] == ["2", "1", "1"]
    assert [case[0].tag for case in suite] == ["failure", "error"]
