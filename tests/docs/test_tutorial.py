"""Every example of the README, the tutorial, explanations and references is executed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image


@pytest.fixture
def files_of_the_reader(tmp_path):
    """Write the folder of images and the two files of weights that the README speaks of."""
    random = np.random.default_rng(0)
    for number in range(16):
        path = tmp_path / "photos" / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)
    for name in ("old", "new"):
        network = torchvision.models.resnet18(num_classes=2)
        torch.save(network.state_dict(), tmp_path / f"{name}.pt")


@pytest.mark.docs
@pytest.mark.usefixtures("files_of_the_reader")
def test_every_example_of_the_readme_runs(execute, tmp_path):
    commands = execute("README.md")
    assert {words[0] for words in commands} == {"evaluate", "compare", "batch", "report", "verify"}
    for study in ("default", "thesis"):
        assert (tmp_path / f"reports/{study}/index.html").exists()


@pytest.mark.parametrize(
    "page",
    [
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
