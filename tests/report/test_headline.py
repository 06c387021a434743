from __future__ import annotations

import dataclasses
import itertools
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from sdd_eval.errors import InputError
from sdd_eval.evaluators.adversarial.audit import Audit
from sdd_eval.records import Measurement, Run
from sdd_eval.report.tables.headline import Headline, as_text, headline, headline_text
from sdd_eval.report.text.findings import FEW, findings


def measured(synthetic: ModuleType, plain: list[float], with_it: list[float]) -> Headline:
    """A headline of accuracies, without and with SD-Dropout, a seed each."""
    runs = []
    for weight, values in ((0.0, plain), (0.1, with_it)):
        for seed, value in enumerate(values):
            found = [Measurement("accuracy", value, "fraction", protocol="top-1")]
            runs.append(synthetic.run_of(synthetic.network(weight, seed), "accuracy", found))
    return headline(synthetic.table(runs)[0])


def marks(table: Headline) -> list[str]:
    return [row.cells[0].mark for row in table.rows]


@pytest.mark.parametrize(
    ("plain", "with_it", "expected"),
    [
        ([0.90, 0.91, 0.92], [0.95, 0.96, 0.97], ["", "best"]),
        ([0.95, 0.96, 0.97], [0.90, 0.91, 0.92], ["best", ""]),
        ([0.90, 0.92, 0.94], [0.91, 0.93, 0.95], ["tie", "tie"]),
        # A lead of one and a half standard deviations is no certainty with three seeds a side.
        ([0.90, 0.92, 0.94], [0.93, 0.95, 0.97], ["tie", "tie"]),
        ([0.5, 0.6, 0.7], [0.5, 0.6, 0.7], ["tie", "tie"]),
        ([0.7, 0.7, 0.7], [0.7, 0.7, 0.7], ["tie", "tie"]),
        # One network a side: no interval over seeds can tell them apart.
        ([0.90], [0.91], ["tie", "tie"]),
    ],
)
def test_the_mark_follows_the_numbers_whoever_wins(
    synthetic: ModuleType, plain: list[float], with_it: list[float], expected: list[str]
) -> None:
    assert marks(measured(synthetic, plain, with_it)) == expected


def test_lower_is_better_where_the_arrow_points_down(synthetic: ModuleType) -> None:
    runs = [synthetic.calibration_run(net) for net in synthetic.pair(gain=-0.02)]
    table = headline(synthetic.table(runs)[0])
    column = [each.title for each in table.columns].index("ECE")
    assert table.columns[column].arrow == "↓"
    assert [row.cells[column].mark for row in table.rows] == ["best", ""]


def test_cells_on_other_images_are_not_compared(synthetic: ModuleType) -> None:
    runs = [
        synthetic.accuracy_run(synthetic.network(0.0, 0)),
        synthetic.accuracy_run(synthetic.network(0.1, 0, 0.02), limit=64, n=64),
    ]
    table = headline(synthetic.table(runs)[0])
    assert marks(table) == ["", ""]
    assert "was not measured alike on both sides" in findings(table)[0].sentences[0]


def test_the_headline_is_the_authors_reading_at_a_fifth_with_the_stable_gradient(
    synthetic: ModuleType,
) -> None:
    net = synthetic.network(0.0, 0)
    table = headline(synthetic.table([synthetic.fgsm_run(net)])[0])
    column = next(each for each in table.columns if each.title == "FGSM, authors'")
    assert column.at["epsilon"] == 0.2
    assert (column.at["variant"], column.at["gradient"]) == ("authors", "stable")
    assert column.at["temperature"] == 1.0
    text = as_text(table)
    assert "FGSM, authors': ε 0.2, the authors' step" in text


def test_another_setting_is_shown_and_named_where_the_usual_one_is_missing(
    synthetic: ModuleType,
) -> None:
    runs = [synthetic.calibration_run(net, bins=5) for net in synthetic.pair(seeds=1)]
    assert "ECE: bins 5" in as_text(headline(synthetic.table(runs)[0]))


def test_a_missing_cell_gives_its_reason(synthetic: ModuleType) -> None:
    plain, with_it = synthetic.network(0.0, 0), synthetic.network(0.1, 0)
    runs = [synthetic.accuracy_run(plain), synthetic.odin_run(with_it)]
    table = headline(synthetic.table(runs)[0])
    reasons = [cell.reason for cell in table.rows[0].cells]
    assert reasons[0] == ""
    assert "not measured (sdd-eval odin CHECKPOINT)" in reasons
    assert "not measured (sdd-eval corruption CHECKPOINT)" in reasons


def test_a_cell_left_out_says_why(synthetic: ModuleType) -> None:
    run = synthetic.accuracy_run(synthetic.network(0.0, 0))
    worse = dataclasses.replace(
        run, measurements=(Measurement("accuracy", 0.1, "fraction", protocol="top-1"),)
    )
    table = headline(synthetic.table([run, worse])[0])
    assert table.rows[0].cells[0].reason.startswith("left out: runs disagree")


