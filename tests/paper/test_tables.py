"""The tables that `sdd-eval paper` prints and writes: the real best, wrong bold type, LaTeX."""

from __future__ import annotations

import pandas
import pytest

from sdd_eval.cli import exit_code
from sdd_eval.paper import paper_numbers, set_beside
from sdd_eval.paper.latex import latex
from sdd_eval.paper.leaders import leaders, wrongly_bold
from sdd_eval.paper.rows import lines, place, shown

NUMBERS = paper_numbers()
COLUMNS = ["checkpoint", "evaluator", "metric", "note", "interval", "corruption", "bins"]


def unmeasured(table):
    own = [number for number in NUMBERS if number.table == table]
    return set_beside(pandas.DataFrame([], columns=COLUMNS), {}, numbers=own)


def test_table_7_is_wrong_in_seven_cells():
    wrong = [(number.at["outliers"], number.metric) for number in wrongly_bold(NUMBERS)]
    assert wrong == [
        *(("isun", "aupr_in"), ("dtd", "auroc"), ("dtd", "aupr_in")),
        *(("svhn", "detection_error"), ("svhn", "auroc"), ("svhn", "aupr_in")),
        ("average", "aupr_in"),
    ]
    marked = [line for line in lines(unmeasured(7)) if line.wrongly_bold]
    assert len(marked) == 7
    assert not any(line.leads for line in marked)


def test_a_method_stands_against_itself_in_table_1_and_against_all_in_table_9():
    best = leaders(NUMBERS, {i: number.value for i, number in enumerate(NUMBERS)})
    first = [n for i, n in enumerate(NUMBERS) if i in best and n.table == 1]
    assert len(first) == 18
    assert [n.method for n in first if not n.sd_dropout] == ["dml"]
    ninth = [n.at["direction"] for i, n in enumerate(NUMBERS) if i in best and n.table == 9]
    assert ninth == ["both"] * 3
    (grid,) = [n.at for i, n in enumerate(NUMBERS) if i in best and n.table == 14]
    assert grid == {"lambda": 1.0, "drop": 0.5}


def test_less_is_better_for_errors_and_equal_ones_share_the_lead():
    ece = [n for n in NUMBERS if n.table == 2][:2]
    assert leaders(ece, {0: 0.1, 1: 0.2}) == {0}
    assert leaders(ece, {0: 0.1, 1: 0.1}) == {0, 1}
    assert leaders(ece, {0: 0.1}) == set()
    assert not any(line.leads for line in lines(unmeasured(8)))


def test_numbers_are_shown_with_the_paper_s_digits():
    accuracy, ece = NUMBERS[0], next(n for n in NUMBERS if n.metric == "ece")
    assert shown(accuracy, 0.7483) == "74.8"
    assert shown(accuracy, -0.01234, sign=True) == "−1.2"
    assert shown(ece, float("nan")) == "—"
    assert shown(next(n for n in NUMBERS if n.metric == "mca"), 0.47494) == "47.49"
    assert place(next(n for n in NUMBERS if n.table == 14)) == "λ 0.1, drop 0.1"


@pytest.mark.parametrize("table", range(1, 15))
def test_every_table_is_latex_with_each_of_its_numbers_in_columns_that_fit(table):
    text = latex(table, unmeasured(table))
    spec = text.split(r"\begin{tabular}{")[1].split("}")[0]
    rows = [line for line in text.splitlines() if line.endswith(r"\\")][2:]
    assert all(row.count("&") == len(spec) - 1 for row in rows), text
    assert text.count("--") >= sum(n.table == table for n in NUMBERS)
    for number in NUMBERS:
        if number.table == table:
            assert shown(number, number.value) in text, number


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDD_EVAL_DATA", str(tmp_path / "data"))
    return tmp_path


def test_with_nothing_measured_the_paper_s_numbers_stand_alone(here, capsys):
    assert exit_code(["paper", "--tables", "7"]) == 0
    said = capsys.readouterr().out
    assert "where CE is better: isun aupr_in, dtd auroc" in said
    assert said.count("not measured") == 50
    assert len((here / "reports/paper/table-7.csv").read_text().splitlines()) == 51
    assert exit_code(["paper", "--tables", "7", "--complete"]) == 1
    assert "50 cells are empty: table 7" in capsys.readouterr().out


def test_a_small_study_fills_its_table_and_reproduces_nothing(here, capsys):
    assert exit_code(["batch", "paper/table-13", "--small", "--limit", "60"]) == 0
    capsys.readouterr()
    assert exit_code(["paper", "paper-table-13-small", "--complete"]) == 0
    said = capsys.readouterr().out
    assert "note: small: digits stands for cifar100" in said
    assert said.count("not comparable") >= 2
    assert " reproduced" not in said
    assert "dataset digits, not cifar100" in said
    written = pandas.read_csv(here / "reports/paper-table-13-small/paper/table-13.csv")
    assert list(written["seeds"]) == [1, 1]
    assert written["measured"].between(0, 1).all()
    assert list(written["verdict"]) == ["not comparable"] * 2
    assert exit_code(["paper", "paper-table-13-small", "--tables", "1", "--complete"]) == 1


@pytest.mark.usefixtures("here")
def test_a_table_says_how_what_it_leaves_open_is_read(capsys):
    assert exit_code(["paper", "--tables", "10", "11"]) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("read as: ")]
    assert len(told) == 1
    assert "here it is CE(clean) + λ CE(dropped)" in told[0]
    assert "% Read as: the row with a dagger" in latex(11, unmeasured(11))


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["nowhere"], "there is no study nowhere in reports"), (["--tables", "15"], "has 15")],
)
def test_a_wrong_study_or_table_is_one_line(arguments, said, capsys):
    assert exit_code(["paper", *arguments]) == 2
    assert said in capsys.readouterr().err
