"""Detectors in a study: trained after their backbones, and only if missing."""

from __future__ import annotations

import dataclasses

import pytest

from sdd_eval import store
from sdd_eval.checkpoints import load, read_card
from sdd_eval.checkpoints.checkpoint import write_weights
from sdd_eval.cli import exit_code
from sdd_eval.comparison.store import load_comparisons
from sdd_eval.errors import InputError
from sdd_eval.object_detection.train import train_detector
from sdd_eval.records import DETECTOR
from sdd_eval.studies.jobs import jobs_of
from sdd_eval.studies.resolve import read_study
from sdd_eval.studies.run import record_of
from sdd_eval.studies.study import warnings
from sdd_eval.training import epochs

GRID = """
name = "grid"
seeds = [0, 1]
[recipe]
arch = "resnet18"
[[train]]
id = "plain"
[[train]]
sd_dropout = 1.0
[[train-detector]]
id = "detectors"
of = "plain"
epochs = [7, 12]
milestones = [4]
"""

#: On a backbone that is there, three steps an epoch.
STUDY = """
name = "shapes"
checkpoints = ["backbone"]
[[train-detector]]
dataset = "shapes"
epochs = 2
batch_size = 2
lr = 0.01
min_size = 32
max_size = 64
channels = 8
regions = 8
[[evaluate]]
evaluator = "detection"
"""

GRID_OF_LR = STUDY.replace("lr = 0.01", "lr = [0.01, 0.000001]").replace("epochs = 2", "epochs = 1")


@pytest.fixture
def backbone(here, write_coco, write_backbone):
    """A folder with `data` of COCO's format and a `backbone` among its checkpoints."""
    write_coco(here / "data")
    return write_backbone(here / "checkpoints" / "backbone", "resnet18w16")


def batch(capsys, *further):
    code = exit_code(["batch", "study.toml", "--threads", "1", *further])
    return code, capsys.readouterr().out


def test_a_grid_of_detectors_uses_each_seed_of_its_backbones(study_file):
    study = read_study(study_file(GRID + '[[evaluate]]\nevaluator = "detection"\n'))
    plain = [t.name for t in study.trainings if not t.recipe.sd_dropout]
    output = [(d.backbone, d.recipe.epochs) for d in study.detectors]
    assert output == [(plain[0], 7), (plain[0], 12), (plain[1], 7), (plain[1], 12)]
    assert len({d.name for d in study.detectors}) == 4
    assert all(d.name.endswith(d.backbone) for d in study.detectors)
    assert [e.checkpoint for e in study.evaluations] == [d.name for d in study.detectors]
    (meant,) = study.detectors[2].stands_for
    assert (meant["seed"], meant["arch"]) == (1, f"{DETECTOR}resnet18")
    assert record_of(study).stands_for[study.detectors[2].name] == (meant,)


def test_a_detector_comes_after_its_backbone_and_before_its_evaluation(study_file):
    study = read_study(study_file(GRID + '[[evaluate]]\nevaluator = ["accuracy", "detection"]\n'))
    jobs = jobs_of(study)
    position = {job.key: number for number, job in enumerate(jobs)}
    assert len(jobs) == 4 + 4 + 4 + 4
    for number, job in enumerate(jobs):
        assert all(position[key] < number for key in job.needs), job.key
    detectors = {d.name: d.backbone for d in study.detectors}
    for name, under in detectors.items():
        (job,) = [job for job in jobs if job.key == f"train {name}"]
        assert job.needs == (f"train {under}",)
    requested = {
        job.work.evaluator for job in jobs if job.checkpoint in detectors and job.key[0] != "t"
    }
    assert requested == {"detection"}, "detectors are no classifiers"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[evaluate]]\nevaluator = "accuracy"\nof = "detectors"\n',
         "line 17: accuracy evaluates classifiers, but there are none here"),
        ('[[evaluate]]\nevaluator = "detection"\nof = "plain"\n',
         r"line 17: detection evaluates detectors, made by \[\[train-detector\]\], but there"),
        ("[[train-detector]]\nepoch = 3\n",
         "line 16: unknown field of a detector's training 'epoch'; did you mean 'epochs'"),
        ("[[train-detector]]\nseed = 3\n", "line 16: unknown field of a detector's training"),
        ("[[train-detector]]\nepochs = 0\n", "line 16: epochs is 0; it must be 1 or more"),
        ('[[train-detector]]\nof = "plane"\n', "line 16: unknown id of a training 'plane'; did"),
        ('[[train-detector]]\nlr = ["fast"]\n', "line 16: lr is 'fast', not float"),
    ],
)  # fmt: skip
def test_an_error_in_a_detector_table_is_reported_with_its_line(text, message, study_file):
    with pytest.raises(InputError, match=message):
        read_study(study_file(GRID + text))


