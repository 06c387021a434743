"""Damaged, incomplete and contradictory runs: the page says so, and has everything else."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import ModuleType

import pytest
from page_elements import Elements

from sdd_eval import store
from sdd_eval.records import Measurement
from sdd_eval.report import write
from sdd_eval.report.drawing.draw import draw_figures
from sdd_eval.report.tables.summary import most_common_conditions
from sdd_eval.report.write import write_report

#: The page shows SVG files; tests/report/test_write.py writes figures in all formats.
pytestmark = pytest.mark.usefixtures("only_svg")


def test_a_broken_study_record_does_not_end_the_report(
    synthetic: ModuleType, tmp_path: Path
) -> None:
    study = synthetic.small_study(tmp_path / "study")
    (study / "study.json").write_text("{")
    with pytest.warns(store.DamagedFile, match=r"study\.json is not JSON"):
        page = write_report(study).read_text()
    assert "study.json is not JSON" in page
    assert "<h1>Robustness and calibration: study</h1>" in page


def test_a_broken_run_file_is_reported_and_the_others_are_read(
    synthetic: ModuleType, tmp_path: Path
) -> None:
    study = synthetic.small_study(tmp_path / "study")
    broken = study / "runs" / "other" / "accuracy-digits-0.json"
    broken.parent.mkdir()
    broken.write_text('{"format": 1, "checkp')
    with pytest.warns(store.DamagedFile, match=r"accuracy-digits-0\.json is not JSON"):
        page = write_report(study).read_text()
    assert "accuracy-digits-0.json is not JSON" in page
    assert "95." in page


def test_runs_without_arrays_are_still_reported(synthetic: ModuleType, tmp_path: Path) -> None:
    study = synthetic.small_study(tmp_path / "study", synthetic.odin_run(synthetic.network(0.0, 0)))
    for path in study.rglob("*.npz"):
        path.unlink()
    page = write_report(study).read_text()
    assert "ODIN AUROC" in page
    assert "ROC curves" not in page


def test_warnings_name_exclusions_subsets_and_data_origins(
    synthetic: ModuleType, tmp_path: Path
) -> None:
    net = synthetic.network(0.0, 0)
    contradiction = dataclasses.replace(
        synthetic.accuracy_run(net),
        measurements=(Measurement("accuracy", 0.1, "fraction", protocol="other"),),
    )
    limited = synthetic.accuracy_run(synthetic.network(0.0, 5), limit=64, n=64)
    folder = synthetic.run_of(
        net, "third_party", [Measurement("x", 1.0, "")], data={"mine": {"origin": "user's folder"}}
    )
    lost = Measurement("missing", 5.0, "count", {"corruption": "fog"}, "fog.npy is cut short")
    cut = synthetic.run_of(net, "corruption", [lost])
    page = write_report(
        synthetic.small_study(tmp_path / "study", contradiction, limited, folder, cut)
    )
    words = " ".join(Elements(page.read_text()).words)
    assert (
        f"Missing in corruption of {net.checkpoint} (study study): fog.npy is cut short." in words
    )
    assert "excluded from means" in words
    assert "runs disagree on this number" in words
    assert "rows of results.csv that were measured on a subset (--limit) are not shown" in words
    assert "mine (user's folder) is a user's own folder, not a published set." in words


@pytest.mark.usefixtures("only_svg")
def test_figures_omit_numbers_measured_under_other_conditions_and_say_so(
    synthetic: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [synthetic.corruption_run(net) for net in synthetic.pair()]
    changed = [*runs[:3], *(dataclasses.replace(run, n=50, limit=50) for run in runs[3:])]
    page = write_report(synthetic.write_study(tmp_path / "study", changed)).read_text()
    assert 'id="corruption_heatmap"' in page
    assert 'id="corruption_differences"' not in page, "one side alone has no difference"
    left_out = [run.checkpoint for run in runs[3:]]
    assert page.count(f"Some numbers of {', '.join(left_out)} are omitted") == 2
    monkeypatch.setattr(
        write, "draw_figures", lambda _, *rest: draw_figures(["corruption_differences"], *rest)
    )
    alike = write_report(synthetic.write_study(tmp_path / "alike", runs)).read_text()
    assert 'id="corruption_differences"' in alike
    assert "are omitted, because" not in alike


def test_figures_use_the_most_common_conditions(synthetic: ModuleType) -> None:
    runs = [synthetic.accuracy_run(net) for net in synthetic.pair()]
    runs[0] = dataclasses.replace(runs[0], data_fingerprint="a" * 64)
    table = synthetic.table(runs)[0]
    common = most_common_conditions(table)
    assert set(table["checkpoint"]) - set(common["checkpoint"]) == {runs[0].checkpoint}
    assert len(most_common_conditions(table.head(0))) == 0


def test_a_run_of_another_format_is_reported_and_excluded(
    synthetic: ModuleType, tmp_path: Path
) -> None:
    old = dataclasses.replace(synthetic.accuracy_run(synthetic.network(0.0, 5)), format=0)
    with pytest.warns(store.DamagedFile, match="has format 0; this version reads format 1 or 2"):
        page = write_report(synthetic.small_study(tmp_path / "study", old))
    words = " ".join(Elements(page.read_text()).words)
    assert "has format 0; this version reads format 1 or 2" in words


def test_a_run_without_provenance_is_still_reported(synthetic: ModuleType, tmp_path: Path) -> None:
    study = synthetic.small_study(tmp_path / "study")
    for path in store.run_paths(study):
        run = json.loads(path.read_text())
        run["provenance"] = {}
        path.write_text(json.dumps(run))
    page = write_report(study).read_text()
    assert "unknown architecture" in page
    assert "unknown" in page
