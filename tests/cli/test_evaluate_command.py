"""`sdd-eval evaluate`: a suite of evaluators, its table, its page, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from working_folder import picture

from sdd_eval import studies
from sdd_eval.cli import exit_code, terminal
from sdd_eval.records import Run
from sdd_eval.store import DamagedFile, read_run
from sdd_eval.studies import precision, suites
from sdd_eval.studies.study import read_study_record

NAME = "digits-small_cnn-ce-seed0"


def evaluators(folder: Path) -> list[str]:
    """Return the evaluators of the stored runs."""
    return sorted(path.name.split("-")[0] for path in folder.glob("reports/*/runs/*/*.json"))


@pytest.mark.usefixtures("one_figure")
def test_quick_measures_a_checkpoint_and_writes_the_page(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(["evaluate", NAME, "--limit", "20"]) == 0
    assert evaluators(here) == ["accuracy", "calibration", "corruption", "selective"]
    assert "4 done\nreports/default/index.html" in capsys.readouterr().out
    assert (here / "reports/default/index.html").is_file()
    assert exit_code(["evaluate", NAME, "--limit", "20"]) == 0
    assert "4 already done" in capsys.readouterr().out


@pytest.mark.usefixtures("one_figure")
def test_the_page_has_pictures_unless_they_are_left_out(here: Path) -> None:
    command = ["evaluate", NAME, "--limit", "60", "--evaluators", "accuracy"]
    page = here / "reports/default/index.html"
    for flags, shown in (([], True), (["--no-images"], False), ([], True)):
        assert exit_code([*command, *flags]) == 0
        assert ("data:image/png" in page.read_text()) == shown
    record = read_study_record(here / "reports/default")
    assert record is not None
    assert record.images


@pytest.mark.usefixtures("one_figure")
def test_named_outliers_add_the_detectors_on_logits(here: Path) -> None:
    command = f"evaluate {NAME} --limit 20 --evaluators ood --outliers uniform --study s"
    assert exit_code(command.split()) == 0
    (run,) = here.glob("reports/s/runs/*/*.json")
    settings = json.loads(run.read_text())["settings"]
    assert settings["outliers"] == ["uniform"]
    assert settings["detectors"] == ["msp", "max_logit", "energy", "entropy"]


@pytest.mark.usefixtures("one_figure")
def test_images_are_added_until_rates_are_as_precise_as_wanted(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "FIRST", 50)
    command = f"evaluate {NAME} --evaluators accuracy --until 0.06"
    assert exit_code(command.split()) == 0
    (path,) = here.glob("reports/default/runs/*/*.json")
    run = read_run(path)
    accuracy = run.measurements[0]
    assert accuracy.low is not None
    assert accuracy.high is not None
    assert 0.05 < (accuracy.high - accuracy.low) / 2 < 0.06
    assert 50 < run.n < 400
    before = path.stat().st_mtime_ns
    assert exit_code(command.split()) == 0
    assert exit_code([*command.split(), "--limit", "60"]) == 0  # as precise as so many images allow
    assert path.stat().st_mtime_ns == before
    present = {*path.parent.glob("*.json")}
    path.write_text("damaged")
    with pytest.warns(DamagedFile, match="is not JSON"):
        assert exit_code(command.split()) == 0
    (new,) = {*path.parent.glob("*.json")} - present
    assert read_run(new).n == pytest.approx(run.n, rel=0.2)


@pytest.mark.usefixtures("one_figure")
def test_images_are_added_for_all_checkpoints_until_each_is_precise(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(precision, "FIRST", 50)
    train = "train --dataset digits --arch small_cnn --standardisation digits --augmentation none"
    assert exit_code([*train.split(), "--epochs", "6", "--name", "precise", "--quiet"]) == 0
    command = f"evaluate precise {NAME} --evaluators accuracy --until 0.06"
    for _ in range(2):
        assert exit_code(command.split()) == 0
        paths = [*here.glob("reports/default/runs/*/*.json")]
        runs = {path.parent.name: read_run(path) for path in paths}
        widths = {name: _width(run) for name, run in runs.items()}
        assert len(paths) == 2
        assert len({run.n for run in runs.values()}) == 1
        assert widths["precise"] < widths[NAME] < 0.06
    assert "2 already done" in capsys.readouterr().out
    assert list(here.glob("reports/default/comparisons/*.csv"))


def _width(run: Run) -> float:
    """Return the half-width of the interval of accuracy."""
    accuracy = run.measurements[0]
    assert accuracy.low is not None
    assert accuracy.high is not None
    return (accuracy.high - accuracy.low) / 2


@pytest.mark.usefixtures("one_figure")
def test_json_is_one_document_for_several_checkpoints(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(here / "checkpoints" / NAME, here / "elsewhere" / "second")
    command = f"evaluate {NAME} elsewhere/second --evaluators accuracy --limit 20 --json"
    assert exit_code(command.split()) == 0
    document = json.loads(capsys.readouterr().out)
    assert [run["checkpoint"] for run in document["runs"]] == [NAME, "second"]
    assert "Comparison" in Path(document["page"]).read_text()
    assert (here / f"reports/default/comparisons/{NAME}--second.csv").is_file()


@pytest.mark.usefixtures("one_figure")
def test_an_evaluator_without_its_default_data_is_left_out_with_the_reason(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = (suites.Step("accuracy"), suites.Step("ood", {"outliers": ("svhn",)}))
    monkeypatch.setattr(suites, "SUITES", {"quick": steps})
    monkeypatch.setattr(studies, "SUITES", {"quick": steps}, raising=False)
    assert exit_code(["evaluate", NAME, "--limit", "20"]) == 0
    assert f"note: ood {NAME} is left out: svhn" in capsys.readouterr().out
    assert evaluators(here) == ["accuracy"]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("", "no checkpoint is named; use: sdd-eval evaluate CHECKPOINT…"),
        ("nowhere", "unknown checkpoint 'nowhere'"),
        ("--arch small_cnn", "--arch needs --weights FILE"),
        (f"{NAME} --arch small_cnn --weights x.pt", "no checkpoint beside it"),
        (f"{NAME} --weights x.pt", "--weights needs --arch and --weights"),
        (f"{NAME} --name other", "--name needs --arch and --weights"),
        (f"{NAME} --evaluators acuracy", "did you mean 'accuracy'"),
        (f"{NAME} --evaluators detection", "detection evaluates object detectors"),
        (f"{NAME} --evaluators accuracy --outliers svhn", "--outliers is given, but none"),
        (f"{NAME} --corrupted x --evaluators ood", "--corrupted is given, but none"),
        (f"{NAME} --evaluators ood --outliers svnh", "did you mean 'svhn'"),
        (f"{NAME} --outliers svhn", "svhn"),
        (f"{NAME} --corrupted nowhere_c", "nowhere_c"),
        (f"{NAME} --suite fast", "--suite"),
        (f"{NAME} --limit 0", "--limit is 0"),
        (f"{NAME} --until 2", "--until is 2; it must be above 0 and below 1"),
    ],
)
def test_an_impossible_request_is_one_line(
    flags: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(["evaluate", *flags.split()]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_set_of_more_classes_than_the_network_has_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for index in range(12):
        picture(here / f"photos/class{index}/image.png")
    assert exit_code(["evaluate", NAME, "--dataset", "photos"]) == 2
    assert capsys.readouterr().err == (
        "sdd-eval: photos has labels of 12 classes, the network predicts 10\n"
    )
    assert not (here / "reports").exists()


@pytest.mark.usefixtures("one_figure")
def test_weights_of_elsewhere_are_imported_on_the_way(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = here / "mine.safetensors"
    shutil.copy(here / "checkpoints" / NAME / "weights.safetensors", weights)
    command = (
        f"evaluate --arch small_cnn --weights {weights} --dataset digits --evaluators accuracy"
    )
    for _ in range(2):  # the second time the checkpoint is there
        assert exit_code([*command.split(), "--json"]) == 0
        (run,) = json.loads(capsys.readouterr().out)["runs"]
        assert run["checkpoint"] == "mine"
    assert exit_code([*command.split(), "--name", NAME]) == 2
    assert "contains another checkpoint" in capsys.readouterr().err


@pytest.fixture
def logits(here: Path) -> Path:
    """Files of logits, labels, and logits of outliers."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 5, 200)
    np.save("mine.npy", random.normal(size=(200, 5)) + 2 * np.eye(5)[labels])
    np.save("y.npy", labels)
    np.save("far.npy", random.normal(size=(50, 5)))
    return here


