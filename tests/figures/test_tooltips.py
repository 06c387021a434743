"""Tooltips have the values of the table in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from matplotlib.figure import Figure

from sdd_eval.figures.adversarial import fgsm_curve
from sdd_eval.figures.calibration import reliability
from sdd_eval.figures.corruption import corruption_bars, corruption_heatmap
from sdd_eval.figures.ood import score_histograms
from sdd_eval.figures.selection import where


def test_tooltips_have_the_values_of_the_table(
    whole: tuple[Any, Any], tooltips: Callable[[Any], list[str]]
) -> None:
    results, arrays = whole
    fog = where(results, group="CE", corruption="fog", severity=None)["value"]
    bars, cells = corruption_bars(results), corruption_heatmap(results)
    curve = fgsm_curve(results)
    assert f"CE, Fog: {100 * fog.mean():.1f} % ± {100 * fog.std():.1f} %" in tooltips(bars)
    third = where(results, group="CE", corruption="fog", severity=3)["value"].mean()
    assert f"CE, Fog, Severity 3: {100 * third:.1f} %" in tooltips(cells)
    attacked = where(
        results,
        group="CE",
        metric="fgsm_accuracy",
        variant="pixel",
        epsilon=0.05,
        gradient="stable",
        temperature=1.0,
    )["value"].mean()
    assert any(
        text.startswith(f"Pixel space, CE, ε 0.05: {100 * attacked:.1f} %")
        for text in tooltips(curve)
    )
    counts = where(results, group="CE", metric="bin_count", bin=10)["value"].mean()
    bins = tooltips(reliability(results))
    assert any(text.endswith(f", {counts:,.6g} images per network") for text in bins)
    for group in ("CE", "CE + SD-Dropout λ 0.1"):
        assert any(
            text.startswith("Confidence 0.9 to 1: ") and f"{group}, images per network" in text
            for text in bins
        )
    hist = tooltips(score_histograms(results, arrays))
    assert any("in-distribution" in text and "OOD" in text for text in hist)


def test_a_figure_without_this_package_has_tooltips_too(
    tooltips: Callable[[Any], list[str]],
) -> None:

    drawn = Figure()
    axes = drawn.subplots()
    axes.plot([1, 2], [3.5, 4.25], "o", label="mine")
    axes.set_xlabel("Depth")
    assert tooltips(drawn) == ["mine, Depth 1: 3.5", "mine, Depth 2: 4.25"]
