"""The OOD evaluator: several detectors over the test set and OOD sets, and their averages."""

import dataclasses
import gc
import tracemalloc
import weakref
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from sdd_eval.arrays import Array, Arrays
from sdd_eval.data import catalogue
from sdd_eval.data.images import ArrayImages, LazyImages, lazy_images
from sdd_eval.data.ood_sets import GROUPS, PAPER, RESIZED, averages, expand_groups
from sdd_eval.errors import InputError
from sdd_eval.evaluation import evaluate
from sdd_eval.evaluators.evaluator import score
from sdd_eval.evaluators.ood.detectors.odin import OdinGrid
from sdd_eval.evaluators.ood.ood import Odin, Ood
from sdd_eval.evaluators.ood.ranking import BEST, CONVENTIONS
from sdd_eval.metrics.ranking import ood_metrics
from sdd_eval.models.build import build
from sdd_eval.plugins import names
from sdd_eval.records import ModelSpec
from sdd_eval.store import StoredArrays, write_arrays

ALL = ("odin", "msp", "max_logit", "energy", "entropy", "mahalanobis", "knn", "vim", "react")
#: Few resamples: no test here is about intervals.


@pytest.fixture
def subject(network, subject_of, images_of):
    def make(model=None, **more):
        sets = {
            "far": images_of(30, classes=0, seed=5, name="far"),
            "near": images_of(40, seed=6, name="near"),
            "noise training": images_of(210, seed=7),
        }
        model = model or network()
        return subject_of(model, images_of(50, classes=0), sets=sets, **more)

    return make


@pytest.fixture
def digits_network():
    return build(ModelSpec("small_cnn", 10, (0.3,), (0.4,), 8))


def test_all_detectors_are_installed():
    assert set(ALL) <= set(names("detectors"))


def test_all_detectors_share_one_pass_over_each_set(subject, network, listener):
    model, passes = network(), []
    model.register_forward_hook(lambda _, inputs, output: passes.append(len(output)))
    detectors = tuple(name for name in ALL if name != "odin")
    Ood(detectors, ("far", "near"), training="noise").collect(
        subject(model, progress=listener, batch_size=16)
    )
    assert listener.pieces == [
        ["noise training", 210, 210],
        ["noise", 50, 50],
        ["far", 30, 30],
        ["near", 40, 40],
    ]
    assert sum(passes) == 210 + 50 + 30 + 40


def test_the_training_images_are_read_only_for_fitted_detectors(subject, listener):
    Ood(("msp", "energy"), ("far",)).collect(subject(progress=listener))
    assert [label for label, _, _ in listener.pieces] == ["noise", "far"]


def test_the_odin_detector_equals_the_odin_evaluator(subject):
    plain = subject()
    detectors = Ood(("odin", "msp"), ("far", "near"))
    evaluator = Odin(outliers=("far", "near"))
    arrays, scores = detectors.collect(plain), evaluator.collect(plain)
    for at in ({"detector": "odin"}, {"detector": "odin", "outliers": "near"}):
        one, two = (item.where(**at)["scores"] for item in (arrays, scores))
        np.testing.assert_array_equal(one, two)
    assert arrays.coordinates("detector") == ["odin", "msp"]
    assert arrays.coordinates("outliers") == ["far", "near"]
    own = tuple(item for item in score(detectors, arrays) if item.at["detector"] == "odin")
    assert own == score(evaluator, scores)


def test_every_detector_has_all_metrics_of_each_set_and_their_average(subject, value_of):
    evaluator = Ood(ALL, ("far", "near"), training="noise")
    arrays = evaluator.collect(subject())
    measurements = score(evaluator, arrays)
    assert measurements == score(Ood(), arrays)  # the arrays say which detectors they are of
    for name in ALL:
        folder = {"detector": name, **({"k": 200} if name == "knn" else {})}
        for metric in CONVENTIONS:
            of_sets = []
            for outliers in ("far", "near"):
                own = arrays.where(detector=name)
                scores = own["scores"], own.where(outliers=outliers)["scores"]
                column = [item[:, 1] if name == "knn" else item for item in scores]
                of_sets.append(ood_metrics(*column)[metric])
                assert value_of(measurements, metric, outliers=outliers, **folder) == of_sets[-1]
            average = value_of(measurements, metric, outliers="average", **folder)
            assert average == pytest.approx(np.mean(of_sets))
    assert arrays.where(detector="knn")["scores"].shape == (50, 2)
    dropped = value_of(measurements, "dropped_eigenvalues", detector="mahalanobis")
    assert dropped == 8 * 6 * 6 - np.linalg.matrix_rank(_within(subject()), hermitian=True)


def _within(subject):
    """Return the within-class scatter of the training features in NumPy."""
    images = subject.sets["noise training"]
    body = subject.model.body[:-1]
    pixels = next(images.batches(len(images))).float() / 255
    features = body((pixels - subject.model.mean) / subject.model.std).double().numpy()
    apart = np.concatenate(
        [features[images.labels == c] - features[images.labels == c].mean(axis=0) for c in range(4)]
    )
    return apart.T @ apart


