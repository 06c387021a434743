"""The verdict table: differences, how strongly they are worded, and what stands at a number."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from sdd_eval.comparison.compare import compare
from sdd_eval.comparison.records import MetricDifference, PairComparison
from sdd_eval.comparison.store import ComparisonSet
from sdd_eval.records import Measurement
from sdd_eval.report.tables.headline import headline
from sdd_eval.report.tables.verdicts import DifferenceLine, VerdictTable, verdict_tables

INTERVAL = {"low": 0.86, "high": 0.93, "level": 0.9}


def measured(
    synthetic: ModuleType, plain: list[float], with_it: list[float], metric: str = "accuracy"
) -> VerdictTable:
    """The verdicts on a metric, without and with SD-Dropout, a value per seed."""
    runs = []
    at = {} if metric == "accuracy" else {"bins": 10}
    evaluator = "accuracy" if metric == "accuracy" else "calibration"
    for weight, values in ((0.0, plain), (0.1, with_it)):
        for seed, value in enumerate(values):
            number = Measurement(metric, value, "fraction", at, "top-1")
            runs.append(synthetic.run_of(synthetic.network(weight, seed), evaluator, [number]))
    (table,) = verdict_tables(headline(synthetic.table(runs)[0]))
    return table


def only_line(table: VerdictTable) -> DifferenceLine:
    ((line,),) = [row.lines for row in table.rows]
    return line


@pytest.mark.parametrize(
    ("plain", "with_it", "metric", "verdict"),
    [
        ([0.90, 0.91, 0.92], [0.95, 0.96, 0.97], "accuracy", "better"),
        ([0.95, 0.96, 0.97], [0.90, 0.91, 0.92], "accuracy", "worse"),
        ([0.90, 0.91, 0.92], [0.95, 0.96, 0.97], "ece", "worse"),
        ([0.95, 0.96, 0.97], [0.90, 0.91, 0.92], "ece", "better"),
        ([0.90, 0.92, 0.94], [0.93, 0.95, 0.97], "accuracy", "no difference shown"),
        ([0.99] * 3, [0.9925] * 3, "accuracy", "not tested"),
        ([0.9], [0.95], "accuracy", "not tested"),
    ],
)
def test_a_difference_is_better_or_worse_only_if_it_is_significant(
    synthetic: ModuleType, plain: list[float], with_it: list[float], metric: str, verdict: str
) -> None:
    line = only_line(measured(synthetic, plain, with_it, metric))
    assert line.verdict == verdict
    assert line.kind == {"better": "good", "worse": "bad"}.get(verdict, "none")


def test_a_line_has_the_difference_its_interval_and_its_size_in_detectable_differences(
    synthetic: ModuleType,
) -> None:
    table = measured(synthetic, [0.90, 0.91, 0.92], [0.95, 0.96, 0.97])
    assert [row.group for row in table.groups] == ["CE", "CE + SD-Dropout λ 0.1"]
    assert [cell.text for cell in table.rows[0].cells] == ["91.0 ± 1.0 %", "96.0 ± 1.0 %"]
    line = only_line(table)
    assert line.text == "+5.0 points (+2.7 to +7.3)"
    assert line.points == pytest.approx((0.0273 / 0.0307, 0.05 / 0.0307, 0.0727 / 0.0307), rel=0.01)
    assert "Welch’s test over seeds, corrected for a single test" in " ".join(table.sentences)


def test_a_lower_ece_points_towards_better(synthetic: ModuleType) -> None:
    low, middle, high = only_line(
        measured(synthetic, [0.95, 0.96, 0.97], [0.90, 0.91, 0.92], "ece")
    ).points
    assert 0 < low < middle < high


def test_p_values_are_corrected_over_all_tests_of_the_table(synthetic: ModuleType) -> None:
    """A lead of 4.75 points has p = .044 alone, but a table of two metrics has two tests."""
    runs = []
    for weight, values in ((0.0, [0.90, 0.92, 0.94]), (0.1, [0.9475, 0.9675, 0.9875])):
        for seed, value in enumerate(values):
            net = synthetic.network(weight, seed)
            numbers = [Measurement("accuracy", value, "fraction", {}, "top-1")]
            runs.append(synthetic.run_of(net, "accuracy", numbers))
            numbers = [Measurement("ece", 0.1 + 0.01 * seed, "fraction", {"bins": 10}, "ten bins")]
            runs.append(synthetic.run_of(net, "calibration", numbers))
    (table,) = verdict_tables(headline(synthetic.table(runs)[0]))
    assert [line.verdict for row in table.rows for line in row.lines] == ["no difference shown"] * 2
    (alone,) = verdict_tables(headline(synthetic.table(runs[::2])[0]))
    assert only_line(alone).verdict == "better"


def test_tests_without_a_stored_comparison_are_corrected_together_with_the_stored_ones(
    synthetic: ModuleType,
) -> None:
    """A lead of 4.75 points has p = .044 alone, and .088 beside a stored test."""
    nets, runs = synthetic.pair(), []
    leads = zip(nets, [0.90, 0.92, 0.94, 0.9475, 0.9675, 0.9875], strict=True)
    for index, (net, value) in enumerate(leads):
        numbers = [Measurement("accuracy", value, "fraction", {}, "top-1")]
        runs.append(synthetic.run_of(net, "accuracy", numbers))
        numbers = [Measurement("ece", 0.1 + index / 99, "fraction", {"bins": 10}, "ten bins")]
        runs.append(synthetic.run_of(net, "calibration", numbers))
    difference = MetricDifference(
        *("calibration", "digits", "ece", {"bins": 10}, "fraction", "ten bins", 360, 0.1, 0.2, 0.1),
        **{"test": "Welch", "low": 0.05, "high": 0.15, "p": 0.3, "adjusted": 0.3, "size": 1},
    )
    sides = [tuple(net.checkpoint for net in side) for side in (nets[:3], nets[3:])]
    stored = ComparisonSet("planned", (PairComparison(*sides, "seeds", (difference,)),))
    (table,) = verdict_tables(headline(synthetic.table(runs)[0], {"study": [stored]}))
    assert [line.verdict for row in table.rows for line in row.lines] == ["no difference shown"] * 2
    assert "corrected for 1 or 2 tests" in " ".join(table.sentences)


def test_single_networks_have_intervals_over_images_and_verdicts_of_a_stored_comparison(
    synthetic: ModuleType,
) -> None:
    number = Measurement("accuracy", 0.9, "fraction", {}, "top-1", **INTERVAL)
    nets = [synthetic.network(weight, 0) for weight in (0.0, 0.1)]
    runs = [synthetic.run_of(net, "accuracy", [number]) for net in nets]
    results = synthetic.table(runs)[0]
    (table,) = verdict_tables(headline(results))
    assert [cell.interval for cell in table.rows[0].cells] == ["86.0 to 93.0 (90 %)"] * 2
    assert "Differences between single networks are tested by sdd-eval compare." in table.sentences
    difference = MetricDifference(
        *("accuracy", "digits", "accuracy", {}, "fraction", "top-1", 360, 0.9, 0.95, 0.05),
        **{"test": "McNemar, mid-p", "low": 0.03, "high": 0.07, "p": 0.01, "adjusted": 0.02},
    )
    pair = PairComparison((nets[0].checkpoint,), (nets[1].checkpoint,), "images", (difference,))
    (table,) = verdict_tables(headline(results, {"study": [ComparisonSet("planned", (pair,))]}))
    line = only_line(table)
    assert (line.verdict, line.text) == ("better", "+5.0 points (+3.0 to +7.0)")
    assert line.points[1] == pytest.approx(0.05 / (0.02 * (1.96 + 0.8416) / 1.96), rel=1e-3)
    assert "about these networks and not their methods" in " ".join(table.sentences)
    assert "tested by sdd-eval compare" not in " ".join(table.sentences), "that has been run"


def test_groups_measured_on_other_images_are_not_compared(synthetic: ModuleType) -> None:
    runs = [synthetic.accuracy_run(net) for net in synthetic.pair()]
    runs[3:] = [dataclasses.replace(run, n=64, limit=64) for run in runs[3:]]
    (table,) = verdict_tables(headline(synthetic.table(runs)[0]))
    line = only_line(table)
    assert (line.verdict, line.reason) == ("not compared", "images, data or protocol differ")
    assert [cell.notes for cell in table.rows[0].cells] == [(), ("subset: 64 images",)]


def test_what_all_groups_share_stands_at_the_metric(synthetic: ModuleType) -> None:
    runs = [synthetic.corruption_run(net) for net in synthetic.pair()]
    (table,) = verdict_tables(headline(synthetic.table(runs)[0]))
    assert table.rows[0].notes == ("Digits-C, regenerated",)
    assert [cell.notes for cell in table.rows[0].cells] == [(), ()]
    assert table.shared == (), "the only row keeps its notes"
    assert "ECE not measured (sdd-eval calibration CHECKPOINT)" in table.sentences[-1]


def test_what_all_metrics_share_stands_below_the_table(synthetic: ModuleType) -> None:
    runs = [synthetic.accuracy_run(net, limit=64, n=64) for net in synthetic.pair()]
    runs += [synthetic.calibration_run(net) for net in synthetic.pair()]
    runs = [dataclasses.replace(run, limit=64, n=64) for run in runs]
    (table,) = verdict_tables(headline(synthetic.table(runs)[0]))
    assert table.shared == ("subset: 64 images",)
    assert [row.notes for row in table.rows] == [()] * 3


def test_two_tables_do_not_repeat_a_sentence(synthetic: ModuleType) -> None:
    nets = [synthetic.network(w, 0, arch=a) for a in ("small_cnn", "resnet8") for w in (0.0, 0.1)]
    runs = [synthetic.accuracy_run(net) for net in nets]
    first, second = verdict_tables(headline(synthetic.table(runs)[0]))
    assert first.sentences[0].endswith("single networks are tested by sdd-eval compare.")
    assert second.sentences == ()
    assert not first.plotted


def test_a_run_s_warning_stands_at_its_number(synthetic: ModuleType) -> None:
    runs = [synthetic.accuracy_run(net) for net in synthetic.pair(seeds=1)]
    warned = msgspec.structs.replace(runs[1].provenance, warnings=("the classes are in doubt",))
    runs[1] = dataclasses.replace(runs[1], provenance=warned)
    (table,) = verdict_tables(headline(synthetic.table(runs)[0]))
    assert [cell.notes for cell in table.rows[0].cells] == [(), ("the classes are in doubt",)]


def test_a_warning_on_all_numbers_of_one_network_is_given_once(synthetic: ModuleType) -> None:
    nets = synthetic.pair(seeds=1)
    runs = [synthetic.accuracy_run(net) for net in nets]
    runs += [synthetic.calibration_run(net) for net in nets]
    warned = msgspec.structs.replace(runs[1].provenance, warnings=("the classes are in doubt",))
    runs[1::2] = [dataclasses.replace(run, provenance=warned) for run in runs[1::2]]
    (table,) = verdict_tables(headline(synthetic.table(runs)[0]))
    assert len(table.rows) > 1
    assert table.shared == ()
    assert table.of_group == ((), ("the classes are in doubt",))
    assert {(row.notes, *(cell.notes for cell in row.cells)) for row in table.rows} == {
        ((), (), ())
    }


def test_more_than_four_groups_are_a_leaderboard(synthetic: ModuleType) -> None:
    nets = [synthetic.network(0.0, 0, method=m) for m in ("ce", "ls", "byot", "dml", "cs_kd")]
    runs = [synthetic.accuracy_run(net) for net in nets]
    (few,) = verdict_tables(headline(synthetic.table(runs[:4])[0]))
    (many,) = verdict_tables(headline(synthetic.table(runs)[0]))
    assert (few.leaderboard, many.leaderboard) == (False, True)
    assert len(many.rows[0].lines) == 4


def test_the_base_of_a_comparison_is_the_base_of_the_table(
    synthetic: ModuleType, tmp_path: Path
) -> None:
    nets = synthetic.pair(seeds=2)
    runs = [synthetic.accuracy_run(net) for net in nets]
    study = synthetic.write_study(tmp_path / "study", runs)
    stored = compare(study, [net.checkpoint for net in reversed(nets)])
    table = headline(synthetic.table(runs)[0], {"study": [stored]})
    assert [row.base for row in table.rows] == ["CE + SD-Dropout λ 0.1", ""]
