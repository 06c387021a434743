"""Every example of the how-to pages on networks, data and studies is executed."""

from __future__ import annotations

import pytest

from sdd_eval.report.drawing import draw

LONG = [
    pytest.param(page, marks=pytest.mark.docs)
    for page in (
        "docs/how-to/gate.md",
        "docs/how-to/own-data.md",
        "docs/how-to/study.md",
        "docs/how-to/training.md",
    )
]
#: Its libraries, and what they import, may warn.
EXPORT = pytest.param(
    "docs/how-to/export.md", marks=[pytest.mark.docs, pytest.mark.filterwarnings("default")]
)


@pytest.mark.parametrize(
    "page", ["docs/how-to/own-network.md", "docs/how-to/timm-torchvision.md", *LONG, EXPORT]
)
def test_every_example_of_a_page_runs(page, execute):
    execute(page)


@pytest.mark.docs
def test_the_examples_of_the_page_on_papers_run_and_its_document_compiles(execute, monkeypatch):
    monkeypatch.setattr(draw, "FORMATS", ("pdf", "svg"))
    execute("docs/how-to/paper.md")