def test_detectors_without_a_backbone_are_refused(study_file):
    with pytest.raises(InputError, match=r"line 1: there is no backbone for the detectors"):
        read_study(study_file("[[train-detector]]\nepochs = 7\n"))


DETECTION = '[[evaluate]]\nevaluator = "detection"\n'


def test_selecting_a_detector_setting_is_a_selection_on_the_test_images(study_file):
    study = read_study(study_file(GRID + DETECTION))
    assert (study.varied, study.varied_of_detectors) == ((), ("epochs",))
    (message,) = warnings(study)
    assert "detectors: several values of epochs are compared by mAP on the test images" in message
    assert "selected on the test set, so its result is biased" in message
    weights = GRID.replace("sd_dropout = 1.0", "sd_dropout = [0.1, 1.0]\nvalidation = 500")
    text = weights.replace('of = "plain"\nepochs = [7, 12]', "epochs = 7")
    study = read_study(study_file(text + DETECTION))
    assert study.varied == study.varied_of_detectors == ("sd_dropout",)
    assert "by accuracy" in warnings(study)[0]
    assert "detectors: several values of sd dropout" in warnings(study)[1]
    one = GRID.replace("[7, 12]", "7") + DETECTION
    assert warnings(read_study(study_file(one))) == ()


def test_detectors_are_compared_with_detectors_and_backbones_with_backbones(study_file):
    text = GRID.replace('of = "plain"\n', "") + DETECTION
    weights = "[[compare]]\nbase = { sd_dropout = 0.0 }\nothers = [{ sd_dropout = 1.0 }]\n"
    study = read_study(study_file(text + weights))
    every = [item.name for item in (*study.trainings, *study.detectors)]
    pairs = record_of(study).pairs
    assert len(pairs) == 1 + 2
    assert sorted(name for pair in pairs for side in (pair.base, pair.other) for name in side) == (
        sorted(every)
    )
    for pair in pairs:
        without = [name.replace("-sdd1-", "-") for name in pair.other]
        assert list(pair.base) == without, "alike in all but the weight"
    schedules = "[[compare]]\nbase = { epochs = 7 }\nothers = [{ epochs = 12 }]\n"
    pairs = record_of(read_study(study_file(text + schedules))).pairs
    assert [[name[:23] for name in (pair.base[0], pair.other[0])] for pair in pairs] == [
        ["coco-fasterrcnn-7epochs", "coco-fasterrcnn-12epoch"]
    ] * 2
    backbones = '[[compare]]\nbase = { backbone = "a" }\nothers = [{ backbone = "b" }]\n'
    theirs = 'checkpoints = ["a", "b"]\n[[train-detector]]\n'
    (pair,) = record_of(read_study(study_file(theirs + DETECTION + backbones))).pairs
    assert (pair.base, pair.other) == (
        ("coco-fasterrcnn-12epochs-a",),
        ("coco-fasterrcnn-12epochs-b",),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base = { epochs = 7 }\nothers = [{ epochs = 13 }]", "line 19: no training with epochs ="),
        ('base = { min_sise = 7 }\nothers = []', "'min_sise'; did you mean 'min_size'"),
        ('base = { arch = "resnet18" }\nothers = [{ arch = "fasterrcnn_fpn:resnet18" }]',
         "no training with arch = 'fasterrcnn_fpn:resnet18' equals a training of base"),
    ],
)  # fmt: skip
def test_a_comparison_without_sides_is_refused_before_any_work(text, message, study_file, capsys):
    study_file(GRID + DETECTION + "[[compare]]\n" + text)
    for further in ((), ("--dry-run",)):
        assert exit_code(["batch", "study.toml", *further]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


@pytest.mark.usefixtures("backbone")
def test_detectors_are_compared_and_the_best_is_selected_by_map(here, study_file, capsys):
    compared = "[[compare]]\nbase = { lr = 0.01 }\nothers = [{ lr = 0.000001 }]\n"
    study_file(GRID_OF_LR + compared)
    code, message = batch(capsys)
    assert code == 0, message
    assert message.count("biased") == 2
    ((stored,), _) = load_comparisons(here / "reports/shapes")
    (pair,) = stored.pairs
    rows = {row.metric: row for row in pair.rows}
    assert rows["map"].difference == pytest.approx(rows["map"].other - rows["map"].base)
    assert rows["map"].family == "headline"
    assert "mAP ranks the detections of all images together" in rows["map"].test
    best = "0.01" if rows["map"].difference <= 0 else "1e-06"
    chosen = "fasterrcnn_fpn:backbone on shapes: best of 2 by mAP on the test images is lr"
    assert f"{chosen} {best} ({100 * max(rows['map'].base, rows['map'].other):.2f} %" in message


@pytest.mark.usefixtures("backbone")
def test_a_study_trains_and_evaluates_each_detector_once(here, study_file, capsys):
    study_file(STUDY)
    code, message = batch(capsys, "--dry-run")
    assert code == 0
    assert "2 jobs: 2 missing" in message
    code, message = batch(capsys)
    assert (code, "2 done" in message) == (0, True), message
    (path,) = store.run_paths(here / "reports" / "shapes")
    assert store.read_run(path).evaluator == "detection"
    code, message = batch(capsys, "--dry-run")
    assert "2 jobs: 2 done" in message
    code, message = batch(capsys)
    assert (code, "2 already done" in message) == (0, True), message


def test_an_interrupted_detector_training_resumes_to_the_same_weights(
    backbone, here, study_file, capsys, monkeypatch
):
    (work,) = read_study(study_file(STUDY)).detectors
    whole = train_detector(
        backbone, work.recipe, here, data_root=here / "data", name="whole", threads=1
    )
    broken = epochs._check_weights

    def interrupted(trained, epoch):
        if epoch == 1:
            raise KeyboardInterrupt
        broken(trained, epoch)

    monkeypatch.setattr(epochs, "_check_weights", interrupted)
    assert batch(capsys)[0] == 130
    monkeypatch.setattr(epochs, "_check_weights", broken)
    assert "1 interrupted, 1 missing" in batch(capsys, "--dry-run")[1]
    assert batch(capsys)[0] == 0
    card = read_card(here / "checkpoints" / work.name)
    assert card.weights_sha256 == whole.weights_sha256


@pytest.mark.usefixtures("backbone")
def test_a_failed_detector_skips_only_its_own_evaluation(study_file, capsys):
    study_file(STUDY.replace('dataset = "shapes"', 'dataset = ["coco", "shapes"]'))
    code, message = batch(capsys, "--dry-run")
    assert "coco is not on disk (sdd-eval data get coco)" in message
    assert "2 missing, 2 blocked" in message
    code, message = batch(capsys)
    assert code == 1
    assert "1 failed, 1 not run, 2 done" in message
    assert "coco was not found" in message.splitlines()[-2]


@pytest.mark.usefixtures("backbone")
def test_images_without_boxes_are_reported_before_training(study_file, capsys):
    digits = 'dataset = "digits"'
    for text in (STUDY.replace('dataset = "shapes"', digits), f"{STUDY}{digits}\n"):
        path, line = study_file(text), text.splitlines().index(digits) + 1
        assert exit_code(["batch", path.name, "--dry-run"]) == 2
        error = capsys.readouterr().err
        assert f"study.toml, line {line}: digits has no boxes of objects" in error


def test_a_detector_started_from_another_backbone_is_not_changed(
    backbone, here, study_file, capsys
):
    study_file(STUDY)
    assert batch(capsys)[0] == 0
    network = load(backbone)
    network.classifier.bias.add_(1)
    card = dataclasses.replace(read_card(backbone), weights_sha256=write_weights(backbone, network))
    store.write_record(backbone / "card.json", card)
    assert "was trained with another recipe" in batch(capsys, "--dry-run")[1]
    code, message = batch(capsys)
    assert code == 1
    assert "backbone_sha256 is" in message