@pytest.mark.parametrize(
    ("detectors", "message"),
    [
        (("maxlogit",), "unknown detector 'maxlogit'; did you mean 'max_logit'"),
        ((), "--detectors is empty"),
        (("msp", "msp"), "--detectors is msp msp; name one or more, each once"),
    ],
)
def test_unknown_missing_and_repeated_detectors_are_refused(detectors, message, subject):
    with pytest.raises(InputError, match=message):
        Ood(detectors, ("far",)).collect(subject())


def test_a_set_with_the_name_of_an_average_is_refused(subject):
    """Its numbers and those of the mean over sets would be at the same place."""
    with pytest.raises(InputError, match="'average', as means over OOD sets are called; rename"):
        Ood(("msp",), ("far", "average")).collect(subject())


def test_the_training_images_enter_the_fingerprint_only_where_a_detector_is_fitted(
    digits_network, tmp_path
):
    measurements = {}
    for name in ("msp", "react"):
        evaluator = Ood((name,), ("uniform",))
        run = evaluate(digits_network, evaluator, data="digits", limit=20, root=tmp_path)
        assert run.settings["training"] == "digits"
        measurements[name] = run
    assert measurements["msp"].data_fingerprint != measurements["react"].data_fingerprint
    assert set(measurements["msp"].provenance.data) == {"digits", "uniform"}
    training = measurements["react"].provenance.data["digits training"]
    whole = catalogue.load_images("digits", tmp_path, "train")
    assert training.images == len(whole)
    assert training.fingerprint == whole.fingerprint


def scores_of(*outliers):
    random = np.random.default_rng(0)
    inside = Arrays([Array("scores", random.normal(1, 1, 40))])
    for name in outliers:
        inside |= Arrays([Array("scores", random.normal(0, 1, 30), at={"outliers": name})])
    return inside.at(detector="msp")


def places_of(measurements):
    return {measurement.at["outliers"] for measurement in measurements}


def test_means_are_over_whole_groups_and_never_across_near_and_far(value_of):
    sets = ("cifar10", "imagenet_resize", "svhn", "dtd", "lsun_crop")
    arrays = scores_of(*sets)
    measurements = score(Ood(training="cifar100"), arrays)
    assert places_of(measurements) == {*sets, "average:near", "average:far"}
    near = score(Ood(training="cifar100"), scores_of("cifar10", "isun"))
    assert places_of(near) == {"cifar10", "isun"}
    near = [value_of(measurements, "auroc", outliers=name) for name in sets[:2]]
    assert value_of(measurements, "auroc", outliers="average:near") == pytest.approx(np.mean(near))
    only_far = score(Ood(training="cifar100"), scores_of("svhn", "dtd"))
    assert places_of(only_far) == {"svhn", "dtd", "average"}  # far lacks one of its sets
    assert all(
        "mean over svhn, dtd" in m.protocol.text for m in only_far if m.at["outliers"] == "average"
    )


def test_the_sets_of_the_paper_have_a_group_average_next_to_the_plain_one(value_of):
    measurements = score(Ood(training="cifar10"), scores_of(*PAPER))
    for metric in CONVENTIONS:
        plain = value_of(measurements, metric, outliers="average")
        assert value_of(measurements, metric, outliers="average:paper") == plain


def test_a_group_expands_to_its_sets_without_repetition():
    assert expand_groups(["near"], "cifar100") == ("cifar10", "imagenet_resize")
    assert expand_groups(["far", "paper"], "cifar10") == (
        *("svhn", "dtd", "lsun_crop"),
        *("lsun_resize", "isun"),
    )
    assert expand_groups(["paper", "svhn"], "cifar100") == ("lsun_resize", "isun", "dtd", "svhn")
    assert expand_groups(["near"], "digits") == ("near",)


def test_groups_contain_sets_of_the_catalogue_and_never_the_test_set():
    for dataset, groups in GROUPS.items():
        for sets in groups.values():
            assert set(sets) <= set(names("datasets")) - {dataset}
        assert not set(groups["near"]) & set(groups["far"])
    assert averages(["a", "b"], "digits") == {"average": ("a", "b")}


@pytest.mark.parametrize(
    ("sets", "means"),
    [(("svhn", "isun"), {"average"}), (GROUPS["cifar10"]["near"], {"average", "average:near"})],
)
def test_resized_sets_and_means_over_them_have_a_note(sets, means):
    measurements = score(Ood(training="cifar10"), scores_of(*sets))
    noted = {m.at["outliers"] for m in measurements if "resizing artefacts" in m.protocol.text}
    assert noted == means | (set(sets) & set(RESIZED))


