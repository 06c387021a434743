"""Logits and features are computed once and kept; nothing stale, damaged or half is used."""

import json
import os
import re
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import sdd_eval
from sdd_eval import plugins
from sdd_eval.checkpoints.checkpoint import write_weights
from sdd_eval.cli import exit_code
from sdd_eval.data.splits import subset_indices
from sdd_eval.errors import InputError
from sdd_eval.evaluation import Request, evaluate_checkpoint
from sdd_eval.evaluation.cache import OutputFiles, entries, outputs_folder, trim
from sdd_eval.evaluators.corruption.corruption import Corruption
from sdd_eval.evaluators.ood.odin import Odin
from sdd_eval.evaluators.ood.ood import Ood
from sdd_eval.evaluators.selective import Selective
from sdd_eval.models.build import build
from sdd_eval.records import Card, ModelSpec
from sdd_eval.store import write_record

LOOKS_ONLY = ("msp", "max_logit", "energy", "entropy", "mahalanobis", "knn", "vim", "react")


class Counting(nn.Module):
    """A network with batch norm that counts the images that it has seen, copies included."""

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
def looked(tmp_path):
    """Evaluate with outputs kept; gives the run and how many images the network saw for it."""

    def look(model, evaluator, data, **more):
        Counting.seen = 0
        more = {"cache": tmp_path / "kept", "fold": False, "spec": SPEC, **more}
        run = sdd_eval.evaluate(model, evaluator, data=data, **more)
        return run, Counting.seen

    return look


SPEC = ModelSpec("counting", 4, (0.0,) * 3, (1.0,) * 3, 6)
PROBE = 2


def test_evaluators_share_one_pass(counting, looked, images_of, tmp_path):
    data = images_of(50)
    first, seen = looked(counting, "accuracy", data)
    assert seen == 50
    assert first.provenance["recalled"] == []
    for name in ("calibration", "selective"):
        run, seen = looked(counting, name, data)
        assert seen == PROBE, name
        (about,) = run.provenance["recalled"]
        assert {"device", "threads", "batch_size", "created"} <= set(about)
    alone, _ = looked(counting, "calibration", data, cache=None)
    assert looked(counting, "calibration", data)[0].measurements == alone.measurements
    # Clean predictions of the attacks come from there, the attacks themselves do not.
    without, seen_without = looked(counting, "fgsm", data, cache=None)
    run, seen = looked(counting, "fgsm", data)
    assert seen == seen_without - 50 + PROBE
    assert run.measurements == without.measurements
    assert [each.images for each in entries(tmp_path / "kept")] == ["noise"]


def test_detectors_share_the_pass_and_bring_their_own(counting, looked, images_of, monkeypatch):
    sets = {
        ("uniform", "test"): images_of(30, seed=5, name="uniform"),
        ("noise", "train"): images_of(300, seed=6),
    }
    monkeypatch.setattr(
        "sdd_eval.data.catalogue.load_images", lambda name, _, split="test", **__: sets[name, split]
    )
    evaluator = Ood(LOOKS_ONLY, ("uniform",))
    plain, seen = looked(counting, evaluator, images_of(50), cache=None)
    assert seen == 50 + 30 + 300
    looked(counting, "accuracy", images_of(50))
    run, seen = looked(counting, evaluator, images_of(50))
    assert seen == PROBE + 30 + 300, "the test set's features are there from accuracy's pass"
    again, seen = looked(counting, Ood((*LOOKS_ONLY[::-1],), ("uniform",)), images_of(50))
    assert seen == 3 * PROBE
    assert [each["n"] for each in again.provenance["recalled"]] == [300, 50, 30]
    value = {(m.metric, tuple(m.at.items())): m.value for m in plain.measurements}
    for found in (run, again):
        assert {(m.metric, tuple(m.at.items())): m.value for m in found.measurements} == value


