"""`--validation`: what is held out of training chooses, and is never trained on."""

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
from sdd_eval.evaluators.ood.detectors.odin import OdinGrid
from sdd_eval.evaluators.ood.odin import Odin
from sdd_eval.evaluators.ood.ood import Ood
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


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder of checkpoints with the card of one that held 200 digits out, and of one of none."""
    folder = tmp_path_factory.mktemp("checkpoints")
    cards = [
        train(recipe, folder, name=name, data_root=folder, device="cpu")
        for name, recipe in {
            "held": RECIPE,
            "plain": dataclasses.replace(RECIPE, validation=0, epochs=1),
        }.items()
    ]
    return folder, cards[0]


@pytest.fixture
def ask(trained, tmp_path):
    folder, _ = trained

    def asked(evaluator, name="held", dataset=None, **options):
        request = Request(evaluator, tmp_path / "study", folder, dataset, **options)
        return evaluate_checkpoint(folder / name, request).run

    return asked


def values(run, metric, **at):
    return [m.value for m in run.measurements if m.metric == metric and at.items() <= m.at.items()]


def test_the_card_has_the_validation_accuracy_and_fewer_training_images(trained):
    folder, card = trained
    assert card.provenance["training_images"] == 800
    assert card.provenance["validation_images"] == 200
    kept, held = validation_split(catalogue.load_images("digits", folder, "train"), 200, seed=0)
    assert card.provenance["data_fingerprint"] == kept.fingerprint
    (pixels,) = held.batches(200)
    right = load(folder / "held")(pixels.float() / 255).argmax(1).numpy() == held.labels
    assert card.metrics["validation_accuracy"] == pytest.approx(right.mean())
    assert {"validation_ece", "validation_nll"} <= set(card.metrics)
    assert {len(set(np.bincount(held.labels)))} <= {1, 2}


def test_the_held_out_images_are_a_data_set_of_their_own(trained, ask):
    _, card = trained
    run = ask(Accuracy(), dataset="digits-validation")
    assert (run.dataset, run.n) == ("digits_validation", 200)
    assert values(run, "accuracy") == [pytest.approx(card.metrics["validation_accuracy"])]


def test_a_checkpoint_that_held_nothing_out_has_no_such_set(ask):
    with pytest.raises(InputError, match=r"plain has no validation images: .*--validation"):
        ask(Accuracy(), "plain", "digits_validation")


def test_the_temperature_is_fitted_on_the_held_out_images(trained, ask):
    folder, _ = trained
    run = ask(Calibration())
    logits = ask(Accuracy(), dataset="digits_validation").arrays["logits"]
    _, held = validation_split(catalogue.load_images("digits", folder, "train"), 200, seed=0)
    expected = fit_temperature(logits, held.labels).value
    assert values(run, "temperature_fitted", temperature="validation") == [pytest.approx(expected)]
    assert values(run, "ece", temperature="validation")
    assert not values(run, "ece", temperature="cross-fitted")
    scaled = Calibration().score(
        {"logits": run.arrays["logits"] / np.float64(expected), "labels": run.arrays["labels"]}
    )
    plain = next(m.value for m in scaled if m.metric == "ece" and not m.at.get("temperature"))
    assert values(run, "ece", temperature="validation") == [pytest.approx(plain)]


def test_a_limit_cuts_the_test_images_and_not_the_held_out_ones(ask):
    limited = ask(Calibration(), limit=50)
    assert limited.n == 50
    assert values(limited, "temperature_fitted") == values(ask(Calibration()), "temperature_fitted")


@pytest.mark.parametrize(
    ("name", "evaluator", "dataset"),
    [
        ("plain", Calibration(), None),
        ("held", Calibration(validation_set="none"), None),
        ("held", Calibration(), "digits_validation"),  # they would judge what is fitted on them
    ],
)
def test_else_the_temperature_is_fitted_crosswise(name, evaluator, dataset, ask):
    run = ask(evaluator, name, dataset)
    assert values(run, "ece", temperature="cross-fitted")
    assert not values(run, "ece", temperature="validation")


def test_other_held_out_images_cannot_be_named(ask):
    with pytest.raises(InputError, match="--validation-set is 'svhn'; leave it out"):
        ask(Calibration(validation_set="svhn"))


def test_a_detector_is_fitted_on_what_was_trained_on(trained, ask):
    _, card = trained
    run = ask(Ood(("mahalanobis",), ("uniform",)))
    fitted = run.provenance["data"]["digits training"]
    assert fitted["images"] == 800
    assert fitted["fingerprint"] == card.provenance["data_fingerprint"]


def test_training_images_that_have_changed_since_are_refused(trained, ask, monkeypatch):
    load_images = catalogue.load_images

    def changed(name, root=None, split="test", **shape):
        images = load_images(name, root, split, **shape)
        return dataclasses.replace(images, fingerprint="0" * 64) if split == "train" else images

    monkeypatch.setattr(catalogue, "load_images", changed)
    with pytest.raises(InputError, match="so its validation images are unknown"):
        ask(Accuracy(), dataset="digits_validation")


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
def test_an_attack_s_temperature_is_fitted_on_them_too(evaluator, metric, ask):
    expected = values(ask(Calibration()), "temperature_fitted")
    run = ask(evaluator, limit=20)
    assert set(run.arrays["temperature"]) == set(expected)
    told = [
        m.protocol
        for m in run.measurements
        if m.metric == metric and m.at["temperature"] == "fitted"
    ]
    assert told
    assert all("on validation images held out of training" in each for each in told)
    plain = ask(dataclasses.replace(evaluator, validation_set="none"), limit=20)
    assert set(plain.arrays["temperature"]) != set(expected)
    assert plain.data_fingerprint == run.data_fingerprint


@pytest.mark.parametrize("kind", [Odin, partial(Ood, ("msp",))])
def test_odins_step_is_chosen_by_the_mean_score_of_the_held_out_images(kind, ask):
    run = ask(kind(outliers=("uniform", "gaussian"), grid=True), limit=60)
    on_held = ask(Odin(outliers=("uniform",), grid=True), dataset="digits_validation", limit=60)
    at_1000 = [i for i, (t, _) in enumerate(OdinGrid().cells) if t == 1000]
    means = on_held.arrays["grid"][:, at_1000].mean(axis=0)
    np.testing.assert_allclose(run.arrays["held_out"].mean(axis=0), means)
    _, epsilon = OdinGrid().cells[at_1000[int(means.argmax())]]
    for outliers in ("uniform", "gaussian", "average"):
        (found,) = values(run, "auroc", grid="validation", outliers=outliers)
        at = {"grid": "cell", "temperature": 1000.0, "epsilon": epsilon, "outliers": outliers}
        assert values(run, "auroc", **at) == [found]
    (told,) = [
        m.protocol
        for m in run.measurements
        if (m.metric, m.at.get("grid"), m.at["outliers"]) == ("auroc", "validation", "uniform")
    ]
    assert f"ε = {epsilon:g}, fitted: the step whose mean score of the validation images" in told
    assert not values(on_held, "auroc", grid="validation")  # they would judge what they choose
    assert not values(ask(kind(outliers=("uniform",)), limit=60), "auroc", grid="validation")


def test_seeds_that_held_other_images_out_are_judged_by_the_same(trained, ask):
    folder, _ = trained
    train(dataclasses.replace(RECIPE, seed=1), folder, name="other", data_root=folder, device="cpu")
    for evaluator in (Calibration(), Ood(("mahalanobis",), ("uniform",))):
        one, other = ask(evaluator), ask(evaluator, "other")
        assert one.provenance["data"] != other.provenance["data"]
        assert one.data_fingerprint == other.data_fingerprint
        assert run_differences(one, other) == []