@pytest.mark.parametrize(
    "evaluator", [Odin(grid=True), Ood(("msp",), grid=True)], ids=["odin", "ood"]
)
def test_a_grid_has_a_row_for_each_cell_and_for_its_best_cell(evaluator, subject, value_of):
    plain = subject()
    evaluator = dataclasses.replace(evaluator, outliers=("far", "near"))
    measurements = score(evaluator, evaluator.collect(plain))
    cells = {}
    for temperature, epsilon in OdinGrid().cells:
        at = {"temperature": temperature, "epsilon": epsilon, "outliers": "far"}
        alone = Odin(("far",), temperature, epsilon)
        expected = score(alone, alone.collect(plain))
        for metric in ("auroc", "fpr_at_95_tpr", "detection_error"):
            value = value_of(measurements, metric, grid="cell", **at)
            assert value == value_of(expected, metric, outliers="far")
        cells[temperature, epsilon] = (
            value_of(measurements, "fpr_at_95_tpr", grid="cell", **at),
            -value_of(measurements, "auroc", grid="cell", **at),
        )
    best = [item for item in measurements if item.at.get("grid") == BEST]
    assert value_of(best, "fpr_at_95_tpr", outliers="far") == min(cells.values())[0]
    assert value_of(best, "auroc", outliers="far") == -min(cells.values())[1]
    assert {item.at["outliers"] for item in best} == {"far", "near", "average"}
    assert all("chosen on the outliers under test" in item.protocol.text for item in best)
    temperature, epsilon = min(cells, key=cells.get)
    (far,) = [m for m in best if m.at["outliers"] == "far" and m.metric == "auroc"]
    assert far.fitted == {"T": f"{temperature:g}", "ε": f"{epsilon:g}"}
    assert not any("chosen" in m.protocol.text for m in measurements if m.at.get("grid") != BEST)


@dataclasses.dataclass(frozen=True)
class Largest:
    """The largest logit, as a detector of a plugin of any name."""

    name: ClassVar[str] = "a.b_c d"
    protocol: ClassVar[str] = "largest logit"
    counts: ClassVar[dict[str, int]] = {"kept.of:all": 3}

    def scores(self, batch):
        return batch.logits.double().amax(dim=1)


@pytest.mark.parametrize("name", ["a.b_c d", "held_out", "file", "50%", "c:d", "0", "Überraschung"])
def test_names_of_detectors_and_sets_may_have_any_character(name, subject, monkeypatch, tmp_path):
    kind = type("Named", (Largest,), {"name": name})
    monkeypatch.setattr("sdd_eval.plugins.load", lambda group, name: kind)
    whole = subject()
    sets = {"../far v1.5": whole.sets["far"], "c:near_%41": whole.sets["near"]}
    evaluator = Ood((name,), tuple(sets))
    arrays = evaluator.collect(dataclasses.replace(whole, sets=sets))
    write_arrays(tmp_path / "stored.npz", arrays)
    measurements = score(evaluator, StoredArrays(tmp_path / "stored.npz"))
    assert {m.at["detector"] for m in measurements} == {name}
    assert {m.at.get("outliers") for m in measurements} == {*sets, "average", None}
    assert [m.value for m in measurements if m.metric == "kept.of:all"] == [3]
    assert len(measurements) == 3 * len(CONVENTIONS) + 1


def test_an_ood_set_is_in_memory_only_during_its_evaluation(images_of):
    loaded = []

    def load():
        images = images_of(12, name="large")
        loaded.append(weakref.ref(images.images))
        return images

    later, plain = lazy_images(load), images_of(12, name="large")
    assert isinstance(later, LazyImages)
    for name in ("name", "fingerprint", "provenance", "image_size", "channels", "class_names"):
        assert getattr(later, name) == getattr(plain, name)
    assert len(later) == 12
    batches = [batch.numpy().copy() for batch in later.batches(5, np.array([3, 1]))]
    np.testing.assert_array_equal(np.concatenate(batches), plain.images[[3, 1]])
    gc.collect()
    assert len(loaded) == 2
    assert not any(item() is not None for item in loaded)


def test_memory_does_not_grow_with_the_number_of_ood_sets(digits_network, monkeypatch, tmp_path):
    size = 40_000  # images of 64 bytes

    def dataset(name, root):
        def images(split, **shape):
            pixels = np.full((size, 1, 8, 8), int(name[3:]), dtype=np.uint8)
            return ArrayImages(name, pixels, None, name, "made here")

        return SimpleNamespace(images=images)

    monkeypatch.setattr("sdd_eval.evaluation.request.dataset", dataset)

    def peak(count):
        evaluator = Ood(("msp",), tuple(f"set{i}" for i in range(count)))
        gc.collect()
        tracemalloc.start()
        evaluate(digits_network, evaluator, data="digits", limit=20, root=tmp_path)
        measurements = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return measurements

    peak(1)  # what is imported and kept once
    assert peak(6) - peak(1) < 0.5 * size * 64
