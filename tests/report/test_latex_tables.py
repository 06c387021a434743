"""LaTeX tables: their contents, and that they compile."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from sdd_eval.metrics.formatting import escaped
from sdd_eval.report.tables.headline import headline
from sdd_eval.report.tables.latex import headline_tex, tabular
from sdd_eval.report.write import write_report

TEX = next((name for name in ("tectonic", "pdflatex", "lualatex") if shutil.which(name)), None)


def test_the_headline_has_the_numbers_and_bold_type_of_the_page(synthetic: ModuleType) -> None:
    table = headline(synthetic.table(synthetic.whole())[0])
    lines = headline_tex(table).splitlines()
    ce, with_it = (line.split(" & ") for line in lines if line.startswith("CE"))
    assert ce[1] == "3"
    cell = table.rows[1].cells[0]
    shown = rf"{100 * cell.summary.mean:.1f} $\pm$ {100 * cell.summary.std:.1f}"
    assert with_it[0] == r"CE + SD-Dropout $\lambda$ 0.1"
    assert with_it[2] == (rf"\textbf{{{shown}}}" if cell.mark else shown)
    assert sum("textbf" in item for item in ce) < sum("textbf" in item for item in with_it)
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert lines.count(rule) == 1
    assert "l" + "r" * (len(ce) - 1) in "\n".join(lines)


def test_the_best_of_single_networks_has_a_dagger_that_the_caption_explains(
    synthetic: ModuleType,
) -> None:
    table = headline(synthetic.table([synthetic.accuracy_run(synthetic.network(0.0, 0))])[0])
    assert "dagger" not in headline_tex(table)
    (row,) = table.rows
    cells = (dataclasses.replace(row.cells[0], mark="best network"), *row.cells[1:])
    text = headline_tex(dataclasses.replace(table, rows=(dataclasses.replace(row, cells=cells),)))
    assert re.search(r"\\textbf\{\d+\.\d\}\$\\dagger\$ &", text)
    assert r"$\dagger$: best of these networks" in text


def test_an_empty_cell_is_a_dash(synthetic: ModuleType) -> None:
    runs = [synthetic.accuracy_run(synthetic.network(0.0, 0))]
    assert " & --- & " in headline_tex(headline(synthetic.table(runs)[0]))


def test_special_characters_in_names_are_escaped() -> None:
    assert escaped(r"\input{x} & 5 % $^_#~") == (
        r"\textbackslash{}input\{x\} \& 5 \% \$\textasciicircum{}\_\#\textasciitilde{}"
    )
    assert escaped("two\nlines\u202e文") == "two lines??"


@pytest.mark.parametrize("name", ["[best] net", "*star", "[1]"])
def test_a_name_at_the_start_of_a_row_is_not_parsed_as_an_argument(name: str) -> None:
    lines = tabular(["name", "n"], [[escaped(name), "1"]], "All.", "ood", 1).splitlines()
    assert lines[lines.index(r"\midrule") + 1] == rf"{{}}{name} & 1 \\"


def test_a_long_table_is_split_into_parts_that_fit_a_page() -> None:
    lines = [[f"metric {row}", f"{row}.5"] for row in range(100)]
    text = tabular(["metric", "CE"], lines, "All.", "ood", 1)
    floats = text.split(r"\begin{table}")[1:]
    assert len(floats) > 2
    assert max(item.count(r" \\") for item in floats) < 40
    assert all(r"metric & CE \\" in item and r"\end{table}" in item for item in floats)
    assert [row for row in text.splitlines() if row.startswith("metric ") and "CE" not in row] == [
        rf"{' & '.join(line)} \\" for line in lines
    ]
    assert rf"All. Part 2 of {len(floats)}." in floats[1]
    assert text.count(r"\label{tab:ood}") == text.count(r"\label{tab:ood-2}") == 1
    assert "Part" not in tabular(["metric", "CE"], lines[:5], "All.", "ood", 1)


@pytest.mark.slow
@pytest.mark.usefixtures("only_svg")
@pytest.mark.skipif(TEX is None, reason="no TeX is installed")
def test_every_table_compiles(synthetic: ModuleType, tmp_path: Path) -> None:
    nasty = "\\input{/etc/passwd} <script> $\\frac \u202e & %_^~#{}"
    nets = [*synthetic.pair(), dataclasses.replace(synthetic.network(0, 0, method=nasty), name="n")]
    runs = [make(net) for net in nets for make in synthetic.MAKERS.values()]
    folder = write_report(synthetic.write_study(tmp_path / "study", runs)).parent
    tables = sorted((folder / "tables").glob("*.tex"))
    assert len(tables) > 7
    long = tabular(["metric", "CE"], [[f"{row}", "0.5"] for row in range(541)], "All.", "long", 1)
    (folder / "tables" / "long.tex").write_text(long)
    names = [*(path.stem for path in tables), "long"]
    inputs = "\n".join(rf"\input{{tables/{name}}}\clearpage" for name in names)
    packages = r"\usepackage{booktabs}\usepackage{graphicx}\usepackage[T1]{fontenc}"
    (folder / "all.tex").write_text(
        rf"\documentclass{{article}}{packages}\begin{{document}}{inputs}\end{{document}}"
    )
    command = [TEX, "all.tex"] if TEX == "tectonic" else [TEX, "-interaction=nonstopmode", "all"]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False)  # type: ignore[arg-type]
    assert done.returncode == 0, done.stdout[-2000:]
    assert b"Float too large" not in done.stdout