@pytest.mark.usefixtures("one_figure")
def test_logits_are_measured_by_all_that_needs_no_network(
    logits: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = "evaluate --logits mine.npy --labels y.npy --study s"
    assert exit_code(command.split()) == 0
    assert evaluators(logits) == ["accuracy", "calibration", "selective"]
    assert "reports/s/index.html" in capsys.readouterr().out
    assert exit_code([*command.split(), "--outlier-logits", "far", "far.npy", "--json"]) == 0
    assert evaluators(logits) == ["accuracy", "calibration", "ood", "selective"]
    assert {run["checkpoint"] for run in json.loads(capsys.readouterr().out)["runs"]} == {"mine"}


@pytest.mark.usefixtures("logits")
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--logits mine.npy", "--logits needs --labels FILE.npy"),
        (f"{NAME} --logits mine.npy --labels y.npy", "--logits replaces checkpoints"),
        ("--logits mine.npy --labels y.npy --outliers svhn", "--outliers names images"),
        ("--logits mine.npy --labels y.npy --evaluators fgsm", "fgsm needs the network"),
        ("--logits none.npy --labels y.npy", "none.npy does not exist"),
        ("--logits y.npy --labels y.npy", "not numbers (images, classes)"),
        ("--logits mine.npy mine.npy --labels y.npy", "two files of one name"),
        ("--labels y.npy", "--labels needs --logits"),
    ],
)
def test_wrong_logits_are_one_line(
    flags: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(["evaluate", *flags.split(), "--study", "s"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.usefixtures("one_figure", "logits")
def test_a_warning_of_a_run_is_printed_with_every_table_of_its_numbers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    np.save("sigmoid.npy", 1 / (1 + np.exp(-np.load("mine.npy"))))
    command = "evaluate --logits mine.npy sigmoid.npy --labels y.npy --evaluators calibration"
    warning = "sigmoid returns only numbers from 0 to 1 that do not sum to 1"
    assert exit_code(command.split()) == 0
    assert f"warning: {warning}" in capsys.readouterr().err
    for name in ("results.csv", "index.html"):
        assert warning in Path("reports/default", name).read_text()
    for more in ([], ["--fail-if", "calibration.ece > 1", "--json"]):
        assert exit_code(["compare", "mine", "sigmoid", "--no-figures", *more]) == 0
        assert capsys.readouterr().err.count(f"warning: sigmoid: {warning}") == 1


@pytest.mark.parametrize("suite", studies.SUITES)
def test_every_suite_is_a_study_of_valid_evaluations(suite: str) -> None:
    study = studies.suite_study("s", ["a", "b"], studies.SUITES[suite], outliers=["uniform"])
    evaluated = [(item.checkpoint, item.evaluator) for item in study.evaluations]
    names = [step.evaluator for step in studies.SUITES[suite]]
    assert evaluated == [(checkpoint, name) for checkpoint in "ab" for name in names]


@pytest.mark.usefixtures("one_figure")
def test_compare_exits_by_the_conditions_of_its_gate(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(here / "checkpoints" / NAME, here / "checkpoints" / "copy")
    for name in (NAME, "copy"):
        assert exit_code(["accuracy", name]) == 0
    command = ["compare", NAME, "copy", "--no-figures", "--fail-if"]
    assert exit_code([*command, "accuracy.accuracy < base - 0.05"]) == 0
    assert exit_code([*command, "accuracy.accuracy < base"]) == 3
    assert "no number of images would decide it" in capsys.readouterr().out
    both = [*command, "accuracy.accuracy < base - 5%", "--fail-if", "accuracy.nll > 0", "--json"]
    assert exit_code(both) == 1
    document = json.loads(capsys.readouterr().out)
    assert [result["decision"] for result in document] == ["pass", "fail"]
    assert exit_code(["compare", NAME, "copy", "--undecided", "pass"]) == 2
    assert "--undecided needs conditions" in capsys.readouterr().err


def test_the_table_of_an_evaluator_fits_a_narrow_terminal(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = f"ood {NAME} --outliers uniform gaussian --detectors odin msp --limit 20"
    assert exit_code(command.split()) == 0
    wide = capsys.readouterr().out.splitlines()
    columns = "metric detector outliers temperature epsilon value 95 % interval"
    assert wide[1].split() == columns.split()
    monkeypatch.setattr(terminal, "width", lambda: 60)
    assert exit_code(command.split()) == 0
    narrow = capsys.readouterr().out.splitlines()
    header = next(line for line in narrow if line.startswith("metric"))
    assert header.split() == ["metric", "detector", "outliers", "value", "95", "%", "interval"]
    assert "    temperature 1000, epsilon 0.0028" in narrow
    assert all(len(line) <= 60 for line in narrow if "/" not in line)
    assert exit_code(f"odin {NAME} --outliers uniform gaussian --limit 20".split()) == 0
    assert "detector odin, temperature 1000, epsilon 0.0028" in capsys.readouterr().out


def test_the_table_of_a_comparison_fits_a_narrow_terminal(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(here / "checkpoints" / NAME, here / "checkpoints" / "copy")
    assert exit_code(f"odin {NAME} copy --outliers uniform gaussian --limit 20".split()) == 0
    monkeypatch.setattr(terminal, "width", lambda: 60)
    capsys.readouterr()
    assert exit_code(["compare", NAME, "copy", "--no-figures"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 60 for line in lines if "/" not in line)
    header = next(line for line in lines if line.startswith("Metric"))
    assert {"Metric", "Difference"} <= {*header.split()}
    assert "verdict" not in header
    assert "outliers average, temperature 1000, epsilon 0.0028" in " ".join(" ".join(lines).split())


def test_json_of_an_evaluator_is_one_document(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(here / "checkpoints" / NAME, here / "checkpoints" / "copy")
    assert exit_code(["accuracy", NAME, "copy", "--limit", "20", "--json"]) == 0
    assert [run["checkpoint"] for run in json.loads(capsys.readouterr().out)] == [NAME, "copy"]
