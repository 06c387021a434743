"""The headline table: its cells, marks, settings and text."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from types import ModuleType

import pytest

from sdd_eval.comparison.records import MetricDifference, PairComparison
from sdd_eval.comparison.store import ComparisonSet
from sdd_eval.errors import InputError
from sdd_eval.records import Measurement, Run
from sdd_eval.report.tables.headline import Headline, headline
from sdd_eval.report.text.headline import as_text, headline_text


def measured(synthetic: ModuleType, plain: list[float], with_it: list[float]) -> Headline:
    """A headline of accuracies, without and with SD-Dropout, a seed each."""
    runs = []
    for weight, values in ((0.0, plain), (0.1, with_it)):
        for seed, value in enumerate(values):
            metrics = [Measurement("accuracy", value, "fraction", protocol="top-1")]
            runs.append(synthetic.run_of(synthetic.network(weight, seed), "accuracy", metrics))
    return headline(synthetic.table(runs)[0])


def marks(table: Headline) -> list[str]:
    return [row.cells[0].mark for row in table.rows]


@pytest.mark.parametrize(
    ("plain", "with_it", "expected"),
    [
        ([0.90, 0.91, 0.92], [0.95, 0.96, 0.97], ["", "best"]),
        ([0.95, 0.96, 0.97], [0.90, 0.91, 0.92], ["best", ""]),
        ([0.90, 0.92, 0.94], [0.91, 0.93, 0.95], ["", ""]),
        # A lead of one and a half standard deviations is no certainty with three seeds a side.
        ([0.90, 0.92, 0.94], [0.93, 0.95, 0.97], ["", ""]),
        ([0.5, 0.6, 0.7], [0.5, 0.6, 0.7], ["", ""]),
        ([0.7, 0.7, 0.7], [0.7, 0.7, 0.7], ["", ""]),
        # A single network a side needs a comparison on the same images.
        ([0.90], [0.91], ["", ""]),
    ],
)
def test_the_best_mean_is_marked_only_if_its_lead_is_significant(
    synthetic: ModuleType, plain: list[float], with_it: list[float], expected: list[str]
) -> None:
    assert marks(measured(synthetic, plain, with_it)) == expected


def test_lower_values_are_best_if_the_arrow_points_down(synthetic: ModuleType) -> None:
    runs = [synthetic.calibration_run(net) for net in synthetic.pair(gain=-0.02)]
    table = headline(synthetic.table(runs)[0])
    column = [item.title for item in table.columns].index("ECE")
    assert table.columns[column].arrow == "↓"
    assert [row.cells[column].mark for row in table.rows] == ["best", ""]


def test_cells_on_other_images_are_not_compared(synthetic: ModuleType) -> None:
    runs = [
        synthetic.accuracy_run(synthetic.network(0.0, 0)),
        synthetic.accuracy_run(synthetic.network(0.1, 0, 0.02), limit=64, n=64),
    ]
    table = headline(synthetic.table(runs)[0])
    assert marks(table) == ["", ""]
    assert table.rows[1].base == "CE"
    assert table.rows[1].cells[0].change is None


def test_the_fgsm_column_shows_the_authors_variant_at_epsilon_one_fifth(
    synthetic: ModuleType,
) -> None:
    net = synthetic.network(0.0, 0)
    table = headline(synthetic.table([synthetic.fgsm_run(net)])[0])
    column = next(item for item in table.columns if item.title == "FGSM, authors'")
    assert column.at["epsilon"] == 0.2
    assert (column.at["variant"], column.at["gradient"]) == ("authors", "stable")
    assert column.at["temperature"] == 1.0
    text = as_text(table)
    assert "FGSM, authors': ε 0.2, a weak attack" in text


def test_another_setting_is_shown_and_named_if_the_preferred_one_is_missing(
    synthetic: ModuleType,
) -> None:
    runs = [synthetic.calibration_run(net, bins=5) for net in synthetic.pair(seeds=1)]
    assert "ECE: 5 bins" in as_text(headline(synthetic.table(runs)[0]))


def test_an_empty_cell_states_what_was_not_measured(synthetic: ModuleType) -> None:
    plain, with_it = synthetic.network(0.0, 0), synthetic.network(0.1, 0)
    runs = [synthetic.accuracy_run(plain), synthetic.odin_run(with_it)]
    table = headline(synthetic.table(runs)[0])
    reasons = [cell.reason for cell in table.rows[0].cells]
    assert reasons[0] == ""
    assert "not measured (sdd-eval odin CHECKPOINT)" in reasons
    assert "not measured (sdd-eval corruption CHECKPOINT)" in reasons


def test_an_excluded_cell_states_the_reason(synthetic: ModuleType) -> None:
    run = synthetic.accuracy_run(synthetic.network(0.0, 0))
    worse = dataclasses.replace(
        run, measurements=(Measurement("accuracy", 0.1, "fraction", protocol="top-1"),)
    )
    table = headline(synthetic.table([run, worse])[0])
    assert table.rows[0].cells[0].reason.startswith("excluded: runs disagree")


def test_mca_with_other_frost_has_a_column_of_its_own(synthetic: ModuleType) -> None:
    run = synthetic.corruption_run(synthetic.network(0.0, 0))
    official = synthetic.run_of(
        synthetic.network(0.0, 1), "corruption", [Measurement("mca", 0.7, "fraction")]
    )
    titles = [column.title for column in headline(synthetic.table([run, official])[0]).columns]
    assert "mCA" in titles
    assert "mCA, synthetic frost" in titles


def accuracies(synthetic: ModuleType, values: dict[str, list[float]]) -> list[Run]:
    """Runs of these accuracies, a method each and a seed each."""
    return [
        synthetic.run_of(
            synthetic.network(0.0, seed, method=method),
            "accuracy",
            [Measurement("accuracy", value, "fraction", protocol="top-1")],
        )
        for method, numbers in values.items()
        for seed, value in enumerate(numbers)
    ]


def by_group(table: Headline) -> dict[str, str]:
    return dict(zip([row.group for row in table.rows], marks(table), strict=True))


def compared(
    base: Run, other: Run, difference: float, adjusted: float, outdated: str = ""
) -> dict[str, list[ComparisonSet]]:
    """The stored comparison of two networks by accuracy, of the study "study"."""
    numbers = (run.measurements[0].value for run in (base, other))
    row = MetricDifference(
        *("accuracy", "digits", "accuracy", {}, "fraction", "top-1", 360, *numbers),
        *(difference, "McNemar, mid-p", difference - 0.01, difference + 0.01),
        **{"p": adjusted, "adjusted": adjusted, "family": "headline", "size": 2},
    )
    pair = PairComparison((base.checkpoint,), (other.checkpoint,), "new images", (row,))
    return {"study": [ComparisonSet("planned", (pair,), outdated=outdated)]}


def joined(*stored: dict[str, list[ComparisonSet]]) -> dict[str, list[ComparisonSet]]:
    return {"study": [one for item in stored for one in item["study"]]}


def test_no_mean_is_marked_if_two_lead_together(synthetic: ModuleType) -> None:
    values = {"ce": [0.90, 0.91, 0.92], "ls": [0.95, 0.96, 0.97], "byot": [0.955, 0.96, 0.975]}
    table = headline(synthetic.table(accuracies(synthetic, values))[0])
    assert by_group(table) == {"CE": "", "LS": "", "BYOT": ""}


def test_leads_over_seeds_are_corrected_over_the_groups_of_a_column(synthetic: ModuleType) -> None:
    """A lead of 4.75 points has p = .044 alone; over one of two groups it is not significant."""
    two = {"ce": [0.90, 0.92, 0.94], "ls": [0.9475, 0.9675, 0.9875]}
    table = headline(synthetic.table(accuracies(synthetic, two))[0])
    assert by_group(table) == {"CE": "", "LS": "best"}
    table = headline(synthetic.table(accuracies(synthetic, {**two, "byot": two["ce"]}))[0])
    assert by_group(table) == {"CE": "", "LS": "", "BYOT": ""}


def test_a_mark_and_a_verdict_are_corrected_over_the_same_differences(
    synthetic: ModuleType,
) -> None:
    """A lead of 4.75 points has p = .044 alone; over a further group neither calls it better."""
    for further, sign, word in ([], "best", "higher"), (["ls"], "", "not distinguishable"):
        runs = [
            *accuracies(synthetic, {item: [0.90, 0.92, 0.94] for item in ("ce", *further)}),
            *(
                synthetic.run_of(
                    synthetic.network(0.1, seed),
                    "accuracy",
                    [Measurement("accuracy", value, "fraction", protocol="top-1")],
                )
                for seed, value in enumerate([0.9475, 0.9675, 0.9875])
            ),
        ]
        table = headline(synthetic.table(runs)[0])
        assert by_group(table)["CE + SD-Dropout λ 0.1"] == sign
        (change,) = [row.cells[0].change for row in table.rows if "λ" in row.group]
        assert change is not None
        assert change.verdict == word


def test_single_networks_are_marked_only_by_comparisons_on_the_same_images(
    synthetic: ModuleType,
) -> None:
    """Three networks of accuracy 56.3, 54.3 and 44.0, one of them lower by 12.3 points."""
    runs = accuracies(synthetic, {"ce": [0.563], "ls": [0.543], "byot": [0.44]})
    results = synthetic.table(runs)[0]
    assert by_group(headline(results)) == {"CE": "", "LS": "", "BYOT": ""}
    lower = compared(runs[0], runs[2], -0.123, 3e-143)
    assert by_group(headline(results, lower)) == {"CE": "", "LS": "", "BYOT": ""}
    noise = compared(runs[1], runs[0], 0.02, 0.06)
    assert by_group(headline(results, joined(lower, noise))) == {"CE": "", "LS": "", "BYOT": ""}
    certain = compared(runs[1], runs[0], 0.02, 0.01)
    table = headline(results, joined(lower, certain))
    assert by_group(table) == {"CE": "best network", "LS": "", "BYOT": ""}
    text = as_text(table)
    assert "56.3 % †" in text
    assert "about these networks, not the method" in text
    old = compared(runs[1], runs[0], 0.02, 0.01, outdated="a run was added since")
    assert not headline(results, joined(lower, old)).marks
    assert not headline(results, joined(lower, certain, noise)).marks


def test_a_lead_over_seeds_that_contradicts_a_stored_comparison_is_not_marked(
    synthetic: ModuleType,
) -> None:
    runs = accuracies(synthetic, {"ce": [0.90, 0.91, 0.92], "ls": [0.95, 0.96, 0.97]})
    results = synthetic.table(runs)[0]
    assert by_group(headline(results)) == {"CE": "", "LS": "best"}
    ((stored,),) = compared(runs[0], runs[3], 0.05, 0.07).values()
    names = [tuple(run.checkpoint for run in side) for side in (runs[:3], runs[3:])]
    pair = dataclasses.replace(stored.pairs[0], base=names[0], others=names[1])
    denied = {"study": [dataclasses.replace(stored, pairs=(pair,))]}
    assert by_group(headline(results, denied)) == {"CE": "", "LS": ""}


def test_verdicts_and_marks_follow_the_stored_comparison(synthetic: ModuleType) -> None:
    runs = accuracies(synthetic, {"ce": [0.90, 0.91, 0.92], "ls": [0.95, 0.96, 0.97]})
    results = synthetic.table(runs)[0]
    ((stored,),) = compared(runs[0], runs[3], -0.05, 0.01).values()
    names = [tuple(run.checkpoint for run in side) for side in (runs[:3], runs[3:])]
    pair = dataclasses.replace(stored.pairs[0], base=names[1], others=names[0])
    table = headline(results, {"study": [dataclasses.replace(stored, pairs=(pair,))]})
    assert [(row.group, row.base) for row in table.rows] == [("CE", "LS"), ("LS", "")]
    change = table.rows[0].cells[0].change
    assert change is not None
    assert (change.value, change.verdict, change.family) == (-0.05, "lower", 2)
    assert by_group(table) == {"CE": "", "LS": "best"}


def test_a_group_measured_on_different_data_has_no_mean(synthetic: ModuleType) -> None:
    runs = [synthetic.accuracy_run(net) for net in synthetic.pair()]
    for other in (1, 4):  # the second seed of either side
        runs[other] = dataclasses.replace(runs[other], data_fingerprint="a" * 64)
    table = headline(synthetic.table(runs)[0])
    assert [row.cells[0].values for row in table.rows] == [(), ()]
    assert "measured under 2 different conditions" in table.rows[0].cells[0].reason
    assert table.rows[1].cells[0].change is None


def test_the_text_table_has_a_row_a_metric_and_a_legend(synthetic: ModuleType) -> None:
    table = headline(synthetic.table(synthetic.whole())[0])
    shared, groups, *lines = as_text(table).splitlines()
    assert shared == "Digits, small CNN, 3 seeds each"
    columns = groups.index("CE"), groups.index("CE + SD-Dropout λ 0.1")
    (accuracy,) = (line for line in lines if line.startswith("Accuracy ↑"))
    values = accuracy[columns[0] : columns[1]], accuracy[columns[1] :]
    assert all(re.match(r"\d\d\.\d ± \d\.\d %", value) for value in values)
    assert any(line.startswith("* best") for line in lines)
    assert "Mean ± standard deviation over seeds" in lines


def test_the_text_table_of_a_narrow_terminal_has_a_line_a_group(synthetic: ModuleType) -> None:
    table = headline(synthetic.table(synthetic.whole())[0])
    lines = as_text(table, 60).splitlines()
    assert max(map(len, lines)) <= 60
    first = lines.index("Accuracy ↑")
    ce, both = lines[first + 1 : first + 3]
    assert ce.startswith("  CE  ")
    assert both.startswith("  CE + SD-Dropout λ 0.1  ")
    assert ce.index("±") == both.index("±")


def test_the_detector_on_softmax_probabilities_has_a_column_if_it_was_measured(
    synthetic: ModuleType,
) -> None:
    network, at = synthetic.network(0.0, 0), {"detector": "msp", "outliers": "average"}
    others = {"detector": "msp", "outliers": "uniform"}
    numbers = [
        Measurement("auroc", value, "fraction", a) for value, a in ((0.9, at), (0.8, others))
    ]
    table = headline(synthetic.table([synthetic.run_of(network, "ood", numbers)])[0])
    cells = dict(zip((c.title for c in table.columns), table.rows[0].cells, strict=True))
    assert cells["MSP AUROC"].values == (0.9,)
    without = headline(synthetic.table([synthetic.accuracy_run(network)])[0])
    assert "MSP AUROC" not in [column.title for column in without.columns]


def test_the_number_of_a_single_network_has_its_interval(synthetic: ModuleType) -> None:
    run = synthetic.run_of(
        synthetic.network(0.0, 0),
        "accuracy",
        [Measurement("accuracy", 0.9, "fraction", protocol="top-1", low=0.8, high=0.95, level=0.9)],
    )
    lines = as_text(headline(synthetic.table([run])[0])).splitlines()
    assert "Accuracy ↑  90.0 % (80.0 to 95.0)" in lines
    assert "In brackets: 90 % intervals" in lines


def test_the_text_of_a_study_folder_needs_runs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no finished run below"):
        headline_text(tmp_path)


def test_cells_for_another_task_are_not_reported_as_unmeasured(synthetic: ModuleType) -> None:
    detector = synthetic.network(0.0, 0, arch="fasterrcnn_fpn:resnet18")
    metrics = [Measurement("map", 0.3, "fraction", protocol="COCO")]
    classifier = synthetic.accuracy_run(synthetic.network(0.0, 1))
    table = headline(
        synthetic.table([classifier, synthetic.run_of(detector, "detection", metrics)])[0]
    )
    titles = [column.title for column in table.columns]
    reasons = {
        row.comparison.arch: dict(zip(titles, (cell.reason for cell in row.cells), strict=True))
        for row in table.rows
    }
    assert reasons["fasterrcnn_fpn:resnet18"]["Accuracy"] == "for classifiers only"
    assert reasons["fasterrcnn_fpn:resnet18"]["mAP"] == ""
    assert reasons["small_cnn"]["mAP"] == "for detectors only"
    assert reasons["small_cnn"]["ECE"] == "not measured (sdd-eval calibration CHECKPOINT)"
