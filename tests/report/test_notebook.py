"""The Python API for notebooks: names that complete, data frames, and figures."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import PIL.Image
import pytest

import sdd_eval
from sdd_eval.errors import InputError


@pytest.fixture
def study(synthetic: Any, tmp_path: Path) -> Path:
    nets = synthetic.pair(seeds=1)
    makers = (synthetic.accuracy_run, synthetic.calibration_run)
    return synthetic.write_study(tmp_path / "s", [make(net) for net in nets for make in makers])


def cells_of(html: str) -> dict[str, list[str]]:
    """Return the columns of an HTML table by their headings."""
    header = re.findall(r"<th>(.*?)</th>", html)
    rows = [re.findall(r"<td>(.*?)</td>", row) for row in html.split("<tr>")[2:]]
    return dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))


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


def test_a_study_is_a_table_that_draws_its_figures(study: Path) -> None:
    frame = sdd_eval.open_study(study)
    figure = frame.plot("reliability", width=3.3)
    assert figure.get_size_inches()[0] == pytest.approx(3.3, abs=0.4)
    assert type(frame.to_frame()) is type(frame[frame["metric"] == "ece"]) is pd.DataFrame
    assert frame.to_frame().equals(pd.DataFrame(frame))


def test_a_notebook_shows_the_means_of_a_study(study: Path) -> None:
    shown = sdd_eval.open_study(study)._repr_html_()
    cells = cells_of(shown)
    assert [*cells] == ["", "CE", "CE + SD-Dropout λ 0.1"]
    index = cells[""].index("Accuracy ↑")
    means = pd.read_csv(sdd_eval.write_report(study, figures=False).parent / "summary.csv")
    accuracy = means[means["metric"] == "accuracy"].set_index("group")["mean"]
    for method in ("CE", "CE + SD-Dropout λ 0.1"):
        number = float(cells[method][index].split()[0])
        assert number == pytest.approx(100 * accuracy[method], abs=0.05)
    assert "2 networks, 4 runs, " in shown


def test_a_run_becomes_a_table_a_figure_and_html_by_its_own_methods(synthetic: Any) -> None:
    run = synthetic.calibration_run(synthetic.pair(seeds=1)[0])
    assert run.to_frame().equals(sdd_eval.to_frame(run))
    assert run.plot("reliability", width=3.3).get_size_inches()[0] == pytest.approx(3.3, abs=0.4)
    shown = run._repr_html_()
    cells = cells_of(shown)
    first = run.measurements[0]
    assert cells["metric"][0] == first.metric
    assert float(cells["value"][0]) == pytest.approx(first.value, abs=0.0005)
    assert f"of {run.dataset}" in shown


def test_a_notebook_shows_a_figure_in_its_own_size(synthetic: Any) -> None:
    figure = synthetic.calibration_run(synthetic.pair(seeds=1)[0]).plot("reliability", width=3.3)
    content, size = figure._repr_png_()
    pixels = PIL.Image.open(io.BytesIO(content)).size
    assert size["width"] == round(100 * figure.get_size_inches()[0])
    assert pixels[0] / pixels[1] == pytest.approx(size["width"] / size["height"], rel=0.02)


def test_html_escapes_what_other_people_named(synthetic: Any) -> None:
    run = synthetic.calibration_run(synthetic.pair(seeds=1)[0])
    shown = replace(run, checkpoint="<script>alert(1)</script>")._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown


def test_records_load_the_report_only_when_a_method_is_called() -> None:
    code = (
        "import sys, sdd_eval.records\n"
        "assert not {'pandas', 'matplotlib', 'sdd_eval.report'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_figure_that_cannot_be_drawn_is_refused(synthetic: Any) -> None:
    net = synthetic.pair(seeds=1)[0]
    with pytest.raises(InputError, match="no numbers for the figure roc_curves"):
        sdd_eval.plot(synthetic.calibration_run(net), "roc_curves")
    with pytest.raises(InputError, match="did you mean 'reliability'"):
        sdd_eval.plot(synthetic.calibration_run(net), "reliabilty")
    other = synthetic.calibration_run(synthetic.network(0.0, 0, arch="resnet8"))
    with pytest.raises(InputError, match="do not belong into one figure"):
        sdd_eval.plot([synthetic.calibration_run(net), other], "reliability")
