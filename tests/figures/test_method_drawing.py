"""Figure 1 is drawn from what the methods declare."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from sdd_eval import plugins
from sdd_eval.cli import exit_code
from sdd_eval.figures import method_drawing
from sdd_eval.figures.method_drawing import draw_methods
from sdd_eval.training.declared import Declared, declared


def words(axes):
    return Counter(text.get_text() for text in axes.texts if text.get_text())


def arrows(axes):
    return sum(not text.get_text() for text in axes.texts)


def test_each_panel_has_the_inputs_parts_and_terms_of_its_method():
    method = Declared("new", True, ("view 1", "view 2"), ("layer1", "peer"), ("ce", "sd_dropout"))
    (axes, _) = draw_methods({"New": method}).axes
    assert axes.get_title() == "New"
    assert words(axes) == Counter(
        ["view 1", "view 2", "network", "peer", "branch layer1", "masks u, v", "ce", "sd dropout"]
    )
    assert arrows(axes) == 2 + 1 + 2 + 2  # inputs, peer, branch and masks, terms


def test_what_a_method_declares_is_asked_of_the_method():
    assert declared("ce") == Declared("ce", False, ("image",), (), ("ce",))
    assert declared("ce", 1.0).terms == ("ce", "sd_dropout")
    assert declared("cs_kd").inputs == ("image", "same-class partner")
    assert declared("ddgsd").inputs == ("view 1", "view 2")
    assert declared("byot").parts == ("layer1", "layer2", "layer3")
    assert declared("dml").parts == ("peer",)


def test_the_drawing_knows_no_method_by_name():
    source = Path(method_drawing.__file__).read_text()
    assert not [name for name in plugins.names("methods") if f'"{name}"' in source]


def test_the_command_writes_every_method(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert exit_code(["paper", "figure-1"]) == 0
    assert capsys.readouterr().out.split() == [
        *("reports/paper/figure-1.pdf", "reports/paper/figure-1.svg"),
    ]
    svg = (tmp_path / "reports/paper/figure-1.svg").read_text()
    assert all(title in svg for title in ("SD-Dropout", "CS-KD", "BYOT", "DML", "r drop"))
    assert (tmp_path / "reports/paper/figure-1.pdf").stat().st_size > 5000
