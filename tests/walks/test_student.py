"""A student trains a method of their own, and puts a table and a figure into a paper."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from sdd_eval.cli import exit_code

pytestmark = pytest.mark.slow

METHOD = '''
    from dataclasses import dataclass

    from torch.nn.functional import one_hot

    from sdd_eval.training.methods.method import BaseMethod, Losses


    @dataclass(frozen=True)
    class Squared(BaseMethod):
        """Squared error of the probabilities."""

        def losses(self, step):
            activations = step.network.activations(step.batch.pixels)
            logits = step.network.classify(activations["features"]).float()
            labels = one_hot(step.batch.labels, logits.shape[1])
            error = (logits.softmax(dim=1) - labels).square().sum(dim=1).mean()
            return Losses({"squared": error}, logits, activations)
'''
ENTRY_POINTS = "[sdd_eval.methods]\nsquared_error = my_squared:Squared\n"
README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
#: What is replaced in the study of the README.
CHANGES = {'method = "ls"': 'method = "squared_error"', "epochs = 30": "epochs = 2"}


def block(language: str) -> str:
    """Return the only block of a language in the README."""
    (text,) = re.findall(rf"```{language}\b.*\n([\s\S]*?)```", README)
    return str(text)


@pytest.fixture
def study(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install the method, and run the study of two methods with three seeds each."""
    (here / "my_squared.py").write_text(textwrap.dedent(METHOD))
    package = here / "my_squared-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: my-squared\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(here)
    text = block("toml")
    for old, new in CHANGES.items():
        assert old in text
        text = text.replace(old, new)
    (here / "thesis.toml").write_text(text)
    assert exit_code(["batch", "thesis.toml"]) == 0
    sys.modules.pop("my_squared")
    return here / "reports/thesis"


def test_a_study_of_an_own_method_ends_in_a_page_of_a_paper(study, here, command):
    table = command("batch thesis.toml").out
    assert "3 seeds each" in table
    assert "Ours" in table
    assert "18 already done" in table
    assert command("report thesis --style cvpr").out.strip() == "reports/thesis/index.html"

    pdflatex = shutil.which("pdflatex")
    if pdflatex is None:
        pytest.skip("no pdflatex (apt-get install texlive-latex-base)")
    tex = (study / "tables/headline.tex").read_text(encoding="utf-8")
    assert "Ours" in tex
    (here / "paper.tex").write_text(block("tex"))
    words = [pdflatex, "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(words, cwd=here, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    output = done.stdout.replace("\n", "")  # TeX breaks lines after 79 characters, also in a name
    assert output.count("<./reports/thesis/figures/reliability-single.pdf>") == 1
    assert not re.findall(r"Overfull \\hbox.*", done.stdout)
    assert (here / "paper.pdf").read_bytes().startswith(b"%PDF")
