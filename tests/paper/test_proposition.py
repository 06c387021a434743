"""Proposition 1 and section 3.3 of the paper, checked numerically."""

import numpy as np
import pytest

from sdd_eval.cli import exit_code
from sdd_eval.paper.proposition import check_proposition, draw_k_curves, k_of, l_of, l_slope, r_1


def test_k_near_zero_has_no_cancellation():
    # (ρ − 1) r²/2 − (ρ + 1) r³/6 of ρ = 1 + 1e-8, r = 1e-9: the terms themselves are 1e-9
    assert float(k_of(1e-9, 1 + 1e-8)) == pytest.approx(0.5e-26 - 2e-27 / 6, rel=1e-6)
    assert float(k_of(0.0, 7.0)) == 0.0


@pytest.mark.parametrize("rho", [1.3, 2.0, 50.0])
def test_k_is_continuous_where_the_series_ends(rho):
    below, above = k_of(0.05 - 1e-12, rho), k_of(0.05 + 1e-12, rho)
    assert float(above) == pytest.approx(float(below), rel=1e-9)


def test_r_1_and_l_are_the_paper_s_formulas():
    rho = np.array([1.5, 2.0, 10.0])
    log = np.log(rho + np.e - 1)
    np.testing.assert_allclose(r_1(rho), np.log(rho) + np.log(log), rtol=1e-12)
    printed = (rho + 1) * np.log(rho * log) - rho * log - rho + 1 / log + 1
    np.testing.assert_allclose(l_of(rho), printed, rtol=1e-9)


def test_l_starts_at_zero_with_slope_zero():
    assert float(l_of(1.0)) == 0.0
    assert abs(float(l_slope(1.0))) < 1e-15


def test_the_proposition_holds_on_the_grid_and_the_slope_is_the_derivative_of_l():
    check = check_proposition(ratios=60, distances=40)
    assert check.holds
    assert check.rho[0] == pytest.approx(1 + 1e-8)
    assert check.rho[-1] == pytest.approx(1e9)
    assert check.slope_error < 1e-6


def test_k_is_negative_beyond_r_1():
    assert float(k_of(3 * r_1(1.5), 1.5)) < 0


def test_the_command_writes_page_figure_and_grid(tmp_path, capsys):
    assert exit_code(["proposition", "--reports", str(tmp_path)]) == 0
    folder = tmp_path / "proposition"
    page = (folder / "index.html").read_text()
    assert "the proposition holds on this grid" in page
    assert "not the derivative of (24)" in page
    assert page.count("<svg") == 1
    assert (folder / "k.pdf").read_bytes().startswith(b"%PDF")
    grid = np.genfromtxt(folder / "grid.csv", delimiter=",", names=True)
    assert (grid["least_k_over_r_squared"] > 0).all()
    assert str(folder / "index.html") in capsys.readouterr().out


def test_each_rho_has_a_line():
    axes = draw_k_curves({2.0: ([0, 1], [0, 1]), 3.0: ([0, 0.5, 1], [0, 2, 1])}).axes[0]
    curves = {line.get_label(): line for line in axes.lines if line.get_label()[0] == "ρ"}
    assert list(curves) == ["ρ = 2", "ρ = 3"]
    assert list(curves["ρ = 3"].get_ydata()) == [0, 2, 1]
