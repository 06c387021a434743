"""Accuracy and ECE under corruption: cells, means, names of means, and missing cells."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch

from sdd_eval.arrays import Arrays
from sdd_eval.data.images import ArrayImages
from sdd_eval.errors import InputError
from sdd_eval.evaluators.accuracy import Accuracy
from sdd_eval.evaluators.calibration import Calibration
from sdd_eval.evaluators.corruption.corruption import Corruption
from sdd_eval.metrics.corruption import FIFTEEN, NINETEEN
from sdd_eval.statistics.closed_form import binned
from sdd_eval.statistics.closed_form.share import wilson


@dataclass(frozen=True)
class Darkened:
    """A corrupted set whose corruptions darken the images, more with each severity."""

    clean: ArrayImages
    corruptions: tuple[str, ...] = FIFTEEN
    frost: str = "official"
    provenance: str = "official"
    name: str = "noise_c"
    fingerprint: str = "made"
    unreadable: tuple[tuple[str, int], ...] = ()
    broken: dict[str, str] = field(default_factory=dict)

    def cell(self, corruption, severity):
        if corruption not in self.corruptions:
            raise InputError(self.broken.get(corruption, f"{corruption}.npy is not there"))
        if (corruption, severity) in self.unreadable:
            raise InputError(f"row {severity} of {corruption}.npy cannot be read")
        strength = severity * (1 + NINETEEN.index(corruption)) // 2
        darker = np.maximum(self.clean.images.astype(int) - 4 * strength, 0).astype(np.uint8)
        return replace(self.clean, images=darker, _on_device={}, name=f"{corruption}{severity}")


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    """Draw 200 resamples for each interval of a calibration error."""
    monkeypatch.setattr(binned, "DRAWS", 200)


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
    return {measurement.metric for measurement in measurements} - {"accuracy", "ece", "missing"}


def missing(measurements):
    """Return why severities of a corruption are missing, and their number."""
    measurements = [measurement for measurement in measurements if measurement.metric == "missing"]
    return {
        measurement.at["corruption"]: (measurement.value, measurement.protocol.text)
        for measurement in measurements
    }


def test_a_cell_has_the_accuracy_of_the_network_on_its_images(subject, subject_of, value_of):
    whole = subject()
    measurements = measured(whole)
    cell = whole.corrupted("noise_c").cell("fog", 4)
    plain = Accuracy().score(Accuracy().collect(subject_of(whole.model, cell)))
    expected = value_of(plain, "accuracy")
    assert value_of(measurements, "accuracy", corruption="fog", severity=4) == expected


def test_the_means_are_those_of_the_cells(subject, value_of):
    measurements = measured(subject())
    for metric, bins in (("accuracy", {}), ("ece", {"bins": 10})):
        cells = {
            (measurement.at["corruption"], measurement.at["severity"]): measurement.value
            for measurement in measurements
            if measurement.metric == metric and measurement.at.get("corruption") in FIFTEEN
            if "severity" in measurement.at
        }
        assert len(cells) == 75
        assert len(set(cells.values())) > 5
        (of_fog,) = [m.value for m in measurements if dict(m.at) == {"corruption": "fog", **bins}]
        assert of_fog == pytest.approx(np.mean([cells["fog", s] for s in (1, 2, 3, 4, 5)]))
        if metric == "accuracy":
            assert value_of(measurements, "mca") == pytest.approx(np.mean(list(cells.values())))
            continue
        means = {
            m.at.get("severity"): m.value
            for m in measurements
            if "mean" in m.at.get("corruption", "")
        }
        assert means.pop(None) == pytest.approx(np.mean(list(cells.values())))
        for severity in (1, 2, 3, 4, 5):
            over = [cells[name, severity] for name in FIFTEEN]
            assert means.pop(severity) == pytest.approx(np.mean(over))
        assert not means


def test_a_cell_has_the_calibration_error_of_the_network_on_its_images(
    subject, subject_of, value_of
):
    whole = subject()
    measurements = measured(whole, bins=7)
    cell = whole.corrupted("noise_c").cell("fog", 4)
    plain = Calibration(bins=7)
    expected = value_of(plain.score(plain.collect(subject_of(whole.model, cell)))[:12], "ece")
    ours = value_of(measurements, "ece", corruption="fog", severity=4, bins=7)
    assert ours == pytest.approx(expected, abs=1e-7)


def test_cells_have_wilson_intervals_and_means_resample_images_with_all_renderings(subject):
    whole = subject()
    arrays = Corruption("noise_c").collect(whole)
    measurements = Corruption("noise_c").score(arrays)
    by_place = {(m.metric, m.at.get("corruption"), m.at.get("severity")): m for m in measurements}
    cell = by_place["accuracy", "fog", 2]
    correct = arrays.along("correct", "corruption")
    of_fog = correct["fog"]
    assert (cell.low, cell.high) == tuple(map(float, wilson(of_fog[:, 1].mean(), 40)))
    assert cell.level == 0.95
    assert "Wilson" in cell.interval
    # The standard error of a mean over renderings of 40 images, of which some share their fate.
    for folder, table in (
        (("accuracy", "fog", None), of_fog),
        (("mca", None, None), np.concatenate([correct[n] for n in FIFTEEN], axis=1)),
    ):
        mean = by_place[folder]
        half = 1.96 * table.mean(axis=1).std() / np.sqrt(40)
        assert mean.high - mean.low == pytest.approx(2 * half, rel=0.1)
        assert mean.low < mean.value < mean.high
        assert "same network, new images" in mean.interval
        assert "all its renderings" in mean.interval


@pytest.mark.parametrize(
    ("frost", "fifteen", "nineteen"),
    [
        ("official", "mca", "mca_19"),
        ("synthetic", "mca_15_synthetic_frost", "mca_19_synthetic_frost"),
        ("photographs", "mca_15_photographed_frost", "mca_19_photographed_frost"),
        ("unknown", "mca_15_unknown_frost", "mca_19_unknown_frost"),
    ],
)
def test_the_name_of_a_mean_has_its_frost_and_its_number_of_corruptions(
    frost, fifteen, nineteen, subject
):
    assert names(measured(subject(frost=frost))) == {fifteen}
    assert names(measured(subject(frost=frost, corruptions=NINETEEN))) == {fifteen, nineteen}


def test_without_one_corruption_the_others_are_measured_but_no_mean(subject):
    whole = measured(subject())
    measurements = measured(subject(corruptions=FIFTEEN[:-1]))
    assert names(measurements) == set()
    lost = FIFTEEN[-1]
    expected = [m for m in whole if m.at.get("corruption") in FIFTEEN[:-1]]
    assert [
        measurement for measurement in measurements if measurement.metric != "missing"
    ] == expected
    assert missing(measurements).keys() == {lost}
    count, why = missing(measurements)[lost]
    assert count == 5
    assert f"{lost}.npy is not there" in why
    assert "no mean over 15 corruptions or 19 corruptions" in why


def test_an_unreadable_cell_omits_only_the_means_that_include_it(subject):
    measurements = measured(subject(unreadable=(("fog", 2), ("fog", 4)), corruptions=NINETEEN))
    assert names(measurements) == set()
    assert missing(measurements).keys() == {"fog"}
    count, why = missing(measurements)["fog"]
    assert count == 2
    assert "2, 4; row 2 of fog.npy cannot be read; row 4" in why
    for metric in ("accuracy", "ece"):
        of_fog = [m for m in measurements if m.metric == metric and m.at["corruption"] == "fog"]
        assert [m.at.get("severity") for m in of_fog] == [1, 3, 5]
    means = [m for m in measurements if m.at["corruption"] == "mean of 15"]
    assert [m.at.get("severity") for m in means] == [1, 3, 5]


def test_a_broken_extra_corruption_is_named_and_omits_only_the_mean_over_nineteen(subject):
    corruptions_left = tuple(name for name in NINETEEN if name != "spatter")
    broken = {"spatter": "spatter.npy is cut short", "labels": "labels.npy is not there"}
    measurements = measured(subject(corruptions=corruptions_left, broken=broken))
    assert names(measurements) == {"mca"}
    assert missing(measurements).keys() == {"spatter"}
    assert "cut short; so there is no mean over 19" in missing(measurements)["spatter"][1]


def test_cells_of_other_images_are_missing_and_a_set_of_only_such_cells_is_refused(
    subject, subject_of, images_of, network
):
    @dataclass(frozen=True)
    class OneIsOfOthers(Darkened):
        def cell(self, corruption, severity):
            measurements = super().cell(corruption, severity)
            if corruption == "fog":
                return replace(measurements, labels=(measurements.labels + 1) % 4, _on_device={})
            return measurements

    clean = images_of(40)
    whole = subject_of(network(), clean, sets={"noise_c": OneIsOfOthers(clean)})
    measurements = measured(whole)
    assert missing(measurements).keys() == {"fog"}
    assert "the labels of fog1 are not those of noise" in missing(measurements)["fog"][1]


def test_nan_logits_are_an_error_and_not_a_missing_cell(subject, network):
    class Broken(torch.nn.Module):
        """A network that fails on dark images."""

        def __init__(self, inner, value):
            super().__init__()
            self.inner, self.value = inner, value

        def forward(self, pixels):
            dark = pixels.flatten(1).mean(dim=1, keepdim=True) < 0.3
            wrong = torch.tensor([self.value, 0, 0, 0])
            return torch.where(dark, wrong, self.inner(pixels))

    for value in (float("nan"), float("-inf")):
        whole = subject()
        broken = replace(whole, model=Broken(whole.model, value))
        with pytest.raises(InputError, match=r"the logits of \d+ of 40 images are NaN or infinite"):
            measured(broken)


def test_only_the_requested_corruptions_are_evaluated(subject, listener):
    measurements = measured(subject(progress=listener), corruptions=("snow", "fog"))
    assert {measurement.at["corruption"] for measurement in measurements} == {"snow", "fog"}
    assert listener.pieces == [["noise", 40, 40], ["noise_c", 400, 400]]


def test_arrays_have_images_first_and_record_the_origin_of_the_set(subject):
    arrays = Corruption("noise_c").collect(subject(frost="synthetic", provenance="regenerated"))
    fog = arrays.where(corruption="fog")
    assert (fog["correct"].shape, fog["correct"].dtype) == ((40, 5), bool)
    assert (fog["confidence"].shape, fog["confidence"].dtype) == ((40, 5), np.float32)
    assert {len(entry.read()) for entry in arrays.entries} == {40}
    measurements = Corruption("noise_c").score(arrays)
    assert all("regenerated" in measurement.protocol.text for measurement in measurements)
    for measurement in measurements:
        about_frost = measurement.at.get("corruption", "frost") in (
            "frost",
            "mean of 15, synthetic frost",
        )
        assert ("synthetic frost" in measurement.protocol.text) == about_frost


@pytest.mark.parametrize(("recipe", "frost"), [(2, "weaker than"), (3, "pixels by as much")])
def test_numbers_of_another_recipe_have_another_protocol(subject, recipe, frost):
    arrays = Corruption("noise_c").collect(subject(frost="synthetic", provenance="regenerated"))
    first = Corruption("noise_c").score(arrays)
    second = Corruption("noise_c").score(arrays | Arrays(recipe=recipe))
    for old, new in zip(first, second, strict=True):
        assert old.value == new.value
        assert "recipe" not in old.protocol.text
        assert f"regenerated by recipe {recipe}" in new.protocol.text
        assert (frost in new.protocol.text) == ("synthetic frost" in new.protocol.text)


def test_an_error_free_network_has_intervals_of_positive_width(subject):
    arrays = Corruption("noise_c").collect(subject())
    right = [
        replace(entry, values=np.ones_like(entry.read())) if entry.name == "correct" else entry
        for entry in arrays.entries
    ]
    for row in Corruption("noise_c").score(Arrays(right, **arrays.facts)):
        assert 0 <= row.low <= row.value <= row.high <= 1
        assert row.high - row.low > 0.02


def test_a_limit_selects_the_same_images_in_every_cell(subject):
    whole, part = subject(), subject(limit=12)
    everything = Corruption("noise_c").collect(whole)
    some = Corruption("noise_c").collect(part)
    for corruption in FIFTEEN:
        few, all_images = (item.where(corruption=corruption) for item in (some, everything))
        np.testing.assert_array_equal(few["correct"], all_images["correct"][part.indices()])


def test_a_corrupted_set_that_does_not_match_the_test_set_is_refused(
    subject, subject_of, images_of, network
):
    with pytest.raises(InputError, match="did you mean 'fog'"):
        measured(subject(), corruptions=("fogg",))
    with pytest.raises(InputError, match="noise_c has no corruption"):
        measured(subject(corruptions=()))
    with pytest.raises(InputError, match="kind of frost 'none'"):
        measured(subject(frost="none"))
    with pytest.raises(InputError, match="--bins is 0"):
        measured(subject(), bins=0)
    other = {"noise_c": Darkened(images_of(30))}
    with pytest.raises(InputError, match="has 30 images, noise has 40"):
        measured(subject_of(network(), images_of(40), sets=other))
    relabelled = images_of(40)
    shifted = replace(relabelled, labels=(relabelled.labels + 1) % 4, _on_device={})
    with pytest.raises(InputError, match="labels of gaussian_noise1 are not those of noise"):
        measured(subject_of(network(), images_of(40), sets={"noise_c": Darkened(shifted)}))


def test_missing_truncated_and_misshapen_files_omit_only_their_own_corruption(
    subject, subject_of, images_of, network, tmp_path
):
    from sdd_eval.data.readers.cifar_c import open_corrupted_folder

    clean = images_of(40)
    created = Darkened(clean)
    for name in FIFTEEN:
        rows = [
            created.cell(name, severity).images.transpose(0, 2, 3, 1) for severity in range(1, 6)
        ]
        np.save(tmp_path / f"{name}.npy", np.concatenate(rows))
    np.save(tmp_path / "labels.npy", np.tile(clean.labels, 5))
    model = network()

    def of_folder():
        sets = {"noise_c": open_corrupted_folder("noise_c", tmp_path)}
        return measured(subject_of(model, clean, sets=sets))

    whole = of_folder()
    assert names(whole) == {"mca"}
    (tmp_path / "snow.npy").unlink()
    (tmp_path / "fog.npy").write_bytes((tmp_path / "fog.npy").read_bytes()[:-1])
    np.save(tmp_path / "frost.npy", np.zeros((200, 5, 5, 3), np.uint8))
    (tmp_path / "labels.npy").unlink()
    measurements = of_folder()
    lost = {
        "snow": "does not exist",
        "fog": "complete .npy file",
        "frost": "has the shape (200, 5,",
    }
    assert missing(measurements).keys() == lost.keys()
    for name, why in lost.items():
        assert why in missing(measurements)[name][1]
    rest = [m for m in whole if m.at.get("corruption") in set(FIFTEEN) - lost.keys()]
    assert [m for m in measurements if m.metric != "missing"] == rest
    assert len(rest) == 12 * 2 * 6
