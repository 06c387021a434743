"""Every example of the how-to pages on networks, data and studies is executed."""

from __future__ import annotations

import pytest

LONG = [pytest.param(page, marks=pytest.mark.docs) for page in ("own-data", "study")]


@pytest.mark.parametrize("page", ["own-network", "timm-torchvision", *LONG])
def test_every_example_of_a_page_runs(page, execute):
    execute(f"docs/how-to/{page}.md")


def test_pages_listed_as_without_examples_have_none(pages):
    for page in ("cluster", "several-gpus"):
        blocks = [b for b in pages[f"docs/how-to/{page}.md"] if b.exempt is None]
        assert not blocks, page
