from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from sdd_eval.errors import InputError
from sdd_eval.records import Measurement
from sdd_eval.report.headline import Headline, as_text, headline, headline_text
from sdd_eval.report.sentences import findings


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
        ([0.90, 0.91, 0.92], [0.95, 0.96, 0.97], ["", "better"]),
        ([0.95, 0.96, 0.97], [0.90, 0.91, 0.92], ["better", ""]),
        ([0.90, 0.92, 0.94], [0.91, 0.93, 0.95], ["", "within noise"]),
        # A lead of one and a half standard deviations is no certainty with three seeds a side.
        ([0.90, 0.92, 0.94], [0.93, 0.95, 0.97], ["", "within noise"]),
        ([0.91, 0.93, 0.95], [0.90, 0.92, 0.94], ["within noise", ""]),
        ([0.5, 0.6, 0.7], [0.5, 0.6, 0.7], ["tie", "tie"]),
        ([0.90], [0.91], ["", "better"]),
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
    assert [row.cells[column].mark for row in table.rows] == ["better", ""]


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
    assert (column.at["reading"], column.at["gradient"]) == ("authors", "stable")
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


def test_three_seeds_a_side_speak_of_the_method_with_an_interval(synthetic: ModuleType) -> None:
    (found,) = findings(measured(synthetic, [0.90, 0.91, 0.92], [0.95, 0.96, 0.97]))
    (sentence,) = found.sentences
    assert found.opening == "CE + SD-Dropout λ 0.1 against CE (digits, small_cnn)"
    assert "from 91.0 ± 1.0 % to 96.0 ± 1.0 % (+5.0 points; 95 % interval over seeds" in sentence
    assert sentence.endswith("+2.7 to +7.3): better.")


def test_a_loss_is_called_a_loss(synthetic: ModuleType) -> None:
    (found,) = findings(measured(synthetic, [0.95, 0.96, 0.97], [0.90, 0.91, 0.92]))
    assert found.sentences[0].endswith("): worse.")


def test_an_interval_that_includes_no_change_is_said(synthetic: ModuleType) -> None:
    (found,) = findings(measured(synthetic, [0.90, 0.92, 0.94], [0.93, 0.95, 0.97]))
    assert found.sentences[0].endswith("better on average, but the interval includes no change.")


def test_fewer_seeds_speak_of_these_networks_only(synthetic: ModuleType) -> None:
    (found,) = findings(measured(synthetic, [0.9], [0.95]))
    assert found.sentences[0].startswith("Between these two networks Accuracy changes")
    assert "says nothing of the method" in found.sentences[0]


def test_the_text_is_aligned_and_explains_its_marks(synthetic: ModuleType) -> None:
    text = as_text(headline(synthetic.table(synthetic.whole())[0]))
    lines = text.splitlines()
    assert "CE + SD-Dropout λ 0.1" in text
    assert "* better mean" in text
    assert lines[0].index("n ") == lines[2].index("3 ")
    assert {len(line) for line in lines[2:4]} <= set(range(len(lines[1]) - 2, len(lines[1]) + 1))


def test_the_text_of_a_study_folder_needs_runs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no finished run below"):
        headline_text(tmp_path)


def test_report_and_figures_leave_torch_unloaded() -> None:
    code = (
        "import sys, importlib\n"
        "from sdd_eval import plugins\n"
        "import sdd_eval.report.write, sdd_eval.report.headline, sdd_eval.statistics.seeds\n"
        "before = set(sys.modules)\n"
        "assert 'matplotlib' not in before, 'matplotlib'\n"
        "[plugins.load('figures', name) for name in plugins.names('figures')]\n"
        "assert 'matplotlib' not in sys.modules, 'matplotlib'\n"
        "import sdd_eval.figures.saving, matplotlib.figure\n"
        "assert not {'torch', 'matplotlib.pyplot'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
