"""LaTeX in a two-column document: every table fits, every command is defined, figures fit, too."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from sdd_eval.comparison.compare import compare
from sdd_eval.metrics.formatting import escaped
from sdd_eval.paper import compare_with_paper
from sdd_eval.records import Run
from sdd_eval.report.drawing import draw
from sdd_eval.report.latex import layout
from sdd_eval.report.latex.files import table_files
from sdd_eval.report.latex.layout import TexCell, TexRow, TexSection, TexTable, table_tex
from sdd_eval.report.latex.printed import printed_table
from sdd_eval.report.tables.results import tidy
from sdd_eval.report.write import write_comparison, write_report

PDFLATEX = shutil.which("pdflatex")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PDFLATEX is None, reason="no pdflatex (apt-get install texlive-latex-base)"),
]
#: Two columns of 237.1 pt, as in CVPR, and LaTeX's own of 229.5 pt.
PREAMBLES = {
    237: r"\setlength{\textwidth}{496.85pt}\setlength{\columnsep}{22.58pt}",
    229: "",
}
#: Names that break tables: reserved characters, no spaces, other scripts, brackets.
NASTY = (
    "\\input{/etc/passwd} <script> $\\frac \u202e & %_^~#{}",
    "my_very_long_network_name_without_any_space_2024_final_v2.1",
    "Ünïcödé – λ文 ℓ₂ «q» ąđ 100 %",
    "x" * 90,
    "[best] *net*",
)


def log_of(folder: Path, body: str, preamble: str = "") -> str:
    """Compile a document in a folder, twice for its references, and return its log."""
    (folder / "all.tex").write_text(
        r"\documentclass[twocolumn]{article}\usepackage{booktabs,graphicx}"
        rf"{preamble}\begin{{document}}\typeout{{column \the\columnwidth}}{body}\end{{document}}",
        encoding="utf-8",
    )
    for _ in range(2):
        done = subprocess.run(
            [str(PDFLATEX), "-interaction=nonstopmode", "-halt-on-error", "all"],
            cwd=folder,
            capture_output=True,
            check=False,
            env={**os.environ, "TEXMFVAR": str(folder), "max_print_line": "10000"},
        )
        assert done.returncode == 0, done.stdout[-3000:]
    return (folder / "all.log").read_text(encoding="utf-8", errors="replace")


def complaints(log: str) -> list[str]:
    """Return what LaTeX complains of: boxes that are too wide or high, and what is undefined."""
    return re.findall(r".*(?:Overfull|[Uu]ndefined|Float too large|^!|Missing character).*", log)


def inputs(folder: Path) -> str:
    """Return LaTeX that reads every table, and uses every command in text and in formulas."""
    tables = sorted(path.stem for path in (folder / "tables").glob("*.tex"))
    tables.remove("numbers")
    assert len(tables) > 20
    numbers = (folder / "tables" / "numbers.tex").read_text(encoding="utf-8")
    commands = re.findall(r"\\newcommand{(.*?)}", numbers)
    assert len(commands) > 50
    used = " ".join(rf"{name}, ${name}$." for name in commands)
    lines = [r"\input{tables/numbers}", *(rf"\input{{tables/{name}}}\clearpage" for name in tables)]
    return "\n".join([*lines, rf"{{\sloppy\hbadness=10000 {used}\par}}"])


def networks(synthetic: ModuleType, kind: str) -> Iterator[object]:
    """Yield networks of two methods, of many, or with nasty names."""
    if kind == "two":
        yield from synthetic.pair()
    elif kind == "single":
        yield from synthetic.pair(seeds=1)
    elif kind == "many":
        for method in ("ce", "ls", "cs_kd", "byot", "dml", "r_drop"):
            for weight in (0.0, 1.0):
                yield from (synthetic.network(weight, seed, method=method) for seed in (0, 1))
    else:
        for index, name in enumerate(NASTY):
            for seed in (0, 1):
                net = synthetic.network(0, seed, method=name)
                yield dataclasses.replace(net, name=f"n{index}-{seed}")
            yield dataclasses.replace(synthetic.network(0, 7, method=f"z {name}"), name=f"s{index}")


def with_intervals(run: Run) -> Run:
    """Return a run whose fractions have intervals."""
    measurements = (
        msgspec.structs.replace(m, low=m.value - 0.05, high=m.value + 0.05, level=0.95)
        if m.unit == "fraction" and m.low is None
        else m
        for m in run.measurements
    )
    return dataclasses.replace(run, measurements=tuple(measurements))


@pytest.mark.parametrize("kind", ["two", "single", "many", "nasty"])
def test_everything_fits_two_columns(kind: str, synthetic: ModuleType, tmp_path: Path) -> None:
    nets = [*networks(synthetic, kind)]
    runs = [with_intervals(make(net)) for net in nets for make in synthetic.MAKERS.values()]
    study = synthetic.write_study(tmp_path / "study", runs)
    folder = write_report(study, figures=False).parent
    body = inputs(folder)
    single = kind in ("single", "nasty")
    assert ("intervals" in (folder / "tables" / "headline.tex").read_text()) == single
    for width, preamble in PREAMBLES.items():
        log = log_of(folder, body, preamble)
        assert f"column {width}." in log
        assert complaints(log) == []


def test_figures_and_comparisons_fit_too(
    synthetic: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draw, "FORMATS", ("pdf", "svg"))
    nets = synthetic.pair()
    runs = [
        make(net) for net in nets for make in (synthetic.accuracy_run, synthetic.corruption_run)
    ]
    study = synthetic.write_study(tmp_path / "study", runs)
    compared = compare(study, [net.checkpoint for net in nets])
    write_comparison(study, compared, ["headline"], figures=False)
    folder = write_report(study, style=Path("cvpr")).parent
    single = sorted(path.name for path in (folder / "figures").glob("*-single.pdf"))
    assert len(single) > 1
    (table,) = (path.stem for path in (folder / "comparisons").glob("*.tex"))
    figures = "".join(rf"\includegraphics{{figures/{name}}}\par " for name in single)
    body = rf"\noindent\input{{comparisons/{table}}}{{\parindent=0pt {figures}}}"
    assert complaints(log_of(folder, body, PREAMBLES[237])) == []


def test_the_paper_s_own_tables_fit(tmp_path: Path) -> None:
    compared = compare_with_paper(tidy([]), {})
    files = table_files(printed_table(number, compared) for number in range(1, 15))
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    body = "".join(rf"\input{{{name}}}\clearpage " for name in files)
    assert complaints(log_of(tmp_path, body)) == []


def test_a_table_that_is_too_wide_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(layout.ENVIRONMENTS, "table", 300.0)
    row = TexRow("CE", (TexCell("97.1±0.2"),) * 6)
    wide = table_tex(TexTable("t", "All", "x.", "", ("ECE",) * 6, (TexSection("", (row,)),)))
    assert any("Overfull" in line for line in complaints(log_of(tmp_path, wide)))


def test_every_character_has_latex_that_compiles(tmp_path: Path) -> None:
    ranges = ((0x20, 0x7F), (0xA0, 0x250), (0x370, 0x400), (0x2010, 0x2300))
    body = "\n\n".join(f"x{escaped(chr(code))}" for one in ranges for code in range(*one))
    assert complaints(log_of(tmp_path, body)) == []
