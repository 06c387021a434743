"""LaTeX tables: their numbers, bold type, captions, notes and the choice of columns."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from types import ModuleType

import pytest

from sdd_eval.cli import exit_code
from sdd_eval.errors import InputError
from sdd_eval.metrics.formatting import escaped
from sdd_eval.report import write
from sdd_eval.report.latex.evaluators import evaluator_table
from sdd_eval.report.latex.grids import PaperNumbers, headline_tables, paper_numbers, paper_tables
from sdd_eval.report.latex.layout import TexTable, table_tex
from sdd_eval.report.latex.selection import Selection, selection
from sdd_eval.report.runs import read_runs
from sdd_eval.report.tables.headline import Headline
from sdd_eval.report.tables.sections import (
    ProtocolIndex,
    result_table,
    without_bins_and_severities,
)
from sdd_eval.report.tables.summary import comparable_results
from sdd_eval.report.write import write_report

ALL = Selection()


@pytest.fixture(scope="module")
def numbers(synthetic: ModuleType) -> PaperNumbers:
    """Two methods, three seeds each, all evaluators."""
    return paper_numbers(synthetic.table(synthetic.whole())[0])


@pytest.fixture(scope="module")
def tables(numbers: PaperNumbers) -> dict[str, TexTable]:
    """The headline table and those in the paper's layout, by name."""
    return {
        t.name: t for t in (*headline_tables(numbers.headline, ALL), *paper_tables(numbers, ALL))
    }


def one_network(synthetic: ModuleType) -> Headline:
    run = synthetic.accuracy_run(synthetic.network(0.0, 0))
    return paper_numbers(synthetic.table([run])[0]).headline


def texts(table: TexTable) -> dict[str, list[str]]:
    """Return the cells of each row by its label, of all sections."""
    rows = (row for section in table.sections for row in section.rows)
    return {row.label: [cell.text for cell in row.cells] for row in rows}


def test_the_headline_has_the_numbers_and_bold_type_of_the_page(
    numbers: PaperNumbers, tables: dict[str, TexTable]
) -> None:
    ((ce, with_it),) = (section.rows for section in tables["headline"].sections)
    assert (ce.label, with_it.label) == ("CE", "CE + SD-Dropout λ 0.1")
    cells = [cell for cell in numbers.headline.rows[1].cells if cell.values]
    assert [one.bold for one in with_it.cells] == [bool(cell.mark) for cell in cells]
    assert any(one.bold for one in with_it.cells)
    assert not any(one.bold for one in ce.cells)
    summary = cells[0].summary
    assert with_it.cells[0].text == f"{100 * summary.mean:.1f}±{100 * summary.std:.1f}"
    assert tables["headline"].columns[:2] == ("Accuracy ↑", "ECE ↓")


def test_a_caption_says_images_seeds_units_and_protocol_in_one_sentence(
    tables: dict[str, TexTable],
) -> None:
    table = tables["headline"]
    sentence = f"{table.subject}: {table.details}"
    assert sentence.startswith(
        "Digits, small CNN: mean ± standard deviation over 3 seeds on 360 test images "
        "(Worst case of the audit: 100), in % but ECE and ECE after scaling; ECE: 10 bins;"
    )
    assert "ODIN AUROC, ODIN FPR95: ε 0.0028, T 1000" in sentence
    assert re.findall(r"\. ", sentence) == []
    assert sentence.endswith(".")


def test_notes_say_the_rule_of_bold_type_and_what_limits_a_number(
    tables: dict[str, TexTable],
) -> None:
    rule, *others = tables["headline"].notes
    assert rule.startswith("Bold: best mean; its lead over every other group is significant")
    assert "mCA, synthetic frost: Digits-C, regenerated." in others


def test_without_a_significant_lead_the_note_says_why_nothing_is_bold(
    synthetic: ModuleType,
) -> None:
    equal = paper_numbers(synthetic.table(synthetic.whole(2, gain=0.0))[0]).headline
    (table,) = headline_tables(equal, ALL)
    assert not any(cell.bold for row in table.sections[0].rows for cell in row.cells)
    assert table.notes[0].startswith("No number is bold: none leads over every other group with")
    single = paper_numbers(synthetic.table(synthetic.whole(1))[0]).headline
    assert next(headline_tables(single, ALL)).notes[0] == (
        "No number is bold: the differences were not tested."
    )


