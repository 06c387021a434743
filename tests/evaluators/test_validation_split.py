"""Validation images held out of training choose temperatures and steps."""

import dataclasses
from functools import partial

import numpy as np
import pytest

from sdd_eval.checkpoints.checkpoint import load
from sdd_eval.comparison.matching import run_differences
from sdd_eval.data import catalogue
from sdd_eval.data.splits import validation_split
from sdd_eval.errors import InputError
from sdd_eval.evaluation import Request, evaluate_checkpoint
from sdd_eval.evaluators.accuracy import Accuracy
from sdd_eval.evaluators.adversarial.attack import Attack
from sdd_eval.evaluators.adversarial.fgsm import Fgsm
from sdd_eval.evaluators.calibration import Calibration
from sdd_eval.evaluators.evaluator import Intervals
from sdd_eval.evaluators.ood.detectors.odin import OdinGrid
from sdd_eval.evaluators.ood.ood import Odin, Ood
from sdd_eval.metrics.temperature import fit_temperature
from sdd_eval.records import Recipe
from sdd_eval.training.train import train

RECIPE = Recipe(
    dataset="digits",
    arch="small_cnn",
    standardisation="digits",
    augmentation="none",
    epochs=2,
    validation=200,
)
#: Few resamples: no test here is about intervals.
FEW = Intervals(resamples=20)
CALIBRATION = Calibration(intervals=FEW)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a folder of a checkpoint with 200 validation images, its card, and one without."""
    folder = tmp_path_factory.mktemp("checkpoints")
    cards = [
        train(recipe, folder, name=name, data_root=folder, device="cpu")
        for name, recipe in {
            "held": RECIPE,
            "plain": dataclasses.replace(RECIPE, validation=0, epochs=1),
        }.items()
    ]
    return folder, cards[0]


@pytest.fixture(scope="module")
def run_of(trained, tmp_path_factory):
    """Return the run of an evaluator; equal requests share one run."""
    folder, _ = trained
    study = tmp_path_factory.mktemp("reports") / "study"

    def evaluate(evaluator, name="held", dataset=None, study=study, **options):
        request = Request(evaluator, study, folder, dataset, **options)
        return evaluate_checkpoint(folder / name, request).run

    return evaluate


def values(run, metric, **at):
    return [m.value for m in run.measurements if m.metric == metric and at.items() <= m.at.items()]


def test_the_card_has_the_validation_accuracy_and_fewer_training_images(trained):
    folder, card = trained
    assert card.provenance.training_images == 800
    assert card.provenance.validation_images == 200
    training, held = validation_split(catalogue.load_images("digits", folder, "train"), 200, seed=0)
    assert card.provenance.data_fingerprint == training.fingerprint
    (pixels,) = held.batches(200)
    right = load(folder / "held")(pixels.float() / 255).argmax(1).numpy() == held.labels
    assert card.metrics["validation_accuracy"] == pytest.approx(right.mean())
    assert {"validation_ece", "validation_nll"} <= set(card.metrics)
    assert {len(set(np.bincount(held.labels)))} <= {1, 2}


def test_the_validation_images_are_a_data_set(trained, run_of):
    _, card = trained
    run = run_of(Accuracy(), dataset="digits-validation")
    assert (run.dataset, run.n) == ("digits_validation", 200)
    assert values(run, "accuracy") == [pytest.approx(card.metrics["validation_accuracy"])]


def test_a_checkpoint_without_validation_images_has_no_such_data_set(run_of):
    with pytest.raises(InputError, match=r"plain has no validation images: .*--validation"):
        run_of(Accuracy(), "plain", "digits_validation")


def test_the_temperature_is_fitted_on_the_validation_images(trained, run_of):
    folder, _ = trained
    run = run_of(CALIBRATION)
    logits = run_of(Accuracy(), dataset="digits_validation").arrays["logits"]
    _, held = validation_split(catalogue.load_images("digits", folder, "train"), 200, seed=0)
    expected = fit_temperature(logits, held.labels).value
    assert values(run, "temperature_fitted", temperature="validation") == [pytest.approx(expected)]
    assert values(run, "ece", temperature="validation")
    assert not values(run, "ece", temperature="cross-fitted")
    scaled = CALIBRATION.score(
        {"logits": run.arrays["logits"] / np.float64(expected), "labels": run.arrays["labels"]}
    )
    plain = next(m.value for m in scaled if m.metric == "ece" and not m.at.get("temperature"))
    assert values(run, "ece", temperature="validation") == [pytest.approx(plain)]


def test_a_limit_applies_to_the_test_images_only(run_of):
    limited = run_of(CALIBRATION, limit=50)
    assert limited.n == 50
    assert values(limited, "temperature_fitted") == values(
        run_of(CALIBRATION), "temperature_fitted"
    )


@pytest.mark.parametrize(
    ("name", "evaluator", "dataset"),
    [
        ("plain", CALIBRATION, None),
        ("held", Calibration(intervals=FEW, validation_set="none"), None),
        ("held", CALIBRATION, "digits_validation"),  # they would judge what is fitted on them
    ],
)
def test_without_validation_images_the_temperature_is_cross_fitted(
    name, evaluator, dataset, run_of
):
    run = run_of(evaluator, name, dataset)
    assert values(run, "ece", temperature="cross-fitted")
    assert not values(run, "ece", temperature="validation")


def test_other_validation_images_are_refused(run_of):
    with pytest.raises(InputError, match="--validation-set is 'svhn'; leave it out"):
        run_of(Calibration(intervals=FEW, validation_set="svhn"))


def test_a_detector_is_fitted_on_the_images_of_the_training(trained, run_of):
    _, card = trained
    run = run_of(Ood(("mahalanobis",), ("uniform",), intervals=FEW))
    fitted = run.provenance.data["digits training"]
    assert fitted.images == 800
    assert fitted.fingerprint == card.provenance.data_fingerprint


def test_training_images_changed_since_the_training_are_refused(run_of, monkeypatch, tmp_path):
    load = catalogue.Dataset.images

    def changed(self, split="test", **shape):
        images = load(self, split, **shape)
        return dataclasses.replace(images, fingerprint="0" * 64) if split == "train" else images

    monkeypatch.setattr(catalogue.Dataset, "images", changed)
    with pytest.raises(InputError, match="so its validation images are unknown"):
        run_of(Accuracy(), dataset="digits_validation", study=tmp_path)


def test_more_validation_than_training_images_are_refused(tmp_path):
    recipe = dataclasses.replace(RECIPE, validation=1000)
    with pytest.raises(InputError, match="validation is 1000, but digits has 1000 training images"):
        train(recipe, tmp_path, data_root=tmp_path, device="cpu")


@pytest.mark.parametrize(
    ("evaluator", "metric"),
    [
        (Fgsm(variants=("pixel",), curve=()), "fgsm_accuracy"),
        (Attack(algorithm="FGSM", eps="2/255"), "attack_accuracy"),
        (Attack(audit=True, steps=1, restarts=1, parameters=("n_queries=1",)), "audit_worst_case"),
    ],
)
def test_the_temperature_of_an_attack_is_fitted_on_the_validation_images(evaluator, metric, run_of):
    expected = values(run_of(CALIBRATION), "temperature_fitted")
    run = run_of(evaluator, limit=20)
    assert [run.arrays.facts["temperature"]] == expected
    protocols = [
        m.protocol.text
        for m in run.measurements
        if m.metric == metric and m.at["temperature"] == "fitted"
    ]
    assert protocols
    assert all("on validation images held out of training" in protocol for protocol in protocols)
    plain = run_of(dataclasses.replace(evaluator, validation_set="none"), limit=20)
    assert [plain.arrays.facts["temperature"]] != expected
    assert plain.data_fingerprint == run.data_fingerprint


@pytest.mark.parametrize("kind", [Odin, partial(Ood, ("msp",))], ids=["odin", "ood"])
def test_odins_step_has_the_largest_mean_score_of_the_validation_images(kind, run_of):
    run = run_of(kind(outliers=("uniform", "gaussian"), grid=True, intervals=FEW), limit=60)
    on_uniform = Odin(outliers=("uniform",), grid=True, intervals=FEW)
    on_held = run_of(on_uniform, dataset="digits_validation", limit=60)
    at_1000 = [i for i, (t, _) in enumerate(OdinGrid().cells) if t == 1000]
    means = on_held.arrays.where(detector="odin_grid")["scores"][:, at_1000].mean(axis=0)
    np.testing.assert_allclose(run.arrays["validation_scores"].mean(axis=0), means)
    _, epsilon = OdinGrid().cells[at_1000[int(means.argmax())]]
    for outliers in ("uniform", "gaussian", "average"):
        (auroc,) = values(run, "auroc", grid="validation", outliers=outliers)
        at = {"grid": "cell", "temperature": 1000.0, "epsilon": epsilon, "outliers": outliers}
        assert values(run, "auroc", **at) == [auroc]
    (validated,) = [
        m
        for m in run.measurements
        if (m.metric, m.at.get("grid"), m.at["outliers"]) == ("auroc", "validation", "uniform")
    ]
    chosen = "ε, fitted: the step whose mean score of the validation images"
    assert chosen in validated.protocol["cell"]
    assert validated.fitted == {"T": "1000", "ε": f"{epsilon:g}"}
    assert not values(on_held, "auroc", grid="validation")  # they would judge what they choose
    without_grid = run_of(kind(outliers=("uniform",), intervals=FEW), limit=60)
    assert not values(without_grid, "auroc", grid="validation")


def test_seeds_with_other_validation_images_are_comparable(trained, run_of):
    folder, _ = trained
    train(dataclasses.replace(RECIPE, seed=1), folder, name="other", data_root=folder, device="cpu")
    for evaluator in (CALIBRATION, Ood(("mahalanobis",), ("uniform",), intervals=FEW)):
        one, other = run_of(evaluator), run_of(evaluator, "other")
        assert one.provenance.data != other.provenance.data
        assert one.data_fingerprint == other.data_fingerprint
        assert run_differences(one, other) == []
