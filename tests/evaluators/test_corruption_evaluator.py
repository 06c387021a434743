"""Accuracy under corruption: cells, means, and what a mean is called."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from sdd_eval.corruptions import FIFTEEN, NINETEEN
from sdd_eval.data.images import ArrayImages
from sdd_eval.errors import InputError
from sdd_eval.evaluators.accuracy import Accuracy
from sdd_eval.evaluators.corruption import Corruption


@dataclass(frozen=True)
class Darkened:
    """A corrupted set whose every corruption takes light away, more with each severity."""

    clean: ArrayImages
    corruptions: tuple[str, ...] = FIFTEEN
    frost: str = "official"
    origin: str = "official"
    name: str = "noise_c"
    fingerprint: str = "made"

    def cell(self, corruption, severity):
        strength = severity * (1 + NINETEEN.index(corruption)) // 2
        darker = np.maximum(self.clean.images.astype(int) - 4 * strength, 0).astype(np.uint8)
        return replace(self.clean, images=darker, _on_device={}, name=f"{corruption}{severity}")


@pytest.fixture
def subject(network, subject_of, images_of):
    def make(limit=None, progress=None, **settings):
        clean = images_of(40)
        sets = {"noise_c": Darkened(clean, **settings)}
        more = {"progress": progress} if progress else {}
        return subject_of(network(), clean, sets=sets, limit=limit, batch_size=16, **more)

    return make


def measured(subject, **settings):
    evaluator = Corruption("noise_c", **settings)
    return evaluator.score(evaluator.collect(subject))


def names(measurements):
    return {each.metric for each in measurements} - {"accuracy"}


def test_a_cell_has_the_accuracy_of_the_network_on_its_images(subject, subject_of, value_of):
    whole = subject()
    found = measured(whole)
    cell = whole.corrupted("noise_c").cell("fog", 4)
    plain = Accuracy().score(Accuracy().collect(subject_of(whole.model, cell)))
    expected = value_of(plain, "accuracy")
    assert value_of(found, "accuracy", corruption="fog", severity=4) == expected


def test_the_means_are_those_of_the_cells(subject, value_of):
    found = measured(subject())
    cells = {
        (each.at["corruption"], each.at["severity"]): each.value
        for each in found
        if "severity" in each.at
    }
    assert len(cells) == 75
    assert len(set(cells.values())) > 5
    (of_fog,) = [each.value for each in found if dict(each.at) == {"corruption": "fog"}]
    assert of_fog == pytest.approx(np.mean([cells["fog", s] for s in (1, 2, 3, 4, 5)]))
    assert value_of(found, "mca") == pytest.approx(np.mean(list(cells.values())))


@pytest.mark.parametrize(
    ("frost", "fifteen", "nineteen"),
    [
        ("official", "mca", "mca_19"),
        ("synthetic", "mca_15_synthetic_frost", "mca_19_synthetic_frost"),
        ("photographs", "mca_15_photographed_frost", "mca_19_photographed_frost"),
        ("unknown", "mca_15_unknown_frost", "mca_19_unknown_frost"),
    ],
)
def test_a_mean_is_named_by_its_frost_and_over_nineteen_only_where_there_are_nineteen(
    frost, fifteen, nineteen, subject
):
    assert names(measured(subject(frost=frost))) == {fifteen}
    assert names(measured(subject(frost=frost, corruptions=NINETEEN))) == {fifteen, nineteen}


def test_without_one_corruption_the_rest_is_measured_and_no_mean(subject):
    found = measured(subject(corruptions=FIFTEEN[:-1]))
    assert names(found) == set()
    assert len({each.at["corruption"] for each in found}) == 14


def test_only_the_corruptions_that_are_asked_for_are_looked_at(subject, listener):
    found = measured(subject(progress=listener), corruptions=("snow", "fog"))
    assert {each.at["corruption"] for each in found} == {"snow", "fog"}
    assert listener.pieces == [["noise_c", 400, 400]]


def test_the_arrays_have_images_first_and_say_where_the_set_is_from(subject):
    arrays = Corruption("noise_c").collect(subject(frost="synthetic", origin="regenerated"))
    assert arrays["correct_fog"].shape == (40, 5)
    assert arrays["correct_fog"].dtype == bool
    assert {len(array) for array in arrays.values()} == {40}
    found = Corruption("noise_c").score(arrays)
    assert all("regenerated" in each.protocol for each in found)
    for each in found:
        about_frost = each.at.get("corruption", "frost") == "frost"
        assert ("synthetic frost" in each.protocol) == about_frost


def test_a_limit_looks_at_the_same_images_in_every_cell(subject):
    whole, part = subject(), subject(limit=12)
    everything = Corruption("noise_c").collect(whole)
    some = Corruption("noise_c").collect(part)
    for corruption in FIFTEEN:
        name = f"correct_{corruption}"
        np.testing.assert_array_equal(some[name], everything[name][part.indices()])


def test_what_does_not_fit_the_test_set_is_refused(subject, subject_of, images_of, network):
    with pytest.raises(InputError, match="did you mean 'fog'"):
        measured(subject(), corruptions=("fogg",))
    with pytest.raises(InputError, match="noise_c has no corruption"):
        measured(subject(corruptions=()))
    with pytest.raises(InputError, match="kind of frost 'none'"):
        measured(subject(frost="none"))
    other = {"noise_c": Darkened(images_of(30))}
    with pytest.raises(InputError, match="has 30 images, noise has 40"):
        measured(subject_of(network(), images_of(40), sets=other))
    relabelled = images_of(40)
    shifted = replace(relabelled, labels=(relabelled.labels + 1) % 4, _on_device={})
    with pytest.raises(InputError, match="labels of gaussian_noise1 are not those of noise"):
        measured(subject_of(network(), images_of(40), sets={"noise_c": Darkened(shifted)}))