def test_a_single_network_has_its_interval_with_the_number(synthetic: ModuleType) -> None:
    table = one_network(synthetic)
    row = table.rows[0]
    cells = (dataclasses.replace(row.cells[0], intervals=((0.912, 0.957, 0.95),)), *row.cells[1:])
    known = dataclasses.replace(table, rows=(dataclasses.replace(row, cells=cells),))
    (shown,) = headline_tables(known, ALL)
    assert shown.sections[0].rows[0].cells[0].interval == "[91.2, 95.7]"
    assert "one network each on 360 test images, 95 % intervals in brackets, in %" in shown.details
    assert re.search(r"CE & \d\d\.\d \[91\.2, 95\.7\] ", table_tex(shown))
    assert shown.notes == ()  # one method needs no note on bold type


def test_the_best_of_single_networks_has_a_dagger_that_a_note_explains(
    synthetic: ModuleType,
) -> None:
    table = one_network(synthetic)
    (row,) = table.rows
    cells = (dataclasses.replace(row.cells[0], mark="best network"), *row.cells[1:])
    (shown,) = headline_tables(
        dataclasses.replace(table, rows=(dataclasses.replace(row, cells=cells),)), ALL
    )
    assert re.search(r"\\textbf\{\d+\.\d\$\\dagger\$\} ", table_tex(shown))
    assert shown.notes[0].startswith("†: best of these networks")


def test_what_one_method_lacks_is_a_dash_and_what_all_lack_is_left_out(
    synthetic: ModuleType,
) -> None:
    runs = [synthetic.accuracy_run(synthetic.network(weight, 0)) for weight in (0.0, 0.1)]
    runs.append(synthetic.calibration_run(synthetic.network(0.0, 0)))
    (table,) = headline_tables(paper_numbers(synthetic.table(runs)[0]).headline, ALL)
    assert table.columns == ("Accuracy ↑", "ECE ↓", "ECE after scaling ↓")
    assert texts(table)["CE + SD-Dropout λ 0.1"][1:] == ["—", "—"]
    assert " & --- & " in table_tex(table)


def test_tables_of_the_paper_have_its_rows_and_columns(tables: dict[str, TexTable]) -> None:
    methods = ["CE", "CE + SD-Dropout λ 0.1"]
    for name in ("table-1", "table-2"):
        assert tables[name].columns == ("Digits",)
        assert [*texts(tables[name])] == methods
    assert [row.short for row in tables["table-1"].sections[0].rows] == ["", "+ SD-Dropout λ 0.1"]
    assert [s.title for s in tables["table-5"].sections] == ["FGSM, authors'", "FGSM, standardised"]
    assert tables["table-5"].columns == tables["table-6"].columns == tuple(methods)
    assert [*texts(tables["table-5"])] == ["Digits"]
    corruptions = [*texts(tables["table-6"])]
    assert corruptions[0] == "Gaussian noise"
    assert corruptions[-2:] == ["JPEG compression", "mCA, synthetic frost"]
    assert len(corruptions) == 16
    sets = [section.title for section in tables["table-7"].sections]
    assert sets == ["Photo patches", "Uniform noise", "Gaussian noise", "Average"]
    assert tables["table-7"].columns == (
        *("FPR at 95 % TPR ↓", "Detection error ↓", "AUROC ↑", "AUPR in ↑", "AUPR out ↑"),
    )


def test_their_numbers_are_those_of_the_headline_table(tables: dict[str, TexTable]) -> None:
    headline = texts(tables["headline"])
    for label, cells in texts(tables["table-1"]).items():
        assert cells == headline[label][:1]
    for label, cells in texts(tables["table-2"]).items():
        assert cells == headline[label][1:2]
    average = tables["table-7"].sections[-1]
    fpr = tables["headline"].columns.index("ODIN FPR95 ↓")
    assert [row.cells[0].text for row in average.rows] == [
        headline[row.label][fpr] for row in average.rows
    ]
    mean = texts(tables["table-6"])["mCA, synthetic frost"]
    mca = tables["headline"].columns.index("mCA, synthetic frost ↑")
    assert mean == [cells[mca] for cells in headline.values()]


def test_two_networks_and_test_sets_are_columns_of_one_table(synthetic: ModuleType) -> None:
    nets = [synthetic.network(w, s, arch=a) for w in (0, 1) for s in (0, 1) for a in ("a", "b")]
    numbers = paper_numbers(synthetic.table([synthetic.accuracy_run(net) for net in nets])[0])
    (table,) = (one for one in paper_tables(numbers, ALL) if one.name == "table-1")
    assert table.columns == ("Digits, A", "Digits, B")
    names = [one.name for one in headline_tables(numbers.headline, ALL)]
    assert names == ["headline-digits-a", "headline-digits-b"]


