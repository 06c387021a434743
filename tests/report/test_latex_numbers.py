"""`numbers.tex`: every headline number as a command with a valid, lasting name."""

from __future__ import annotations

import dataclasses
import re
from types import ModuleType

import pytest

from sdd_eval.report.latex.numbers import command_name, numbers_tex
from sdd_eval.report.tables.headline import headline


def commands(text: str) -> dict[str, str]:
    """Return the text of each command by its name; they are distinct."""
    found = re.findall(r"^\\newcommand\{\\(.*?)\}\{(.*)\}$", text, re.MULTILINE)
    assert len(dict(found)) == len(found)
    return dict(found)


def test_every_headline_number_has_a_command_with_its_value(synthetic: ModuleType) -> None:
    table = headline(synthetic.table(synthetic.whole())[0])
    known = commands(numbers_tex(table))
    ours = "CESDDropoutLambdaZeroPointOne"
    accuracy = table.rows[1].cells[0]
    assert known[f"sddAccuracy{ours}"] == f"{100 * accuracy.summary.mean:.1f}"
    assert known[f"sddAccuracy{ours}Std"] == f"{100 * accuracy.summary.std:.1f}"
    assert (known[f"sddAccuracy{ours}Seeds"], known["sddAccuracyCEImages"]) == ("3", "360")
    assert accuracy.change is not None
    assert known[f"sddAccuracy{ours}Difference"] == f"+{100 * accuracy.change.value:.1f}"
    assert known[f"sddAccuracy{ours}Verdict"] == "better"
    assert known[f"sddECE{ours}Difference"].startswith(r"\ensuremath{-}0.0")
    cells = [cell for row in table.rows for cell in row.cells if cell.values]
    assert sum(name.endswith("Seeds") for name in known) == len(cells)
    assert all(re.fullmatch("[A-Za-z]+", name) for name in known)


def test_a_single_network_has_its_interval_and_no_deviation(synthetic: ModuleType) -> None:
    table = headline(synthetic.table([synthetic.accuracy_run(synthetic.network(0.0, 0))])[0])
    (row,) = table.rows
    cell = dataclasses.replace(row.cells[0], intervals=((0.9, 0.97, 0.95),))
    row = dataclasses.replace(row, cells=(cell, *row.cells[1:]))
    known = commands(numbers_tex(dataclasses.replace(table, rows=(row,))))
    assert known["sddAccuracyCELow"] == "90.0"
    assert known["sddAccuracyCEHigh"] == "97.0"
    assert "sddAccuracyCEStd" not in known
    assert "sddECECE" not in known  # not measured: LaTeX stops at an unknown command


NAMES = ("Ours", "Ours+", "ours", "CE Std", "CE", "50 %", "文字", "λ=0.1", "λ 0.1", "a_b", "a b")


def test_any_names_give_distinct_commands(synthetic: ModuleType) -> None:
    nets = [synthetic.network(0, seed, method=name) for name in NAMES for seed in (0, 1)]
    nets = [dataclasses.replace(net, name=f"n{index}") for index, net in enumerate(nets)]
    known = commands(
        numbers_tex(headline(synthetic.table([*map(synthetic.accuracy_run, nets)])[0]))
    )
    assert all(re.fullmatch("sdd[A-Za-z]+", name) for name in known)
    assert sum(name.endswith("Images") for name in known) == len(NAMES)
    assert {"sddAccuracyOursPlus", "sddAccuracyFiveZeroPercent"} <= {*known}
    # "λ=0.1" and "λ 0.1" are equal as letters: neither keeps the plain name
    assert "sddAccuracyLambdaZeroPointOne" not in known


def test_a_name_does_not_depend_on_the_other_methods(synthetic: ModuleType) -> None:
    def of(*names: str) -> dict[str, str]:
        nets = [synthetic.network(0, seed, method=name) for name in names for seed in (0, 1)]
        nets = [dataclasses.replace(n, name=f"{n.recipe.method}{n.recipe.seed}") for n in nets]
        runs = [synthetic.accuracy_run(net) for net in nets]
        return commands(numbers_tex(headline(synthetic.table(runs)[0])))

    few, many = of("a b", "a_b", "z"), of("a_b", "x", "b", "a b", "z")
    values = {name for name in few if not re.search("(Difference|Low|High|P|Verdict)$", name)}
    assert {name: few[name] for name in values} == {name: many[name] for name in values}


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("Accuracy", "CIFAR-10, ResNet-18"), "sddAccuracyCIFAROneZeroResNetOneEight"),
        (("ECE", "Ünïcödé"), "sddECEUnicode"),
        (("mCA", "ours (λ 1e-05)"), "sddMCAOursLambdaOneEZeroFive"),
        (("AUROC", "τ≤½"), "sddAUROCTauOneTwo"),
    ],
)
def test_names_of_commands_have_letters_only(words: tuple[str, ...], name: str) -> None:
    assert command_name(*words) == name
