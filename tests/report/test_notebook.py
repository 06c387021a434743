"""The Python API for notebooks: names that complete, data frames, and figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import sdd_eval
from sdd_eval.errors import InputError


@pytest.fixture
def study(synthetic: Any, tmp_path: Path) -> Path:
    nets = synthetic.pair(seeds=1)
    makers = (synthetic.accuracy_run, synthetic.calibration_run)
    return synthetic.write_study(tmp_path / "s", [make(net) for net in nets for make in makers])


def test_the_names_of_the_package_complete() -> None:
    names = [name for name in dir(sdd_eval) if not name.startswith("_")]
    assert {"evaluate", "load", "open_study", "plot", "train", "write_report"} <= {*names}
    assert all(getattr(sdd_eval, name) is not None for name in names)


def test_a_study_opens_as_the_table_of_results(study: Path) -> None:
    frame = sdd_eval.open_study(study)
    sdd_eval.write_report(study, figures=False)
    written = pd.read_csv(study / "results.csv")
    assert [*frame.columns] == [*written.columns]
    assert frame["value"].to_numpy() == pytest.approx(written["value"].to_numpy(), rel=1e-9)


def test_runs_in_memory_become_a_table_and_a_figure(synthetic: Any, study: Path) -> None:
    runs = [synthetic.calibration_run(net) for net in synthetic.pair(seeds=1)]
    frame = sdd_eval.to_frame(runs)
    assert {*frame["checkpoint"]} == {run.checkpoint for run in runs}
    assert len(sdd_eval.to_frame(runs[0])) == len(runs[0].measurements)
    for source in (runs, runs[0], study, str(study)):
        figure = sdd_eval.plot(source, "reliability", width=3.3)
        assert figure.get_size_inches()[0] == pytest.approx(3.3, abs=0.4)


def test_a_figure_that_cannot_be_drawn_is_refused(synthetic: Any) -> None:
    net = synthetic.pair(seeds=1)[0]
    with pytest.raises(InputError, match="no numbers for the figure roc_curves"):
        sdd_eval.plot(synthetic.calibration_run(net), "roc_curves")
    with pytest.raises(InputError, match="did you mean 'reliability'"):
        sdd_eval.plot(synthetic.calibration_run(net), "reliabilty")
    other = synthetic.calibration_run(synthetic.network(0.0, 0, arch="resnet8"))
    with pytest.raises(InputError, match="do not belong into one figure"):
        sdd_eval.plot([synthetic.calibration_run(net), other], "reliability")
