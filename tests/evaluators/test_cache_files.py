"""The files of cached outputs: size, order of removal, concurrency, and runs of checkpoints."""

import gc
import json
import os
import re
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

import sdd_eval
from sdd_eval import plugins
from sdd_eval.checkpoints.checkpoint import write_weights
from sdd_eval.cli import exit_code
from sdd_eval.evaluation import Request, evaluate_checkpoint
from sdd_eval.evaluators.cache import OutputFiles, entries, outputs_folder, trim
from sdd_eval.evaluators.evaluator import Intervals
from sdd_eval.models.build import build
from sdd_eval.models.network import Network
from sdd_eval.records import Card, ModelSpec
from sdd_eval.store import write_record


def put(folder, images, network="n"):
    rows = np.arange(len(images))
    outputs = {"logits": np.zeros((len(rows), 4), np.float32)}
    OutputFiles(folder, network, {"weights": network}).store(images, rows, outputs, 8)


def test_the_least_recently_used_files_are_removed_first(tmp_path, images_of, monkeypatch):
    for number, name in enumerate("abc"):
        put(tmp_path, images_of(50), name)
        for path in tmp_path.glob("*.npz"):
            age = 1000 - number if name in str(np.load(path)["about"]) else None
            if age and json.loads(str(np.load(path)["about"]))["network"] == name:
                os.utime(path, (1e9 - age, 1e9 - age))
    assert [item.network for item in entries(tmp_path)] == ["a", "b", "c"]
    rows = np.arange(50)
    assert OutputFiles(tmp_path, "a", {"weights": "a"}).lookup(images_of(50), rows, False)
    assert [item.network for item in entries(tmp_path)] == ["b", "c", "a"]
    size = entries(tmp_path)[0].size
    monkeypatch.setenv("SDD_EVAL_CACHE_GB", str(3.5 * size / 1e9))
    put(tmp_path, images_of(50), "d")
    assert [item.network for item in entries(tmp_path)] == ["c", "a", "d"]
    monkeypatch.setenv("SDD_EVAL_CACHE_GB", "0")
    put(tmp_path, images_of(50), "e")
    assert [item.network for item in entries(tmp_path)] == ["c", "a", "d"]
    (tmp_path / ".x.npz.1.part").write_bytes(b"left by a killed process")
    assert trim(tmp_path, 0) > 0
    assert os.listdir(tmp_path) == []


