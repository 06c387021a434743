"""Tables fit a column: blocks of columns, broken labels and headings, floats of a page's length."""

from __future__ import annotations

import re

import pytest

from sdd_eval.report.latex.layout import (
    ENVIRONMENTS,
    TexCell,
    TexRow,
    TexSection,
    TexTable,
    table_tex,
)
from sdd_eval.report.latex.text import text_width, wrapped


def table(
    labels: list[str], columns: list[str], cell: str = "97.1±0.2", **fields: bool
) -> TexTable:
    rows = tuple(TexRow(label, (TexCell(cell),) * len(columns)) for label in labels)
    return TexTable(
        "t", "All", "details.", "Method", (*columns,), (TexSection("", rows),), **fields
    )


def tabulars(text: str) -> list[str]:
    """Return the bodies of the outermost tabulars."""
    return re.findall(r"^\\begin{tabular}.*?^\\end{tabular}", text, re.DOTALL | re.MULTILINE)


def test_a_small_table_is_one_tabular_with_the_rules_of_booktabs() -> None:
    lines = table_tex(table(["CE", "LS"], ["Accuracy ↑", "ECE ↓"])).splitlines()
    assert lines[1:4] == [
        r"\begin{table}",
        r"\centering\sloppy\setlength{\belowcaptionskip}{4pt}",
        r"\caption{All: details.}",
    ]
    assert r"\begin{tabular}{@{}lrr@{}}" in lines
    assert (
        lines[lines.index(r"\toprule") + 1] == r"Method & Accuracy $\uparrow$ & ECE $\downarrow$ \\"
    )
    assert r"CE & 97.1$\pm$0.2 & 97.1$\pm$0.2 \\" in lines
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert lines.count(rule) == 1
    assert "resizebox" not in "".join(lines)
    assert r"\fontsize{8}{9.6}\selectfont" in lines


def test_columns_that_do_not_fit_stand_in_further_blocks_with_the_labels() -> None:
    columns = [f"Metric {number}" for number in range(9)]
    narrow, wide = (table_tex(table(["CE", "LS"], columns), name) for name in ENVIRONMENTS)
    assert len(tabulars(wide)) == 1
    assert wide.count(r"\begin{table*}") == 1
    blocks = tabulars(narrow)
    assert len(blocks) > 1
    assert all(block.count("\nLS & ") == 1 for block in blocks)
    counts = [re.search(r"\{@\{\}l(r+)@", block)[1].count("r") for block in blocks]  # type: ignore[index]
    assert sum(counts) == 9
    assert max(counts) - min(counts) <= 1


def test_a_table_turns_if_it_needs_fewer_blocks_so() -> None:
    columns = [f"Metric {number}" for number in range(9)]
    text = table_tex(table(["CE", "LS"], columns, turns=True))
    assert len(tabulars(text)) == 1
    assert r" & CE & LS \\" in text
    assert "\nMetric 8 & 97.1" in text
    few = table_tex(table(["CE", "LS"], columns[:2], turns=True))
    assert "\nCE & 97.1" in few


@pytest.mark.parametrize("name", ["x" * 200, "a_" * 80, "word " * 40, "CE"])
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_names_of_any_length_are_broken_until_the_table_fits(name: str, environment: str) -> None:
    text = table_tex(table([name, "CE"], [name, "ECE"]), environment)
    plain = re.sub(
        r"\\begin{tabular}\[.\]{@{}.@{}}|\\end{tabular}|\$\\(\w)\w*\$|\\(?=_)", r"\1", text
    )
    for row in (line for line in plain.splitlines() if " & " in line):
        cells = [cell.split(r"\\") for cell in row.removesuffix(r" \\").split(" & ")]
        widths = [max(map(text_width, lines)) for lines in cells]
        assert sum(widths) + 6 * (len(widths) - 1) <= ENVIRONMENTS[environment]


def test_intervals_stand_below_the_numbers_where_columns_are_narrow() -> None:
    cell = TexCell("97.1", bold=True, interval="[96.0, 98.0]")
    few, many = (
        table_tex(TexTable("t", "All", "x.", "", ("ECE",) * n, (TexSection("", (row,)),)))
        for n in (2, 4)
        for row in [TexRow("CE", (cell,) * n)]
    )
    assert r"CE & \textbf{97.1} [96.0, 98.0] & " in few
    assert r"{@{}r@{}}\textbf{97.1}\\{}[96.0, 98.0]\end{tabular}" in many
    assert many.count(r"\toprule") == 1


def test_a_long_table_is_split_into_floats_that_fit_a_page() -> None:
    text = table_tex(table([f"metric {row}" for row in range(100)], ["CE"]))
    floats = text.split(r"\begin{table}")[1:]
    assert len(floats) > 2
    assert max(item.count(r" \\") for item in floats) < 55
    assert all(r"Method & CE \\" in item and r"\end{table}" in item for item in floats)
    rows = [line for line in text.splitlines() if line.startswith("metric ")]
    assert rows == [rf"metric {row} & 97.1$\pm$0.2 \\" for row in range(100)]
    assert rf"\caption{{All, continued (2 of {len(floats)}).}}" in floats[1]
    assert text.count(r"\label{tab:t}") == text.count(r"\label{tab:t-2}") == 1


def test_a_section_that_is_split_repeats_its_heading() -> None:
    rows = tuple(TexRow(f"row {row}", (TexCell("1"),)) for row in range(90))
    text = table_tex(TexTable("t", "All", "x.", "", ("CE",), (TexSection("ECE", rows),)))
    assert text.count(r"\multicolumn{2}{@{}l}{\textit{ECE}} \\") == text.count(r"\toprule") > 1


@pytest.mark.parametrize("name", ["[best] net", "*star", "[1]"])
def test_a_name_at_the_start_of_a_row_is_not_parsed_as_an_argument(name: str) -> None:
    lines = table_tex(table([name], ["n"], "1")).splitlines()
    assert lines[lines.index(r"\midrule") + 1] == rf"{{}}{name} & 1 \\"


def test_words_are_broken_only_if_they_are_wider_than_the_line() -> None:
    assert wrapped("CE + SD-Dropout λ 0.1", 60) == ("CE +", "SD-Dropout", "λ 0.1")
    assert wrapped("FPR at 95 % TPR ↓", 40) == ("FPR at", "95 %", "TPR ↓")
    assert "".join(wrapped("x" * 100, 30)) == "x" * 100
