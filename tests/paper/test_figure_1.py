"""Figure 1, drawn from the declarations of the methods."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from sdd_eval import plugins
from sdd_eval.cli import exit_code
from sdd_eval.paper import figure_1
from sdd_eval.paper.figure_1 import draw_methods
from sdd_eval.training.analysis.method_summary import MethodSummary, method_summary


def words(axes):
    return Counter(text.get_text() for text in axes.texts if text.get_text())


def arrows(axes):
    return sum(not text.get_text() for text in axes.texts)


def test_a_panel_has_the_inputs_parts_and_terms_of_its_method():
    terms = {"ce": ("network",), "kd": ("network", "peer"), "sd_dropout": ("network", "peer")}
    method = MethodSummary("new", True, ("view 1", "view 2"), ("layer1", "peer"), terms)
    (axes, _) = draw_methods({"New": method}).axes
    assert axes.get_title() == "New"
    assert words(axes) == Counter(
        [
            "view 1",
            "view 2",
            "network",
            "peer",
            "branch layer1",
            "masks u, v",
            "ce",
            "kd",
            "sd dropout",
        ]
    )
    assert arrows(axes) == 2 + 1 + 2 + 4  # inputs, peer, branch and masks, to the terms


def test_a_method_declares_its_inputs_parts_and_terms():
    assert method_summary("ce") == MethodSummary("ce", False, ("image",), (), {"ce": ("network",)})
    assert list(method_summary("ce", 1.0).terms) == ["ce", "sd_dropout"]
    assert method_summary("cs_kd").inputs == ("image", "same-class partner")
    assert method_summary("ddgsd").inputs == ("view 1", "view 2")
    assert method_summary("byot").parts == ("layer1", "layer2", "layer3")
    assert method_summary("dml").parts == ("peer",)


def test_the_learners_of_a_term_are_the_parts_that_receive_its_gradient():
    branches = ("layer1", "layer2", "layer3")
    assert method_summary("byot").terms == {
        "ce": ("network",), "branch_ce": branches, "kd": branches, "features": branches,
    }  # fmt: skip
    assert method_summary("dml").terms == {
        "ce": ("network",), "peer_ce": ("peer",), "kd": ("network", "peer"),
    }  # fmt: skip
    assert set(method_summary("ddgsd").terms.values()) == {("network",)}


def test_arrows_lead_from_learners_to_the_terms_that_they_learn_from():
    (axes, _) = draw_methods({"DML": method_summary("dml")}).axes
    arrows = [text for text in axes.texts if not text.get_text()]
    assert {(arrow.anncoords.get_text(), arrow.xycoords.get_text()) for arrow in arrows} == {
        *(("image", "network"), ("image", "peer"), ("network", "ce"), ("peer", "peer ce")),
        *(("network", "kd"), ("peer", "kd")),
    }


def test_the_figure_is_independent_of_the_methods():
    source = Path(figure_1.__file__).read_text()
    assert not [name for name in plugins.names("methods") if f'"{name}"' in source]


def test_the_command_draws_every_method(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert exit_code(["paper", "figure-1"]) == 0
    assert capsys.readouterr().out.split() == [
        *("reports/paper/figure-1.pdf", "reports/paper/figure-1.svg"),
    ]
    svg = (tmp_path / "reports/paper/figure-1.svg").read_text()
    assert all(title in svg for title in ("SD-Dropout", "CS-KD", "BYOT", "DML", "R-Drop"))
    assert (tmp_path / "reports/paper/figure-1.pdf").stat().st_size > 5000