def test_means_with_other_frost_stand_in_columns_of_their_own(synthetic: ModuleType) -> None:
    run = synthetic.corruption_run(synthetic.network(0.0, 0))
    official = synthetic.run_of(
        synthetic.network(0.0, 1), "corruption", [Measurement("mca", 0.7, "fraction")]
    )
    titles = [each.title for each in headline(synthetic.table([run, official])[0]).columns]
    assert "mCA" in titles
    assert "mCA, synthetic frost" in titles


def test_only_those_that_tie_with_the_best_are_marked(synthetic: ModuleType) -> None:
    values = {"ce": [0.90, 0.91, 0.92], "ls": [0.95, 0.96, 0.97], "byot": [0.955, 0.96, 0.975]}
    runs = [
        synthetic.run_of(
            synthetic.network(0.0, seed, method=method),
            "accuracy",
            [Measurement("accuracy", value, "fraction", protocol="top-1")],
        )
        for method, found in values.items()
        for seed, value in enumerate(found)
    ]
    table = headline(synthetic.table(runs)[0])
    assert dict(zip([row.group for row in table.rows], marks(table), strict=True)) == {
        "CE": "",
        "LS": "tie",
        "BYOT": "tie",
    }


def test_three_seeds_a_side_speak_of_the_method_with_an_interval(synthetic: ModuleType) -> None:
    (found,) = findings(measured(synthetic, [0.90, 0.91, 0.92], [0.95, 0.96, 0.97]))
    assert found.opening == "CE + SD-Dropout λ 0.1 against CE (digits, small_cnn)"
    assert found.sentences == (
        "Over 3 seeds a side SD-Dropout changes Accuracy from 91.0 ± 1.0 % to 96.0 ± 1.0 %, by "
        "+5.0 points [95 % interval over seeds +2.7 to +7.3]: better.",
    )


def test_seeds_that_all_give_one_number_are_not_called_better(synthetic: ModuleType) -> None:
    table = measured(synthetic, [0.99] * 3, [0.9925] * 3)
    ((sentence,),) = [each.sentences for each in findings(table)]
    assert marks(table) == ["tie", "tie"]
    assert "better" not in sentence
    assert "seeds of a side do not differ" in sentence


def test_a_seed_that_was_measured_on_other_content_enters_no_mean(synthetic: ModuleType) -> None:
    runs = [synthetic.accuracy_run(net) for net in synthetic.pair()]
    for other in (1, 4):  # the second seed of either side
        runs[other] = dataclasses.replace(runs[other], data_fingerprint="a" * 64)
    table = headline(synthetic.table(runs)[0])
    assert [row.cells[0].values for row in table.rows] == [(), ()]
    assert "measured in 2 ways that do not mix" in table.rows[0].cells[0].reason
    assert findings(table) == []


def test_a_loss_is_called_a_loss(synthetic: ModuleType) -> None:
    (found,) = findings(measured(synthetic, [0.95, 0.96, 0.97], [0.90, 0.91, 0.92]))
    assert found.sentences[0].endswith("−2.7]: worse.")


def test_seed_noise_is_called_that_with_what_could_have_been_detected(
    synthetic: ModuleType,
) -> None:
    (found,) = findings(measured(synthetic, [0.90, 0.92, 0.94], [0.93, 0.95, 0.97]))
    assert "within seed noise; a difference of 6.1 points could have been" in found.sentences[0]
    assert "better" not in found.sentences[0]


def test_fewer_seeds_speak_of_these_networks_only(synthetic: ModuleType) -> None:
    (found,) = findings(measured(synthetic, [0.9], [0.95]))
    assert found.sentences == (
        FEW,
        "Between these two networks: Accuracy is 90.0 % without and 95.0 % with SD-Dropout.",
    )
    assert "nothing of the method" in FEW
    (found,) = findings(measured(synthetic, [0.9, 0.91, 0.92], [0.95, 0.96]))
    assert found.sentences[0] == FEW
    assert found.sentences[1].startswith("Between these 5 networks: ")


def test_sentences_of_few_networks_come_after_those_of_many_seeds(synthetic: ModuleType) -> None:
    runs = []
    for weight, seed in itertools.product((0.0, 0.1), range(3)):
        network, value = synthetic.network(weight, seed), 0.9 + weight / 2 + 0.01 * seed
        accuracy = Measurement("accuracy", value, "fraction", {}, "top-1")
        ece = Measurement("ece", value, "fraction", {"bins": 10}, "ten bins")
        runs.append(synthetic.run_of(network, "calibration", [ece]))
        if seed == 0:  # accuracy is the table's first column
            runs.append(synthetic.run_of(network, "accuracy", [accuracy]))
    (found,) = findings(headline(synthetic.table(runs)[0]))
    assert [each.split()[0] for each in found.sentences] == ["Over", "With", "Between"]


def test_an_interval_over_images_is_named_as_one(synthetic: ModuleType) -> None:
    runs = [
        synthetic.run_of(
            synthetic.network(weight, 0),
            "accuracy",
            [Measurement("accuracy", 0.9, "fraction", {}, "top-1", 0.86, 0.93, 0.9)],
        )
        for weight in (0.0, 0.1)
    ]
    (found,) = findings(headline(synthetic.table(runs)[0]))
    assert "same networks on new images" in found.sentences[0]
    assert "90.0 % [90 %: 86.0 to 93.0] without and" in found.sentences[1]


