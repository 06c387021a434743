"""Files of version 0.1 (format 1) are still read and give the same numbers.

`tests/fixtures/format_1/` was written by version 0.1; only the intervals in `expected/` are written
anew when their method changes (`golden/make.py`). Its README says
how. Everything here goes through the command line. Numbers that stored arrays give must agree to
1e-9 (relative and absolute), those of a training to what float32 leaves on another processor.
"""

from __future__ import annotations

import csv
import importlib.util
import json
import shutil
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
FIXTURES = TESTS / "fixtures/format_1"
STUDY = "format-1"
PLAIN = "digits-small_cnn-ce-drop0.3-validation200-5f0761-seed0"
SD = "digits-small_cnn-ce-sdd0.5-drop0.3-validation200-5f0761-seed0"
#: The recipe of `SD`, with the flags of version 0.1.
TRAIN = (
    *("train", "--dataset", "digits", "--arch", "small_cnn", "--standardisation", "digits"),
    *("--augmentation", "none", "--epochs", "2", "--batch-size", "64", "--lr", "0.05"),
    *("--validation", "200", "--drop", "0.3", "--sd-dropout", "0.5"),
)

#: The study file and the flags of version 0.1 have names that are now deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.* is now called:DeprecationWarning")

_SPEC = importlib.util.spec_from_file_location("golden_make", TESTS / "golden/make.py")
make = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(make)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a command in a copy of the files, on one thread, and return what it prints."""
    shutil.copytree(FIXTURES, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    monkeypatch.setenv("SDD_EVAL_DATA", str(tmp_path / "copy/data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return lambda *arguments: make.command_line(*arguments)


def require_same(name, measured):
    """Fail with the first lines that differ from `expected/` by more than 1e-9."""
    golden = make.read(name, FIXTURES / "expected")
    lines = list(make.differences(short(measured), golden, lambda metric: 1e-9))
    assert not lines, "\n".join([f"{len(lines)} numbers differ", *lines[:40]])


def short(table):
    """Return a table with short names of the two checkpoints."""
    names = {PLAIN: "plain", SD: "sd"}
    return {tuple(names.get(part, part) for part in key): row for key, row in table.items()}


def test_a_card_is_shown(run):
    for name, loss in ((PLAIN, 0.6164899551868439), (SD, 0.7806196784973145)):
        card = json.loads(run("show", name))
        assert card["name"] == name
        assert card["metrics"]["loss"] == pytest.approx(loss, rel=1e-9)
        assert card["metrics"]["accuracy"] == pytest.approx(0.8820577164366374, rel=1e-9)
        assert len(card["weights_sha256"]) == 64


def test_weights_are_loaded_and_measured_on_a_set_of_arrays(run):
    output = run(
        *("accuracy", SD, "--dataset", "mini", "--study", "new", "--json"),
        *("--device", "cpu", "--threads", "1", "--cache", "off"),
    )
    measured = {key[1]: float(row["value"]) for key, row in make.measurements(output).items()}
    assert measured["accuracy"] == pytest.approx(26 / 30, rel=1e-9)
    assert measured["nll"] == pytest.approx(0.9512800568, rel=1e-6)


def test_a_report_tabulates_the_numbers_of_stored_runs(run, one_figure):
    page = Path(run("report", STUDY, "--threads", "1").strip())
    require_same("results", make.rows(page.with_name("results.csv"), "results"))


def test_a_report_shows_the_stored_comparison(run, only_svg):
    (pair,) = Path(f"reports/{STUDY}/comparisons/pairs").glob("*.json")
    record = json.loads(pair.read_text())
    row = next(item for item in record["rows"] if item["metric"] == "accuracy")
    row["difference"] = 0.43217  # which no run gives, so it can come from this file alone
    pair.write_text(json.dumps(record))
    keep_only("accuracy", "mask_variance")
    page = Path(run("report", STUDY, "--threads", "1").strip())
    assert "43.2 points" in page.read_text()


def keep_only(*evaluators):
    """Delete the runs of all other evaluators, whose figures take long to draw."""
    for path in Path(f"reports/{STUDY}/runs").glob("*/*"):
        if not path.name.startswith(evaluators):
            path.unlink()


def test_the_planned_comparison_has_its_differences_intervals_and_p_values(run):
    output = run("compare", "--study", STUDY, "--no-figures", "--threads", "1")
    path = next(Path(line) for line in output.splitlines() if line.endswith(".csv"))
    require_same("compared", make.rows(path, "compared"))


def test_recomputing_a_comparison_from_stored_runs_gives_the_same_numbers(run):
    keep_only("accuracy", "calibration", "fgsm", "corruption")
    shutil.rmtree(f"reports/{STUDY}/comparisons")
    output = run("compare", PLAIN, SD, "--study", STUDY, "--no-figures", "--threads", "1")
    path = next(Path(line) for line in output.splitlines() if line.endswith(".csv"))
    require_same("compared-anew", make.rows(path, "compared"))


def test_stored_arrays_are_scored_again_with_another_level(run):
    output = run(
        *("selective", SD, "--limit", "40", "--study", STUDY, "--level", "0.9", "--json"),
        *("--device", "cpu", "--threads", "1", "--cache", "off"),
    )
    require_same("selective-90", make.measurements(output))


def test_trainings_of_a_study_file_are_done(run):
    jobs = dry_run(run)
    assert [state for job, state in jobs if job.startswith("train ")] == ["done"] * 2


def test_evaluations_of_a_study_file_are_done(run):
    jobs = dry_run(run)
    assert [state for job, state in jobs if not job.startswith("train ")] == ["done"] * 17


def dry_run(run):
    """Return each job of a study with its state."""
    output = run("batch", "study.toml", "--dry-run", "--device", "cpu", "--threads", "1")
    lines = [line for line in output.splitlines() if PLAIN in line or SD in line]
    return [tuple(line.rsplit(maxsplit=1)) for line in lines]


def test_the_small_size_of_a_study_file_is_read(run):
    output = run("batch", "study.toml", "--small", "--dry-run", "--device", "cpu")
    assert "drop0.2" in output
    assert "seed3" in output


def test_an_interrupted_training_is_resumed(run):
    before = history("checkpoints/interrupted")
    run(*TRAIN, "--name", "interrupted", "--device", "cpu", "--threads", "1")
    after = history("checkpoints/interrupted")
    assert after[0] == before[0]
    assert len(before) == 1
    assert len(after) == 2
    resumed, whole = (
        json.loads(Path(f"checkpoints/{name}/card.json").read_text())["metrics"]
        for name in ("interrupted", SD)
    )
    assert resumed == pytest.approx(whole, rel=1e-4)


def history(checkpoint):
    """The rows of a checkpoint's history."""
    with (Path(checkpoint) / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_finished_training_is_not_repeated(run):
    weights = Path(f"checkpoints/{SD}/weights.safetensors")
    before = weights.stat().st_mtime_ns
    assert "accuracy 0.8821" in run(*TRAIN, "--name", SD, "--device", "cpu", "--threads", "1")
    assert weights.stat().st_mtime_ns == before


def test_a_set_of_an_earlier_recipe_is_read_but_neither_rewritten_nor_continued(run, capsys):
    folder = Path("data/mini-C-regenerated")
    before = {path.name: path.stat().st_mtime_ns for path in folder.glob("[cf]*.npy")}
    marker = (folder / "regenerated.json").read_text()
    for flags in (["fog", "contrast"], ["fog", "--seed", "1"]):
        with pytest.raises(RuntimeError, match="exits with 2"):
            run("data", "corrupt", "mini", "--corruptions", *flags, "--threads", "1")
        assert "recipe" in capsys.readouterr().err
    assert {path.name: path.stat().st_mtime_ns for path in folder.glob("[cf]*.npy")} == before
    assert (folder / "regenerated.json").read_text() == marker


def test_a_cached_file_of_logits_is_listed(run):
    (line,) = [line for line in run("data", "cache", "--cache", "cache").splitlines() if SD in line]
    assert line.split()[1:3] == ["mini", "30"]