def chosen(numbers: PaperNumbers, *names: str) -> Selection:
    return selection(names, numbers.columns, numbers.headline.rows)


def test_columns_choose_metrics_and_methods_in_their_order(numbers: PaperNumbers) -> None:
    ours = "CE + SD-Dropout λ 0.1"
    picked = chosen(numbers, "odin.auroc", ours, "ECE")
    (table,) = headline_tables(numbers.headline, picked)
    assert table.columns == ("ODIN AUROC ↑", "ECE ↓")
    assert [*texts(table)] == [ours]
    tables = {one.name: one for one in paper_tables(numbers, picked)}
    assert tables["table-6"].columns == (ours,)
    assert tables["table-7"].columns == ("AUROC ↑",)
    assert tables["table-1"].columns == ("Digits",)
    turned = next(headline_tables(numbers.headline, chosen(numbers, ours, "CE")))
    assert [*texts(turned)] == [ours, "CE"]


def test_a_choice_of_methods_makes_no_number_bold(numbers: PaperNumbers) -> None:
    """Bold type still means better than every method of the study, which the note says."""
    (table,) = headline_tables(numbers.headline, chosen(numbers, "CE"))
    assert not any(cell.bold for row in table.sections[0].rows for cell in row.cells)
    (other,) = headline_tables(numbers.headline, chosen(numbers, "CE + SD-Dropout λ 0.1"))
    assert (
        "“Every other group” includes 1 of the study that the table does not show." in other.notes
    )


def test_an_unknown_column_is_an_error_with_a_suggestion(
    synthetic: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = synthetic.small_study(tmp_path / "study")
    with pytest.raises(InputError, match="unknown metric or method of --columns 'acuracy'"):
        write_report(study, columns=["acuracy"], figures=False)
    assert not (study / "index.html").exists()
    command = ["report", "study", "--reports", str(tmp_path), "--columns", "CE", "acuracy"]
    assert exit_code(command) == 2
    assert "did you mean 'accuracy'?" in capsys.readouterr().err


def test_special_characters_in_names_are_escaped() -> None:
    assert escaped(r"\input{x} & 5 % $^_#~") == (
        r"\textbackslash{}input\{x\} \& 5 \% \$\textasciicircum{}\_\#\textasciitilde{}"
    )
    assert escaped("import --mean 0.5") == "import -{}-mean 0.5", "two hyphens, not a dash"
    assert escaped("two\nlines\u202e文") == "two lines??"
    assert escaped("ℓ₂ ≈ ½ «Đą» e\u0301") == r"$\ell$2 $\approx$ ½ $\ll$Da$\gg$ é"


def test_a_study_names_its_columns_and_a_missing_method_is_no_error(
    synthetic: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = synthetic.small_study(tmp_path / "study")
    collection = read_runs([study])
    named = dataclasses.replace(collection, columns=("accuracy", "CE", "not trained yet"))
    monkeypatch.setattr(write, "read_runs", lambda *_: named)
    write_report(study, figures=False)
    text = (study / "tables" / "headline.tex").read_text()
    assert "\nCE & " in text
    assert "SD-Dropout" not in text.partition("\\caption")[2].partition("\\raggedright")[0]


def evaluator(synthetic: ModuleType, name: str, seeds: int = 2) -> TexTable:
    """Return the table of an evaluator of two methods."""
    results = synthetic.table([synthetic.MAKERS[name](net) for net in synthetic.pair(seeds=seeds)])[
        0
    ]
    (part,) = comparable_results(results)
    summary = without_bins_and_severities(part.summary)
    table = result_table(summary, ProtocolIndex(summary, [name], {}))
    return evaluator_table(table, name, "Test", ALL)


def test_a_table_of_an_evaluator_has_shared_settings_in_its_caption(synthetic: ModuleType) -> None:
    calibration = evaluator(synthetic, "calibration")
    assert [*texts(calibration)] == ["ECE", "ECE, T cross-fitted", "ECE floor"]
    assert calibration.details == (
        "mean ± standard deviation over 2 seeds on 360 images; as fractions; 10 bins."
    )
    odin = evaluator(synthetic, "odin")
    assert [section.title for section in odin.sections][:2] == [
        "FPR at 95 % TPR",
        "Detection error",
    ]
    assert odin.sections[0].rows[0].label == "Photo patches"
    assert odin.details.endswith("360 images; in %; ε 0.0028, ODIN, T 1000.")
    attack = evaluator(synthetic, "attack", seeds=1)
    assert "Accuracy under attack, ε 4/255, T 1" in texts(attack)
    assert "one network per cell" in attack.details