def test_odin_costs_two_forward_passes_and_no_third(counting, looked, images_of):
    _, seen = looked(counting, Odin(outliers=("uniform",)), images_of(50), limit=40)
    assert seen == 2 * (40 + 40)


def test_pixels_are_read_only_where_a_detector_asks_for_them(counting, looked, images_of):
    evaluator = Ood(("odin", "msp"), ("uniform",))
    _, first = looked(counting, evaluator, images_of(50), limit=40)
    _, again = looked(counting, evaluator, images_of(50), limit=40)
    assert again == first - 40 - 40 + 2 * PROBE


def test_a_whole_set_serves_every_subset_and_a_subset_smaller_ones(counting, looked, images_of):
    data = images_of(60)
    assert looked(counting, "accuracy", data, limit=30)[1] == 30
    assert looked(counting, "accuracy", data, limit=10)[1] == PROBE
    assert looked(counting, "accuracy", data, limit=40)[1] == 40
    assert looked(counting, "accuracy", data, limit=30, seed=9)[1] == 30
    assert looked(counting, "accuracy", data)[1] == 60
    run, seen = looked(counting, "accuracy", data, limit=50, seed=3)
    assert seen == PROBE
    rows = subset_indices(60, 50, labels=data.labels, seed=3)
    with torch.no_grad():
        expected = counting.eval()(torch.from_numpy(data.images[rows]).float() / 255)
    np.testing.assert_allclose(run.arrays["logits"], expected.numpy(), atol=1e-6)


@pytest.mark.parametrize("what", ["weights", "buffer", "data", "spec", "folding"])
def test_one_change_and_everything_is_measured_anew(what, counting, looked, images_of):
    looked(counting, "accuracy", images_of(50))
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
    _, seen = looked(counting, "calibration", data, **more)
    assert seen >= 50


def test_code_that_has_changed_under_the_same_weights_is_noticed(counting, looked, images_of):
    before, _ = looked(counting, "accuracy", images_of(50))
    counting.shift = torch.tensor([0.0, 0.0, 0.0, 5.0])
    after, seen = looked(counting, "accuracy", images_of(50))
    assert seen == PROBE + 50
    assert after.arrays["logits"][0, 3] == pytest.approx(before.arrays["logits"][0, 3] + 5)
    assert looked(counting, "accuracy", images_of(50))[1] == PROBE