def test_an_invalid_size_is_a_one_line_error(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("SDD_EVAL_CACHE_GB", "much")
    assert exit_code(["data", "cache", "--cache", str(tmp_path)]) == 2
    assert "$SDD_EVAL_CACHE_GB is 'much', not a number" in capsys.readouterr().err


def test_the_folder_is_that_of_the_flag_the_environment_or_the_user(monkeypatch, tmp_path):
    assert outputs_folder() is None  # $SDD_EVAL_CACHE is "off" in all tests
    assert outputs_folder(str(tmp_path)) == tmp_path
    monkeypatch.setenv("SDD_EVAL_CACHE", str(tmp_path / "e"))
    assert outputs_folder() == tmp_path / "e"
    assert outputs_folder("off") is None
    monkeypatch.delenv("SDD_EVAL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert outputs_folder() == tmp_path / "sdd_eval" / "outputs"


#: What each of two processes does at once: write the same outputs ten times, and read them.
WRITER = """
import sys
from pathlib import Path
import numpy as np
from sdd_eval.data.images import ArrayImages
from sdd_eval.evaluators.evaluator import Intervals
from sdd_eval.evaluators.cache import OutputFiles

cache = OutputFiles(Path(sys.argv[1]), "n", {"weights": "w"})
images = ArrayImages("i", np.zeros((900, 1, 2, 2), np.uint8), None, "f", "made here")
rows, wrong = np.arange(900), 0
logits = np.arange(90_000, dtype=np.float32).reshape(900, 100)
for _ in range(10):
    cache.store(images, rows, {"logits": logits}, 1)
    outputs = cache.lookup(images, rows[::3], False)
    wrong += outputs is not None and not np.array_equal(outputs["logits"], logits[::3])
sys.exit(wrong)
"""


def test_two_processes_can_write_and_read_the_same_outputs_at_once(tmp_path, start_process):
    size = {"SDD_EVAL_CACHE_GB": "0.0005"}
    processes = [start_process(WRITER, tmp_path, environment=size) for _ in range(2)]
    for process in processes:
        process.join(timeout=60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert re.fullmatch(r"\w{12}\.\w{12}\.npz", *os.listdir(tmp_path))


def test_four_threads_can_write_and_read_the_same_outputs_at_once(images_of, tmp_path):
    outputs = []
    cache = OutputFiles(tmp_path, "n", {"weights": "n"})

    def work():
        put(tmp_path, images_of(50))
        outputs.append(cache.lookup(images_of(50), np.arange(50), False))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(entries(tmp_path)) == 1
    assert [one["logits"].shape for one in outputs] == [(50, 4)] * 4


@pytest.fixture
def checkpoint(tmp_path):
    """A checkpoint of a small network with running statistics."""
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
    if hasattr(evaluator, "intervals"):
        evaluator = replace(evaluator, intervals=Intervals(resamples=20))
    return Request(evaluator, tmp_path / "study", tmp_path, cache=tmp_path / "cache", **more)


def test_folded_and_plain_networks_have_separate_runs_with_equal_values(checkpoint, tmp_path):
    folded = evaluate_checkpoint(checkpoint, request_for("calibration", tmp_path))
    plain = evaluate_checkpoint(checkpoint, request_for("calibration", tmp_path, fold=False))
    assert folded.path != plain.path
    folding = folded.run.provenance.folding
    assert {**folding, "difference": 0.0} == {
        "asked": True, "folded": 3, "batch_norms": 3, "difference": 0.0, "note": "",
    }  # fmt: skip
    assert folding["difference"] < 1e-5
    assert plain.run.provenance.folding == {
        "asked": False, "folded": 0, "batch_norms": 0, "difference": 0.0, "note": "",
    }  # fmt: skip
    for one, other in zip(folded.run.measurements, plain.run.measurements, strict=True):
        assert one.value == pytest.approx(other.value, abs=1e-5)
    assert not evaluate_checkpoint(checkpoint, request_for("calibration", tmp_path)).evaluated
    assert len(entries(tmp_path / "cache")) == 2
    kinds = [type(item).__name__ for item in sdd_eval.load(checkpoint).modules()]
    assert kinds.count("BatchNorm2d") == 3, "load does not fold"


def test_changed_weights_give_another_run_without_cached_outputs(checkpoint, tmp_path):
    first = evaluate_checkpoint(checkpoint, request_for("accuracy", tmp_path))
    network = sdd_eval.load(checkpoint)
    network.classifier.weight[0, 0] += 0.5
    sha256 = write_weights(checkpoint, network)
    card = json.loads((checkpoint / "card.json").read_text())
    write_record(checkpoint / "card.json", {**card, "weights_sha256": sha256})
    second = evaluate_checkpoint(checkpoint, request_for("accuracy", tmp_path))
    assert second.evaluated
    assert second.run.provenance.recalled == []
    assert second.path != first.path
    assert (second.run.arrays["logits"] != first.run.arrays["logits"]).any()


def test_networks_are_freed_after_their_evaluation(checkpoint, tmp_path):
    """Peak memory does not grow with the number of checkpoints."""
    gc.collect()
    gc.freeze()  # exclude all objects of other tests
    for name in plugins.names("evaluators"):
        if name in ("corruption", "detection"):
            continue  # corruption needs a rendering on disk and shares the passes of the others
        evaluate_checkpoint(checkpoint, request_for(name, tmp_path, limit=12))
        gc.collect()
        assert not [item for item in gc.get_objects() if type(item) is Network], name


def test_the_command_lists_and_clears_the_cache(checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDD_EVAL_CACHE", str(tmp_path / "cache"))
    assert exit_code(["accuracy", "mine", "--no-fold", "--data-root", str(tmp_path)]) == 0
    capsys.readouterr()
    assert exit_code(["data", "cache"]) == 0
    listing = capsys.readouterr().out
    assert re.search(r"mine +digits +797 +0\.\d MB +20\d\d-", listing)
    assert "of at most 8,000.0 MB" in listing
    assert exit_code(["calibration", "mine", "--no-fold", "--cache", "off"]) == 0
    assert exit_code(["data", "cache", "--clear"]) == 0
    assert re.search(r"cache: 0\.\d MB deleted", capsys.readouterr().out)
    assert list((tmp_path / "cache").iterdir()) == []
    assert exit_code(["data", "cache"]) == 0
    assert ": 0.0 MB of at most" in capsys.readouterr().out
    assert exit_code(["data", "cache", "--cache", "off"]) == 0
