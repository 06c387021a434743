"""The files of a report: complete, reproducible, cached, and replaced atomically."""

from __future__ import annotations

import importlib.resources
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas
import pytest

from sdd_eval import store
from sdd_eval.cli import exit_code
from sdd_eval.errors import InputError
from sdd_eval.report.drawing import cache, draw
from sdd_eval.report.publish import publish, recover
from sdd_eval.report.runs import read_runs
from sdd_eval.report.tables.headline import headline
from sdd_eval.report.tables.results import tidy
from sdd_eval.report.tables.verdicts import verdict_tables
from sdd_eval.report.write import write_report


@pytest.fixture(scope="module")
def small(synthetic: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a report with two figures, in all formats."""
    run = synthetic.calibration_run(synthetic.network(0, 0))
    return write_report(synthetic.small_study(tmp_path_factory.mktemp("small") / "study", run))


def test_a_figure_is_written_and_linked_in_every_format_and_width(small: Path) -> None:
    figures = {path.name for path in (small.parent / "figures").iterdir()}
    suffixes = [f"{width}.{kind}" for width in ("", "-single") for kind in ("pdf", "svg", "png")]
    names = ("reliability", "confidence_lines")
    expected = {f"{name}{suffix}" for name in names for suffix in (*suffixes, ".csv")}
    assert figures == {*expected, "drawn.json"}
    links = set(re.findall(r'href="figures/([^"]+)"', small.read_text()))
    assert links == expected


def test_the_same_runs_give_the_same_bytes(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_bytes_again(small.parent, monkeypatch)


@pytest.mark.slow
def test_all_runs_give_the_same_bytes(
    synthetic: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = synthetic.write_study(tmp_path / "study", synthetic.whole(seeds=1))
    assert_bytes_again(write_report(study).parent, monkeypatch)


def assert_bytes_again(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw and write a report again at another time."""
    before = contents(study)
    assert any(name.endswith(".pdf") for name in before)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    (study / "figures" / "drawn.json").unlink()
    write_report(study)
    assert contents(study) == before


def test_obsolete_figures_are_removed_and_user_files_remain(
    synthetic: ModuleType, tmp_path: Path
) -> None:
    study = synthetic.small_study(tmp_path / "study")
    (study / "figures").mkdir()
    for name in ("roc_curves.pdf", "roc_curves-old-digits.svg", "mine.pdf", "roc_curves.txt"):
        (study / "figures" / name).write_text("old")
    write_report(study)
    left = {path.name for path in (study / "figures").iterdir()}
    assert left == {"mine.pdf", "roc_curves.txt", "drawn.json"}


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a report by name."""
    paths = [item for item in folder.rglob("*") if item.is_file() and "runs" not in item.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.mark.parametrize("broken", ["index.html", "results.csv", "headline.tex"])
@pytest.mark.usefixtures("only_svg")
def test_a_write_error_leaves_the_old_report_unchanged(
    broken: str, synthetic: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = synthetic.small_study(tmp_path / "study")
    write_report(study)
    before = contents(study)
    third = synthetic.accuracy_run(synthetic.network(0.0, 7))
    store.write_run(study / "runs" / third.checkpoint / "accuracy-digits-0.json", third)
    real = os.replace

    def failing(source: Any, target: Any) -> None:
        if str(target) == str(next(study.glob(f"**/{broken}"), study)):
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(InputError, match=rf"cannot write .*{broken}: No space left"):
        write_report(study)
    assert contents(study) == before
    monkeypatch.setattr(os, "replace", real)
    write_report(study)
    assert contents(study) != before


def test_moves_of_a_killed_process_are_finished_by_the_next(
    synthetic: ModuleType, tmp_path: Path
) -> None:
    folder = tmp_path / "study"
    publish(folder, {"a.txt": b"old", "b/c.txt": b"old"})
    code = (
        "import os, pathlib, signal, sys\n"
        "from sdd_eval.report.publish import publish\n"
        "real = os.replace\n"
        "def kill(source, target):\n"
        "    if str(target).endswith('b/c.txt') and '.report' not in str(target):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    real(source, target)\n"
        "os.replace = kill\n"
        "publish(pathlib.Path(sys.argv[1]), {'a.txt': b'new', 'b/c.txt': b'new'})\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert (folder / "b/c.txt").read_bytes() == b"old"
    recover(folder)
    assert contents(folder) == {"a.txt": b"new", "b/c.txt": b"new"}


def test_concurrent_reports_do_not_delete_each_others_files(tmp_path: Path) -> None:
    """The first stops in the midst of writing aside; the second, meanwhile, must not clear up."""
    folder = tmp_path / "study"
    publish(folder, {"a.txt": b"old", "b.txt": b"old"})
    code = (
        "import pathlib, sys\n"
        "from sdd_eval.report import publish\n"
        "real = publish._write\n"
        "def slow(path, content):\n"
        "    real(path, content)\n"
        "    if path.name == 'a.txt':\n"
        "        print('half', flush=True)\n"
        "        sys.stdin.readline()\n"
        "publish._write = slow\n"
        "publish.publish(pathlib.Path(sys.argv[1]), {'a.txt': b'new', 'b.txt': b'new'})\n"
    )
    command = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "half\n"
        second = threading.Thread(target=recover, args=(folder,))
        second.start()
        second.join(timeout=0.5)
        assert second.is_alive(), "it waits for the first"
        assert contents(folder)[".report/new/a.txt"] == b"new"
        first.communicate("go on\n")
        second.join()
    assert first.returncode == 0
    assert contents(folder) == {"a.txt": b"new", "b.txt": b"new"}


@pytest.mark.usefixtures("only_svg")
def test_unchanged_figures_are_not_drawn_again(
    synthetic: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nets = synthetic.pair(seeds=1)
    runs = [make(net) for net in nets for make in (synthetic.selective_run, synthetic.attack_run)]
    study = synthetic.small_study(tmp_path / "study", *runs)
    write_report(study)
    before = contents(study)
    drawn: list[str] = []
    real = draw.render

    def counted(plot: Any, *others: Any) -> Any:
        drawn.append(plot.title)  # also where there turns out to be nothing to draw
        return real(plot, *others)

    monkeypatch.setattr(draw, "render", counted)
    write_report(study)
    assert drawn == []
    assert contents(study) == before
    other = synthetic.attack_run(nets[0], (2.0,))
    store.write_run(study / "runs" / other.checkpoint / "attack-digits-9.json", other)
    write_report(study)
    assert drawn == ["Robust accuracy under attack", "Gradient-masking audit"]
    (study / "figures" / "risk_coverage.svg").write_text("changed by hand")
    write_report(study)
    assert drawn[2:] == ["Risk–coverage curves"]
    assert contents(study)["figures/risk_coverage.svg"] == before["figures/risk_coverage.svg"]


@pytest.mark.parametrize("changed", ["figures/layout.py", "statistics/seeds.py"])
def test_a_change_of_the_code_draws_every_figure_again(
    changed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code_hash = cache.code_hash.__wrapped__
    before = code_hash("sdd_eval.figures.calibration")
    package = importlib.resources.files("sdd_eval")
    for folder in ("figures", "statistics"):
        shutil.copytree(str(package / folder), tmp_path / folder)
    monkeypatch.setattr(importlib.resources, "files", lambda _: tmp_path)
    assert code_hash("sdd_eval.figures.calibration") == before
    (tmp_path / changed).write_text("changed")
    assert code_hash("sdd_eval.figures.calibration") != before


def test_a_missing_or_empty_study_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere does not exist; evaluate a checkpoint first"):
        write_report(tmp_path / "nowhere")
    (tmp_path / "empty" / "runs" / "net").mkdir(parents=True)
    with pytest.raises(InputError, match=r"no finished run below .*empty.runs; .*--study empty"):
        write_report(tmp_path / "empty")
    (tmp_path / "empty" / "runs" / "net" / "accuracy-digits-0.json").write_text("[]")
    with (
        pytest.warns(store.DamagedFile, match=r"accuracy-digits-0\.json"),
        pytest.raises(InputError, match=r"none of 1 run files can be read; the first error: .*Run"),
    ):
        write_report(tmp_path / "empty")


@pytest.mark.usefixtures("only_svg")
def test_a_style_file_changes_the_figures_and_an_invalid_one_is_an_error(
    synthetic: ModuleType, tmp_path: Path
) -> None:
    study = synthetic.write_study(
        tmp_path / "study", [synthetic.calibration_run(synthetic.network(0.0, 0))]
    )
    write_report(study)
    before = (study / "figures" / "reliability.svg").read_bytes()
    style = tmp_path / "big.mplstyle"
    style.write_text("font.size: 12\naxes.labelsize: 12\n")
    write_report(study, style=style)
    assert (study / "figures" / "reliability.svg").read_bytes() != before
    with pytest.raises(InputError, match=r"nothing\.mplstyle is not a file"):
        write_report(study, style=tmp_path / "nothing.mplstyle")
    style.write_text("font.size: big\n")
    with pytest.raises(InputError, match=r"big\.mplstyle is not a matplotlib style file: .*big"):
        write_report(study, style=style)


@pytest.mark.parametrize(("style", "width"), [("cvpr", 3.25), ("neurips", 2.7), ("plain", 3.3)])
def test_a_preset_sets_the_width_of_a_column_and_the_font(
    style: str, width: float, one_figure: None, synthetic: ModuleType, tmp_path: Path
) -> None:
    study = synthetic.write_study(
        tmp_path / "study", [synthetic.calibration_run(synthetic.network(0.0, 0))]
    )
    write_report(study, style=Path(style))
    drawn = (study / "figures" / "reliability-single.svg").read_text()
    assert f'width="{72 * width:g}pt"' in drawn
    assert ("STIXGeneral" in drawn) == (style != "plain")


@pytest.mark.usefixtures("only_svg")
def test_the_forest_plot_has_the_differences_of_the_verdict_table(
    synthetic: ModuleType, tmp_path: Path
) -> None:
    runs = [synthetic.accuracy_run(net) for net in synthetic.pair(seeds=3)]
    runs += [synthetic.calibration_run(net) for net in synthetic.pair(seeds=3)]
    write_report(synthetic.write_study(tmp_path / "study", runs))
    assert 'href="figures/forest.svg"' in (tmp_path / "study" / "index.html").read_text()
    points = pandas.read_csv(tmp_path / "study" / "figures" / "forest.csv")
    (table,) = verdict_tables(headline(tidy(read_runs([tmp_path / "study"]).runs)))
    lines = [line for row in table.rows for line in row.lines if line.points]
    assert len(points) == len(lines) == 2
    for line in lines:
        (point,) = points[points["words"].str.endswith(f"{line.text}, {line.verdict}")].itertuples()
        assert point.x == pytest.approx(max(-5, min(line.points[1], 5)), rel=1e-5)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("not a line", "Missing colon"),
        ("font.sice: 12", "Bad key font.sice"),
        ("font.size: 13", "Duplicate key"),
        ("lines.linewidth: wide", "Key lines.linewidth: .*wide"),
    ],
)
def test_a_style_file_with_a_line_that_matplotlib_ignores_or_refuses_is_an_error(
    line: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    style = tmp_path / "a.mplstyle"
    style.write_text(f"font.size: 12\n{line}\n")
    assert exit_code(["report", "--style", str(style), "--reports", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert re.search(f"a.mplstyle is not a matplotlib style file: .*{reason}", message)
    assert message.count("\n") == 1


def test_progress_is_reported_to_the_end(synthetic: ModuleType, tmp_path: Path) -> None:
    class Listener:
        def __init__(self) -> None:
            self.total = self.done = 0

        def start(self, label: str, total: int) -> None:
            self.total += total

        def advance(self, units: int = 1, note: str = "") -> None:
            self.done += units

    listener = Listener()
    write_report(synthetic.small_study(tmp_path / "study"), progress=listener)
    assert listener.done == listener.total > 2
