"""Pictures: which images evaluators store, and that no number depends on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from sdd_eval.arrays import Array, Arrays
from sdd_eval.data.corruption.generated import GeneratedCorruptions
from sdd_eval.evaluators.accuracy import Accuracy
from sdd_eval.evaluators.adversarial.attack import Attack
from sdd_eval.evaluators.adversarial.fgsm import Fgsm
from sdd_eval.evaluators.calibration import Calibration
from sdd_eval.evaluators.corruption.corruption import Corruption
from sdd_eval.evaluators.evaluator import score
from sdd_eval.evaluators.ood.ood import Ood
from sdd_eval.evaluators.pictures import MISTAKES, OUTLIERS, SIDE, accepted, stored_pictures
from sdd_eval.metrics.classification import confidence_and_correct


@pytest.fixture
def subject(network: Any, subject_of: Any, images_of: Any) -> Any:
    """Return a function that makes a subject of 60 images, with an OOD set and corruptions."""

    def make(images: Any = None, **fields: Any) -> Any:
        images = images_of(60) if images is None else images
        sets = {"far": images_of(40, classes=0, seed=5, name="far")}
        sets["noise_c"] = GeneratedCorruptions(images)
        return subject_of(network(), images, sets=sets, **{"pictures": True, **fields})

    return make


def pixels_of(picture: Any) -> Any:
    return picture.pixels.transpose(2, 0, 1).astype(int)


@pytest.mark.parametrize("evaluator", [Accuracy(), Calibration()])
def test_the_most_confident_mistakes_are_shown_surest_first(subject: Any, evaluator: Any) -> None:
    one = subject(batch_size=7)
    arrays = evaluator.collect(one)
    confidence, correct = confidence_and_correct(arrays["logits"], arrays["labels"])
    wrong = np.flatnonzero(~correct)
    expected = sorted(wrong, key=lambda row: -confidence[row])[:MISTAKES]
    shown = [*stored_pictures(arrays, "mistakes")]
    assert len(shown) == MISTAKES < len(wrong)
    assert [picture.row for picture in shown] == expected
    for picture, row in zip(shown, expected, strict=True):
        assert np.array_equal(pixels_of(picture), one.data.images[row])
        assert (picture.label, picture.predicted) == (
            one.data.labels[row],
            arrays["logits"][row].argmax(),
        )
        assert picture.confidence == pytest.approx(confidence[row], rel=1e-5)


def test_rows_of_a_subset_are_those_of_the_whole_set(subject: Any) -> None:
    one = subject(limit=20)
    shown = [*stored_pictures(Accuracy().collect(one), "mistakes")]
    assert {picture.row for picture in shown} <= set(one.indices().tolist())
    for picture in shown:
        assert np.array_equal(pixels_of(picture), one.data.images[picture.row])


def test_large_images_are_reduced_to_their_means(subject_of: Any, images_of: Any) -> None:
    class Mean(torch.nn.Module):
        def forward(self, pixels: Any) -> Any:
            return pixels.mean(dim=(2, 3)) @ torch.ones(3, 4)

    data = images_of(4, side=2 * SIDE)
    shown = [
        *stored_pictures(Accuracy().collect(subject_of(Mean(), data, pictures=True)), "mistakes")
    ]
    assert shown
    for picture in shown:
        blocks = data.images[picture.row].reshape(3, SIDE, 2, SIDE, 2).mean(axis=(2, 4))
        assert np.abs(pixels_of(picture) - blocks).max() <= 0.51


def test_outliers_are_shown_that_reach_the_threshold_of_the_first_detector(subject: Any) -> None:
    arrays = Ood(("energy", "msp"), ("far",)).collect(subject())
    inside, outside = (
        of.where(detector="energy")["scores"] for of in (arrays, arrays.where(outliers="far"))
    )
    threshold = np.sort(inside)[int(0.05 * len(inside))]
    assert (inside >= threshold).mean() >= 0.95
    expected = [row for row in np.argsort(-outside) if outside[row] >= threshold][:OUTLIERS]
    shown = [*stored_pictures(arrays, "outliers")]
    assert [picture.row for picture in shown] == expected
    assert {(picture.condition, picture.label) for picture in shown} == {("far", None)}


def test_a_set_of_which_nothing_is_accepted_has_no_pictures(subject: Any) -> None:
    one = subject()
    assert not accepted(one, "far", np.zeros(40), np.ones(60))
    assert len([*stored_pictures(accepted(one, "far", np.ones(40), np.ones(60)), "outliers")]) == 6


def test_one_image_is_shown_under_each_corruption(subject: Any) -> None:
    one = subject()
    arrays = Corruption("noise_c", ("contrast", "brightness")).collect(one)
    shown = [*stored_pictures(arrays, "corruption")]
    assert [picture.condition for picture in shown] == ["clean", "contrast", "brightness"]
    assert {picture.row for picture in shown} == {0}
    assert np.array_equal(pixels_of(shown[0]), one.data.images[0])
    cell = one.sets["noise_c"].cell("contrast", 3)
    assert np.array_equal(pixels_of(shown[1]), next(cell.batches(1))[0].numpy())


def test_one_image_is_shown_under_each_variant_of_fgsm(subject: Any) -> None:
    one = subject()
    arrays = Fgsm(epsilon=0.1, curve=(0.2,)).collect(one)
    clean, *attacked = stored_pictures(arrays, "attack")
    assert clean.condition == "clean"
    assert [picture.condition for picture in attacked] == [
        "FGSM ε 0.1, authors",
        "FGSM ε 0.1, standardised",
        "FGSM ε 0.1, pixel",
    ]
    change = np.abs(pixels_of(attacked[2]) - pixels_of(clean)) / 255
    assert 0.09 < change.max() <= 0.1 + 0.5 / 255
    predicted = arrays.where(variant="pixel", gradient="stable", temperature=1.0)["predicted"]
    assert attacked[2].predicted == predicted[0, 0]


@pytest.mark.parametrize(
    ("attack", "names"),
    [
        (Attack("PGD", eps="8/255", steps=2), ["clean", "PGD ε 8/255"]),
        (
            Attack(audit=True, steps=1, restarts=1, parameters=("n_queries=1",)),
            ["clean", "FGSM ε 8/255", "PGD ε 8/255"],
        ),
    ],
)
def test_one_image_is_shown_under_attacks(subject: Any, attack: Any, names: list[str]) -> None:
    state = torch.get_rng_state()
    shown = [*stored_pictures(attack.collect(subject(limit=4)), "attack")]
    assert [picture.condition for picture in shown] == names
    assert torch.equal(state, torch.get_rng_state())
    for picture in shown[1:]:
        change = np.abs(pixels_of(picture) - pixels_of(shown[0]))
        assert 1 <= change.max() <= 8


@pytest.mark.parametrize(
    "evaluator",
    [
        Accuracy(),
        Calibration(),
        Ood(("odin", "msp"), ("far",)),
        Corruption("noise_c", ("contrast",)),
        Fgsm(),
        Attack("PGD", steps=2),
    ],
    ids=lambda one: one.name,
)
def test_no_number_depends_on_pictures_which_are_stored_only_on_request(
    subject: Any, evaluator: Any
) -> None:
    with_them, without = (evaluator.collect(subject(pictures=p)) for p in (True, False))
    assert score(evaluator, Arrays.of(with_them)) == score(evaluator, Arrays.of(without))
    names = [{entry.name for entry in of.entries} for of in (with_them, without)]
    assert {name for name in names[0] - names[1] if not name.startswith("picture")} == set()
    assert "pictures" in names[0]
    assert "pictures" not in names[1]


@pytest.mark.parametrize(
    "damage",
    [
        {"pictures": np.zeros((1, 4, 4, 2), np.uint8)},
        {"pictures": np.zeros((1, 4, 4, 3))},
        {"pictures": np.zeros((1, SIDE + 1, 4, 3), np.uint8)},
        {"pictures": np.zeros((2, 4, 4, 3), np.uint8)},
        {"picture_labels": None},
    ],
)
def test_damaged_pictures_are_left_out(subject: Any, damage: dict[str, Any]) -> None:
    arrays = Fgsm(curve=()).collect(subject())
    assert len([*stored_pictures(arrays, "attack")]) == 4
    changed = [
        Array(entry.name, damage.get(entry.name, entry.values), (), entry.at)
        for entry in arrays.entries
        if damage.get(entry.name, ()) is not None
    ]
    assert not [*stored_pictures(Arrays(changed), "attack")]