def audited(synthetic: ModuleType, seeds: int, gain: float, *raised: str) -> str:
    """What is said of audits of so many seeds a side."""
    runs = [
        synthetic.audit_run(synthetic.network(weight, seed, amount + 0.0001 * seed), flags)
        for weight, amount, flags in ((0.0, 0.0, ()), (0.1, gain, raised))
        for seed in range(seeds)
    ]
    (found,) = findings(headline(synthetic.table(runs)[0]))
    (sentence,) = found.sentences
    return sentence


def test_robust_is_said_only_where_every_audit_and_the_seeds_allow_it(
    synthetic: ModuleType,
) -> None:
    assert "is more robust at ε = 0.25/255, 0.5/255" in audited(synthetic, 3, 0.05)
    two = audited(synthetic, 2, 0.05)
    assert two.startswith("Between these networks the audit shows a gain")
    assert "robust" not in two
    flagged = audited(synthetic, 3, 0.05, "zero_gradients")
    assert flagged.startswith("No gain here may be called robust: zero_gradients is raised for")
    assert audited(synthetic, 3, -0.05).startswith("No gain here may be called robust: the worst")


@pytest.mark.parametrize(
    ("steps", "source", "same"), [(50, "another", True), (3, "a network", False)]
)
def test_audits_of_other_effort_are_not_compared(
    synthetic: ModuleType, steps: int, source: str, same: bool
) -> None:
    """Only the network that transferred images were made for may differ."""

    def run(weight: float, gain: float, effort: Audit) -> Run:
        found = synthetic.audit_run(synthetic.network(weight, 0, gain))
        told = [dataclasses.replace(m, protocol=effort._protocol()) for m in found.measurements]
        return dataclasses.replace(found, measurements=tuple(told))

    runs = [
        run(0.0, 0.0, Audit(transfer_from="a network")),
        run(0.1, 0.05, Audit(steps=steps, transfer_from=source)),
    ]
    (found,) = findings(headline(synthetic.table(runs)[0]))
    assert ("shows a gain in the worst case" in found.sentences[0]) is same
    assert ("not of the same images with the same effort" in found.sentences[0]) is not same


def test_a_gain_within_seed_noise_is_not_called_robust(synthetic: ModuleType) -> None:
    runs = [
        synthetic.audit_run(synthetic.network(weight, seed, gain))
        for weight, gains in ((0.0, (0.0, 0.03, 0.06)), (0.1, (0.001, 0.031, 0.061)))
        for seed, gain in enumerate(gains)
    ]
    (found,) = findings(headline(synthetic.table(runs)[0]))
    assert "within seed noise, so nothing is called robust" in found.sentences[0]


def test_the_text_is_aligned_and_explains_its_marks(synthetic: ModuleType) -> None:
    text = as_text(headline(synthetic.table(synthetic.whole())[0]))
    lines = text.splitlines()
    assert "CE + SD-Dropout λ 0.1" in text
    assert "* best" in text
    assert lines[0].index("n ") == lines[2].index("3 ")
    assert {len(line) for line in lines[2:4]} <= set(range(len(lines[1]) - 2, len(lines[1]) + 1))


def test_the_text_of_a_study_folder_needs_runs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no finished run below"):
        headline_text(tmp_path)


def test_report_and_figures_leave_torch_unloaded() -> None:
    code = (
        "import sys, importlib\n"
        "from sdd_eval import plugins\n"
        "import sdd_eval.report.write, sdd_eval.report.tables.headline, sdd_eval.statistics.seeds\n"
        "before = set(sys.modules)\n"
        "assert 'matplotlib' not in before, 'matplotlib'\n"
        "[plugins.load('figures', name) for name in plugins.names('figures')]\n"
        "assert 'matplotlib' not in sys.modules, 'matplotlib'\n"
        "import sdd_eval.figures.style, matplotlib.figure\n"
        "assert not {'torch', 'matplotlib.pyplot'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_detector_is_not_told_to_measure_its_accuracy(synthetic: ModuleType) -> None:
    detector = synthetic.network(0.0, 0, arch="fasterrcnn_fpn:resnet18")
    found = [Measurement("map", 0.3, "fraction", protocol="COCO")]
    classifier = synthetic.accuracy_run(synthetic.network(0.0, 1))
    table = headline(
        synthetic.table([classifier, synthetic.run_of(detector, "detection", found)])[0]
    )
    titles = [column.title for column in table.columns]
    reasons = {
        row.comparison.arch: dict(zip(titles, (cell.reason for cell in row.cells), strict=True))
        for row in table.rows
    }
    assert reasons["fasterrcnn_fpn:resnet18"]["Accuracy"] == "of classifiers only"
    assert reasons["fasterrcnn_fpn:resnet18"]["mAP"] == ""
    assert reasons["small_cnn"]["mAP"] == "of detectors only"
    assert reasons["small_cnn"]["ECE"] == "not measured (sdd-eval calibration CHECKPOINT)"
