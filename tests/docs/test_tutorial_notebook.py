"""The notebook of the tutorial is stored without outputs and runs from top to bottom."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def notebook(root: Path) -> dict[str, Any]:
    return json.loads((root / "docs/tutorial-notebook.ipynb").read_text(encoding="utf-8"))


def test_the_notebook_is_stored_without_outputs(notebook: dict[str, Any]) -> None:
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(code) > 8
    assert not [cell for cell in code if cell["outputs"] or cell["execution_count"]]


def test_links_of_the_notebook_lead_to_files(notebook: dict[str, Any], root: Path) -> None:
    texts = ["".join(cell["source"]) for cell in notebook["cells"]]
    targets = [target for text in texts for target in re.findall(r"\]\(([^)#]+)\)", text)]
    assert len(targets) > 3
    assert not [target for target in targets if not (root / "docs" / target).is_file()]


@pytest.mark.docs
@pytest.mark.filterwarnings("default")  # of the kernel's libraries
def test_every_cell_of_the_notebook_runs(
    notebook: dict[str, Any], root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("SDD_EVAL_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")]))
    executed = nbformat.reads(json.dumps(notebook), as_version=4)
    options = {"timeout": 300, "resources": {"metadata": {"path": str(tmp_path)}}}
    nbclient.NotebookClient(executed, kernel_name="python3", **options).execute()
    shown = {
        kind
        for cell in executed.cells
        for output in cell.get("outputs", ())
        for kind in output.get("data", ())
    }
    assert {"text/html", "image/png"} <= shown
    errors = [output for cell in executed.cells for output in cell.get("outputs", ())]
    assert not [output for output in errors if output.output_type == "stream"]
    assert (tmp_path / "reports/notebook/index.html").is_file()
