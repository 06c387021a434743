"""Network outputs are cached and shared between evaluators; stale or damaged ones are not used."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import sdd_eval
from sdd_eval.data.splits import subset_indices
from sdd_eval.errors import InputError
from sdd_eval.evaluation.request import DataSets
from sdd_eval.evaluators.cache import OutputFiles, entries
from sdd_eval.evaluators.corruption.corruption import Corruption
from sdd_eval.evaluators.ood.ood import Odin, Ood
from sdd_eval.evaluators.selective import Selective
from sdd_eval.evaluators.subject import Subject, outputs_of
from sdd_eval.records import ModelSpec

#: Detectors that need no gradient.
FORWARD_ONLY = ("msp", "max_logit", "energy", "entropy", "mahalanobis", "knn", "vim", "react")
SPEC = ModelSpec("counting", 4, (0.0,) * 3, (1.0,) * 3, 6)
#: Images of the passes that check the network before an evaluation.
CHECK = 8
#: Images of the pass that checks that the network computes what is cached.
PROBE = 2


class Counting(nn.Module):
    """A network with batch norm that counts its input images, copies included."""

    seen = 0

    def __init__(self, channels=3, classes=4):
        super().__init__()
        self.conv = nn.Conv2d(channels, 6, 3)
        self.norm = nn.BatchNorm2d(6)
        self.last = nn.Linear(6, classes)
        self.shift = 0.0

    def forward(self, x):
        Counting.seen += len(x)
        x = self.norm(self.conv(x)).relu().mean((2, 3))
        return self.last(x) + self.shift


@pytest.fixture
def counting():
    torch.manual_seed(0)
    return Counting()


@pytest.fixture
def evaluated(tmp_path):
    """Evaluate with a cache; return the run and the number of input images of the network."""

    def evaluate(model, evaluator, data, **more):
        Counting.seen = 0
        more = {"cache": tmp_path / "cache", "fold": False, "spec": SPEC, **more}
        run = sdd_eval.evaluate(model, evaluator, data=data, **more)
        return run, Counting.seen - CHECK

    return evaluate


def test_evaluators_share_one_pass(counting, evaluated, images_of, tmp_path):
    data = images_of(50)
    first, seen = evaluated(counting, "accuracy", data)
    assert seen == 50
    assert first.provenance.recalled == []
    for name in ("calibration", "selective"):
        run, seen = evaluated(counting, name, data)
        assert seen == PROBE, name
        (about,) = run.provenance.recalled
        assert {"device", "threads", "batch_size", "created"} <= set(about)
    alone, _ = evaluated(counting, "calibration", data, cache=None)
    assert evaluated(counting, "calibration", data)[0].measurements == alone.measurements
    # An attack reads the predictions for clean images from the cache.
    without, seen_without = evaluated(counting, "fgsm", data, cache=None)
    run, seen = evaluated(counting, "fgsm", data)
    assert seen == seen_without - 50 + PROBE
    assert run.measurements == without.measurements
    assert [item.images for item in entries(tmp_path / "cache")] == ["noise"]


def test_detectors_share_the_pass_of_accuracy(counting, evaluated, images_of, monkeypatch):
    sets = {
        ("uniform", "test"): images_of(30, seed=5, name="uniform"),
        ("noise", "train"): images_of(300, seed=6),
    }
    monkeypatch.setattr(DataSets, "lazy", lambda _, name, split="test": sets[name, split])
    evaluator = Ood(FORWARD_ONLY, ("uniform",))
    plain, seen = evaluated(counting, evaluator, images_of(50), cache=None)
    assert seen == 50 + 30 + 300
    evaluated(counting, "accuracy", images_of(50))
    run, seen = evaluated(counting, evaluator, images_of(50))
    assert seen == PROBE + 30 + 300, "accuracy cached the features of the test set"
    again, seen = evaluated(counting, Ood((*FORWARD_ONLY[::-1],), ("uniform",)), images_of(50))
    assert seen == 3 * PROBE
    assert [item["n"] for item in again.provenance.recalled] == [300, 50, 30]
    value = {(m.metric, tuple(m.at.items())): m.value for m in plain.measurements}
    for cached in (run, again):
        assert {(m.metric, tuple(m.at.items())): m.value for m in cached.measurements} == value


def test_odin_takes_two_forward_passes(counting, evaluated, images_of):
    _, seen = evaluated(counting, Odin(outliers=("uniform",)), images_of(50), limit=40)
    assert seen == 2 * (40 + 40)


def test_pixels_are_read_only_where_a_detector_needs_them(counting, evaluated, images_of):
    evaluator = Ood(("odin", "msp"), ("uniform",))
    _, first = evaluated(counting, evaluator, images_of(50), limit=40)
    _, again = evaluated(counting, evaluator, images_of(50), limit=40)
    assert again == first - 40 - 40 + 2 * PROBE


def test_subsets_use_the_cached_outputs_of_larger_sets(counting, evaluated, images_of):
    data = images_of(60)
    assert evaluated(counting, "accuracy", data, limit=30)[1] == 30
    assert evaluated(counting, "accuracy", data, limit=10)[1] == PROBE
    assert evaluated(counting, "accuracy", data, limit=40)[1] == 40
    assert evaluated(counting, "accuracy", data, limit=30, seed=9)[1] == 30
    assert evaluated(counting, "accuracy", data)[1] == 60
    run, seen = evaluated(counting, "accuracy", data, limit=50, seed=3)
    assert seen == PROBE
    rows = subset_indices(60, 50, labels=data.labels, seed=3)
    with torch.no_grad():
        expected = counting.eval()(torch.from_numpy(data.images[rows]).float() / 255)
    np.testing.assert_allclose(run.arrays["logits"], expected.numpy(), atol=1e-6)


@pytest.mark.parametrize("what", ["weights", "buffer", "data", "spec", "folding"])
def test_outputs_of_a_changed_network_set_or_spec_are_computed_again(
    what, counting, evaluated, images_of
):
    evaluated(counting, "accuracy", images_of(50))
    more = {}
    if what == "weights":
        counting.last.weight.data[0, 0] += 1e-6
    elif what == "buffer":
        counting.norm.running_var[0] += 1e-6
    elif what == "folding":
        more["fold"] = True
    elif what == "spec":
        more["spec"] = replace(SPEC, mean=(0.5,) * 3)
    data = images_of(50, seed=1) if what == "data" else images_of(50)
    _, seen = evaluated(counting, "calibration", data, **more)
    assert seen >= 50


def test_outputs_of_changed_code_are_computed_again(counting, evaluated, images_of):
    before, _ = evaluated(counting, "accuracy", images_of(50))
    counting.shift = torch.tensor([0.0, 0.0, 0.0, 5.0])
    after, seen = evaluated(counting, "accuracy", images_of(50))
    assert seen == PROBE + 50
    assert after.arrays["logits"][0, 3] == pytest.approx(before.arrays["logits"][0, 3] + 5)
    assert evaluated(counting, "accuracy", images_of(50))[1] == PROBE


def test_evaluate_caches_nothing_by_default(counting, images_of, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("SDD_EVAL_CACHE")
    sdd_eval.evaluate(counting, "accuracy", data=images_of(50))
    assert list(tmp_path.rglob("*.npz")) == []


def test_only_logits_of_corrupted_images_are_cached(counting, tmp_path, images_of):
    cache = OutputFiles(tmp_path, "n", {"weights": "w"})
    subject = Subject(counting.eval(), SPEC, images_of(50), cache=cache)
    subject.logits(images_of(50, seed=3, name="fog 1"), "fog 1", subject.indices())
    subject.logits()
    with_features = {
        item["images"]: features
        for path in tmp_path.glob("*.npz")
        for item, features in [
            (json.loads(str(np.load(path)["about"])), "features" in np.load(path))
        ]
    }
    assert with_features == {"fog 1": False, "noise": True}


def test_an_interrupted_pass_leaves_no_file(counting, evaluated, images_of, tmp_path):
    class Stops:
        def start(self, *_):
            pass

        def advance(self, *_):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluated(counting, "accuracy", images_of(50), progress=Stops(), batch_size=10)
    assert list((tmp_path / "cache").glob("*")) == []


@pytest.mark.parametrize("damage", [b"", b"PK", None])
def test_outputs_of_a_damaged_file_are_computed_again(
    damage, counting, evaluated, images_of, tmp_path
):
    first, _ = evaluated(counting, "accuracy", images_of(50))
    (path,) = (tmp_path / "cache").glob("*.npz")
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes(255 - item for item in whole[middle : middle + 99])
    path.write_bytes(flipped + whole[middle + 99 :] if damage is None else damage)
    again, seen = evaluated(counting, "accuracy", images_of(50))
    assert seen in (50, 50 + PROBE)
    np.testing.assert_array_equal(again.arrays["logits"], first.arrays["logits"])
    assert evaluated(counting, "accuracy", images_of(50))[1] == PROBE


def test_a_folder_that_cannot_be_written_changes_no_number(
    counting, evaluated, images_of, tmp_path
):
    (tmp_path / "file").write_text("in the way")
    run, seen = evaluated(counting, "accuracy", images_of(50), cache=tmp_path / "file")
    assert seen == 50
    assert run.measurements == evaluated(counting, "accuracy", images_of(50))[0].measurements


def test_an_empty_set_is_refused(counting, images_of):
    subject = Subject(counting, SPEC, images_of(5))
    with pytest.raises(InputError, match="noise has no images"):
        outputs_of(subject, subject.data, np.arange(0), features=True)


@pytest.fixture
def corrupted(images_of):
    """A corrupted rendering of 50 images whose cells differ in content."""
    clean = images_of(50)

    class Shifted:
        name, fingerprint, provenance, frost = "noise_c", "made", "made here", "synthetic"
        corruptions = ("fog", "snow")

        def cell(self, corruption, severity):
            moved = np.roll(clean.images, severity + 10 * (corruption == "fog"), axis=0)
            content = f"{corruption} {severity}"
            return replace(clean, images=moved, fingerprint=content, name=content, _on_device={})

    return clean, Shifted()


def test_evaluators_share_the_passes_over_corrupted_images(
    counting, evaluated, corrupted, monkeypatch
):
    clean, rendering = corrupted
    monkeypatch.setattr("sdd_eval.data.catalogue.load_corrupted", lambda *_, **__: rendering)
    evaluators = Corruption("noise_c", ("fog", "snow")), Selective("noise_c")
    plain = [evaluated(counting, evaluator, clean, cache=None) for evaluator in evaluators]
    assert [seen for _, seen in plain] == [11 * 50, 11 * 50]
    cached = [evaluated(counting, evaluator, clean) for evaluator in evaluators]
    assert [seen for _, seen in cached] == [11 * 50, 11 * PROBE]
    for (run, _), (without, _) in zip(cached, plain, strict=True):
        assert run.measurements == without.measurements


def test_outputs_of_a_rendering_larger_than_the_cache_are_not_cached(
    counting, evaluated, corrupted, monkeypatch, tmp_path
):
    clean, rendering = corrupted
    monkeypatch.setattr("sdd_eval.data.catalogue.load_corrupted", lambda *_, **__: rendering)
    monkeypatch.setenv("SDD_EVAL_CACHE_GB", "6e-5")  # ten cells of 50 × 4 logits are 8 kB of 60
    evaluated(counting, Corruption("noise_c", ("fog", "snow")), clean)
    assert [item.images for item in entries(tmp_path / "cache")] == ["noise"]