def test_nothing_is_kept_unless_it_is_asked_for(counting, images_of, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("SDD_EVAL_CACHE")
    sdd_eval.evaluate(counting, "accuracy", data=images_of(50))
    assert list(tmp_path.rglob("*.npz")) == []


def test_of_corrupted_images_only_logits_are_kept(counting, tmp_path, images_of):
    kept = OutputFiles(tmp_path, "n", {"weights": "w"})
    from sdd_eval.evaluators.subject import Subject

    subject = Subject(counting.eval(), SPEC, images_of(50), cache=kept)
    subject.logits(images_of(50, seed=3, name="fog 1"), "fog 1", subject.indices())
    subject.logits()
    with_features = {
        each["images"]: features
        for path in tmp_path.glob("*.npz")
        for each, features in [
            (json.loads(str(np.load(path)["about"])), "features" in np.load(path))
        ]
    }
    assert with_features == {"fog 1": False, "noise": True}
    assert Selective().name  # which is who looks at them


def test_a_pass_that_is_interrupted_leaves_nothing(counting, looked, images_of, tmp_path):
    class Stops:
        def start(self, *_):
            pass

        def advance(self, *_):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        looked(counting, "accuracy", images_of(50), progress=Stops(), batch_size=10)
    assert list((tmp_path / "kept").glob("*")) == []


@pytest.mark.parametrize("damage", [b"", b"PK", None])
def test_a_damaged_file_costs_a_pass_and_nothing_else(
    damage, counting, looked, images_of, tmp_path
):
    first, _ = looked(counting, "accuracy", images_of(50))
    (path,) = (tmp_path / "kept").glob("*.npz")
    whole = path.read_bytes()
    middle = len(whole) // 2
    turned = whole[:middle] + bytes(255 - each for each in whole[middle : middle + 99])
    path.write_bytes(turned + whole[middle + 99 :] if damage is None else damage)
    again, seen = looked(counting, "accuracy", images_of(50))
    assert seen in (50, 50 + PROBE)
    np.testing.assert_array_equal(again.arrays["logits"], first.arrays["logits"])
    assert looked(counting, "accuracy", images_of(50))[1] == PROBE


def test_a_folder_that_cannot_be_written_changes_no_number(counting, looked, images_of, tmp_path):
    (tmp_path / "file").write_text("in the way")
    run, seen = looked(counting, "accuracy", images_of(50), cache=tmp_path / "file")
    assert seen == 50
    assert run.measurements == looked(counting, "accuracy", images_of(50))[0].measurements


def put(kept, images, network="n"):
    rows = np.arange(len(images))
    found = {"logits": np.zeros((len(rows), 4), np.float32)}
    OutputFiles(kept, network, {"weights": network}).store(images, rows, found, 8)


def test_the_least_recently_used_go_first(tmp_path, images_of, monkeypatch):
    for number, name in enumerate("abc"):
        put(tmp_path, images_of(50), name)
        for path in tmp_path.glob("*.npz"):
            age = 1000 - number if name in str(np.load(path)["about"]) else None
            if age and json.loads(str(np.load(path)["about"]))["network"] == name:
                os.utime(path, (1e9 - age, 1e9 - age))
    assert [each.network for each in entries(tmp_path)] == ["a", "b", "c"]
    rows = np.arange(50)
    assert OutputFiles(tmp_path, "a", {"weights": "a"}).lookup(images_of(50), rows, False)
    assert [each.network for each in entries(tmp_path)] == ["b", "c", "a"]
    size = entries(tmp_path)[0].size
    monkeypatch.setenv("SDD_EVAL_CACHE_GB", str(3.5 * size / 1e9))
    put(tmp_path, images_of(50), "d")
    assert [each.network for each in entries(tmp_path)] == ["c", "a", "d"]
    monkeypatch.setenv("SDD_EVAL_CACHE_GB", "0")
    put(tmp_path, images_of(50), "e")
    assert [each.network for each in entries(tmp_path)] == ["c", "a", "d"]
    (tmp_path / ".x.npz.1.part").write_bytes(b"left by a killed process")
    assert trim(tmp_path, 0) > 0
    assert os.listdir(tmp_path) == []


def test_a_size_that_is_none_is_one_line(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("SDD_EVAL_CACHE_GB", "much")
    assert exit_code(["data", "cache", "--cache", str(tmp_path)]) == 2
    assert "$SDD_EVAL_CACHE_GB is 'much', not a number" in capsys.readouterr().err


def test_where_it_lies_is_said_by_flag_then_environment_then_the_users_folder(
    monkeypatch, tmp_path
):
    assert outputs_folder() is None  # as the tests have it
    assert outputs_folder(str(tmp_path)) == tmp_path
    monkeypatch.setenv("SDD_EVAL_CACHE", str(tmp_path / "e"))
    assert outputs_folder() == tmp_path / "e"
    assert outputs_folder("off") is None
    monkeypatch.delenv("SDD_EVAL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert outputs_folder() == tmp_path / "sdd_eval" / "outputs"


def test_processes_that_write_and_read_the_same_at_once_do_not_break(tmp_path):
    code = """
        import sys
        import numpy as np
        from sdd_eval.data.images import ArrayImages
        from sdd_eval.evaluation.cache import OutputFiles
        from pathlib import Path
        kept = OutputFiles(Path(sys.argv[1]), "n", {"weights": "w"})
        images = ArrayImages("i", np.zeros((900, 1, 2, 2), np.uint8), None, "f", "made here")
        rows, wrong = np.arange(900), 0
        logits = np.arange(90_000, dtype=np.float32).reshape(900, 100)
        for _ in range(10):
            kept.store(images, rows, {"logits": logits}, 1)
            found = kept.lookup(images, rows[::3], False)
            wrong += found is not None and not np.array_equal(found["logits"], logits[::3])
        print("wrong", wrong)
        """
    run = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    environment = {**os.environ, "SDD_EVAL_CACHE_GB": "0.0005"}
    both = [
        subprocess.Popen(run, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(2)
    ]
    assert [each.communicate(timeout=60)[0] for each in both] == ["wrong 0\n"] * 2
    assert re.fullmatch(r"\w{12}\.\w{12}\.npz", *os.listdir(tmp_path))


@pytest.fixture
def checkpoint(tmp_path):
    """A checkpoint of a small network with norms that have seen something."""
    torch.manual_seed(0)
    spec = ModelSpec("small_cnn", 10, (0.3,), (0.4,), 8, {"width": 16})
    network = build(spec)
    network.train()(torch.rand(64, 1, 8, 8))
    folder = tmp_path / "checkpoints" / "mine"
    sha256 = write_weights(folder, network.eval())
    card = Card("mine", spec, None, {}, sha256, {"dataset": "digits"})
    write_record(folder / "card.json", card)
    return folder


def request_for(name, tmp_path, **more):
    evaluator = plugins.load("evaluators", name)()
    return Request(evaluator, tmp_path / "study", tmp_path, cache=tmp_path / "kept", **more)


def test_folding_is_part_of_the_run_and_moves_no_number(checkpoint, tmp_path):
    folded = evaluate_checkpoint(checkpoint, request_for("calibration", tmp_path))
    plain = evaluate_checkpoint(checkpoint, request_for("calibration", tmp_path, fold=False))
    assert folded.path != plain.path
    how = folded.run.provenance["folding"]
    assert (how["asked"], how["folded"], how["batch_norms"], how["note"]) == (True, 3, 3, "")
    assert how["difference"] < 1e-5
    assert plain.run.provenance["folding"] == {
        "asked": False, "folded": 0, "batch_norms": 0, "difference": 0.0, "note": "",
    }  # fmt: skip
    for one, other in zip(folded.run.measurements, plain.run.measurements, strict=True):
        assert one.value == pytest.approx(other.value, abs=1e-5)
    assert not evaluate_checkpoint(checkpoint, request_for("calibration", tmp_path)).evaluated
    assert len(entries(tmp_path / "kept")) == 2
    kinds = [type(each).__name__ for each in sdd_eval.load(checkpoint).modules()]
    assert kinds.count("BatchNorm2d") == 3, "what load gives is as it was trained"


def test_another_weight_in_a_checkpoint_is_another_run_from_another_pass(checkpoint, tmp_path):
    first = evaluate_checkpoint(checkpoint, request_for("accuracy", tmp_path))
    network = sdd_eval.load(checkpoint)
    network.classifier.weight[0, 0] += 0.5
    sha256 = write_weights(checkpoint, network)
    card = json.loads((checkpoint / "card.json").read_text())
    write_record(checkpoint / "card.json", {**card, "weights_sha256": sha256})
    second = evaluate_checkpoint(checkpoint, request_for("accuracy", tmp_path))
    assert second.evaluated
    assert second.run.provenance["recalled"] == []
    assert second.path != first.path
    assert (second.run.arrays["logits"] != first.run.arrays["logits"]).any()


def test_no_network_outlives_its_evaluation(checkpoint, tmp_path):
    """Peak memory does not grow with the number of checkpoints."""
    import gc

    from sdd_eval.models.network import Network

    def networks():
        gc.collect()
        return [each for each in gc.get_objects() if type(each) is Network]

    others = networks()  # of other tests; held, so that none of their places is taken anew
    for name in plugins.names("evaluators"):
        if name == "corruption":
            continue  # needs a rendering on disk; its pass is that of the others
        evaluate_checkpoint(checkpoint, request_for(name, tmp_path, limit=12))
        assert not [each for each in networks() if not any(each is one for one in others)], name


def test_the_command_keeps_shows_and_clears(checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDD_EVAL_CACHE", str(tmp_path / "kept"))
    assert exit_code(["accuracy", "mine", "--no-fold", "--data-root", str(tmp_path)]) == 0
    capsys.readouterr()
    assert exit_code(["data", "cache"]) == 0
    told = capsys.readouterr().out
    assert re.search(r"mine +digits +797 +0\.\d MB +20\d\d-", told)
    assert "of at most 8,000.0 MB" in told
    assert exit_code(["calibration", "mine", "--no-fold", "--cache", "off"]) == 0
    assert exit_code(["data", "cache", "--clear"]) == 0
    assert re.search(r"kept: 0\.\d MB deleted", capsys.readouterr().out)
    assert list((tmp_path / "kept").iterdir()) == []
    assert exit_code(["data", "cache"]) == 0
    assert ": 0.0 MB of at most" in capsys.readouterr().out
    assert exit_code(["data", "cache", "--cache", "off"]) == 0


def test_two_threads_that_compute_the_same_both_have_it(counting, images_of, tmp_path):
    found = []
    kept = OutputFiles(tmp_path, "n", {"weights": "w"})

    def work():
        put(tmp_path, images_of(50))
        found.append(kept.lookup(images_of(50), np.arange(50), False))

    each = [threading.Thread(target=work) for _ in range(4)]
    [one.start() for one in each]
    [one.join() for one in each]
    assert len(entries(tmp_path)) == 1


def test_no_images_are_one_line(counting, images_of):
    from sdd_eval.evaluators.subject import Subject, outputs_of

    subject = Subject(counting, SPEC, images_of(5))
    with pytest.raises(InputError, match="noise has no images"):
        outputs_of(subject, subject.data, np.arange(0), features=True)


@pytest.fixture
def corrupted(images_of):
    """A corrupted rendering of 50 images whose cells are told apart by their content."""
    clean = images_of(50)

    class Shifted:
        name, fingerprint, provenance, frost = "noise_c", "made", "made here", "synthetic"
        corruptions = ("fog", "snow")

        def cell(self, corruption, severity):
            moved = np.roll(clean.images, severity + 10 * (corruption == "fog"), axis=0)
            content = f"{corruption} {severity}"
            return replace(clean, images=moved, fingerprint=content, name=content, _on_device={})

    return clean, Shifted()


def test_corrupted_images_are_looked_at_once_for_all_evaluators(
    counting, looked, corrupted, monkeypatch
):
    clean, rendering = corrupted
    monkeypatch.setattr("sdd_eval.data.catalogue.load_corrupted", lambda *_, **__: rendering)
    evaluators = Corruption("noise_c", ("fog", "snow")), Selective("noise_c")
    plain = [looked(counting, each, clean, cache=None) for each in evaluators]
    assert [seen for _, seen in plain] == [11 * 50, 11 * 50]
    kept = [looked(counting, each, clean) for each in evaluators]
    assert [seen for _, seen in kept] == [11 * 50, 11 * PROBE]
    for (run, _), (without, _) in zip(kept, plain, strict=True):
        assert run.measurements == without.measurements


def test_renderings_that_would_drive_out_all_else_are_not_kept(
    counting, looked, corrupted, monkeypatch, tmp_path
):
    clean, rendering = corrupted
    monkeypatch.setattr("sdd_eval.data.catalogue.load_corrupted", lambda *_, **__: rendering)
    monkeypatch.setenv("SDD_EVAL_CACHE_GB", "6e-5")  # ten cells of 50 × 4 logits are 8 kB of 60
    looked(counting, Corruption("noise_c", ("fog", "snow")), clean)
    assert [each.images for each in entries(tmp_path / "kept")] == ["noise"]
