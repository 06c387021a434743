"""Every example of the README, the tutorial, explanations and references is executed."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/index.md",
        "docs/contributing.md",
        "docs/reference/file-formats.md",
        "docs/explanation/performance.md",
        pytest.param("docs/explanation/reproducing-the-paper.md", marks=pytest.mark.docs),
        pytest.param("docs/explanation/seeds-and-tests.md", marks=pytest.mark.docs),
    ],
)
def test_every_example_of_a_page_runs(page, execute):
    execute(page)


@pytest.mark.docs
def test_every_example_of_the_tutorial_runs_and_ends_in_a_report(execute, tmp_path):
    execute("docs/tutorial.md")
    assert (tmp_path / "reports/default/index.html").exists()
    results = (tmp_path / "reports/default/results.csv").read_text()
    assert "fgsm_accuracy" in results
    assert "mean_corruption_error" in results
    assert "audit_flag" in results
