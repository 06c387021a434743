"""A report of every evaluator, written once for all tests that only read it."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from sdd_eval.report.drawing import draw
from sdd_eval.report.write import write_report

sys.path.append(str(Path(__file__).parent))  # for page_elements.py


@pytest.fixture(scope="session")
def written(synthetic: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a report of all evaluators, two methods and two seeds, with figures as SVG."""
    folder = tmp_path_factory.mktemp("whole") / "synthetic"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draw, "FORMATS", ("svg",))
        return write_report(synthetic.write_study(folder, synthetic.whole(2)))
