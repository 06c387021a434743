"""An interrupted evaluation resumes to the same bits."""

import os
import re
import signal
import textwrap
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from sdd_eval.arrays import Array, Arrays
from sdd_eval.checkpoints.checkpoint import write_weights
from sdd_eval.evaluation import Request, evaluate_checkpoint, partial_results
from sdd_eval.evaluation.partial_results import PartialResultFiles, delete
from sdd_eval.evaluators.adversarial.attack import Attack
from sdd_eval.evaluators.adversarial.fgsm import Fgsm
from sdd_eval.evaluators.corruption.corruption import Corruption
from sdd_eval.evaluators.ood.ood import Odin, Ood
from sdd_eval.metrics.corruption import FIFTEEN
from sdd_eval.models.build import build
from sdd_eval.progress import NoProgress
from sdd_eval.records import Card, ModelSpec
from sdd_eval.store import write_record


class Stop(BaseException):
    """The interruption."""


class StopAt(NoProgress):
    """Progress that interrupts after a number of steps and counts them."""

    def __init__(self, steps=None):
        self.left, self.done = steps, 0

    def advance(self, units=1, note=""):
        self.done += 1
        if self.done == self.left:
            raise Stop


@dataclass(frozen=True)
class Darkened:
    """A corrupted set whose corruptions darken the images, more with each severity."""

    clean: object
    corruptions: tuple = FIFTEEN
    frost: str = "official"
    provenance: str = "official"
    name: str = "noise_c"
    fingerprint: str = "made"

    def cell(self, corruption, severity):
        darker = self.clean.images // (1 + severity + FIFTEEN.index(corruption))
        return replace(self.clean, images=darker, _on_device={}, name=f"{corruption}{severity}")


EVALUATORS = {
    "corruption": Corruption("noise_c"),
    "pgd": Attack("PGD", "1/255", steps=2, restarts=2),
    "pixle": Attack("Pixle", parameters=("max_iterations=2",)),
    "audit": Attack(audit=True, steps=2, restarts=2, parameters=("n_queries=5",)),
    "fgsm": Fgsm(0.05, (0.01, 0.1)),
    "odin": Odin(outliers=("far", "near"), grid=True),
    "ood": Ood(("odin", "msp", "mahalanobis"), ("far", "near"), training="noise"),
}


@pytest.fixture
def subject(network, images_of, subject_of):
    clean = images_of(40)
    sets = {
        "noise_c": Darkened(clean),
        "far": images_of(30, seed=3, name="far"),
        "near": images_of(30, seed=4, name="near"),
        "noise training": images_of(240, seed=5),
    }
    return subject_of(network(), clean, sets=sets, batch_size=16)


@pytest.fixture
def request_of(tmp_path):
    def make(batch_size=16):
        return Request(None, tmp_path, tmp_path, batch_size=batch_size)

    return make


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(partial_results, "SECONDS", 0.0)


@pytest.mark.parametrize("evaluator", EVALUATORS.values(), ids=list(EVALUATORS))
def test_an_interrupted_evaluation_ends_in_the_same_bits_with_less_work(
    evaluator, subject, tmp_path, request_of, contents
):
    whole = StopAt()
    expected = evaluator.collect(replace(subject, progress=whole))
    path, result = tmp_path / "run.json", None
    for stop in (whole.done // 2, whole.done - 1, None):
        left = PartialResultFiles(path, request_of())
        progress = StopAt(stop)
        try:
            result = evaluator.collect(
                replace(subject, progress=progress, partial_results=left.stored)
            )
        except Stop:
            continue
    assert left.resumed > 1
    assert result.facts == expected.facts
    result, expected = contents(result), contents(expected)
    assert result.keys() == expected.keys()
    for name, values in expected.items():
        assert result[name].dtype == values.dtype, name
        assert np.array_equal(result[name], values, equal_nan=values.dtype.kind == "f"), name


def test_stored_partial_results_are_not_computed_again(tmp_path, request_of):
    path = tmp_path / "run.json"
    part = Arrays([Array("x.y", np.arange(3))], temperature=1.5)
    PartialResultFiles(path, request_of()).stored("a / b", lambda: part)
    left = PartialResultFiles(path, request_of())
    result = left.stored("a / b", lambda: pytest.fail("it was there"))
    assert result["x.y"].tolist() == [0, 1, 2]
    assert result.facts == {"temperature": 1.5}
    assert (left.resumed, left.seconds > 0) == (1, True)
    with pytest.raises(ValueError, match="two partial results are named 'a / b'"):
        left.stored("a / b", dict)


def test_partial_results_of_other_batches_are_not_used(tmp_path, request_of):
    path = tmp_path / "run.json"
    PartialResultFiles(path, request_of()).stored("part", lambda: {"x": np.zeros(1)})
    result = PartialResultFiles(path, request_of(8)).stored("part", lambda: {"x": np.ones(1)})
    assert result["x"].tolist() == [1]


def test_a_damaged_file_of_partial_results_is_computed_again(tmp_path, request_of):
    path = tmp_path / "run.json"
    PartialResultFiles(path, request_of()).stored("part", lambda: {"x": np.zeros(100)})
    (file,) = tmp_path.glob(".run.pieces/*.npz")
    file.write_bytes(file.read_bytes()[:-90])
    result = PartialResultFiles(path, request_of()).stored("part", lambda: {"x": np.ones(1)})
    assert result["x"].tolist() == [1]
    delete(path)
    assert not list(tmp_path.iterdir())


def test_short_evaluations_write_no_partial_results(tmp_path, request_of, monkeypatch):
    monkeypatch.setattr(partial_results, "SECONDS", 60.0)
    PartialResultFiles(tmp_path / "run.json", request_of()).stored("part", dict)
    assert not list(tmp_path.iterdir())


KILLED = """
    import os, pathlib, signal, sys
    from sdd_eval.evaluation import Request, evaluate_checkpoint
    from sdd_eval.evaluation import partial_results
    from sdd_eval.evaluators.adversarial.attack import Attack
    from sdd_eval.progress import NoProgress

    class Killing(NoProgress):
        done = 0

        def advance(self, units=1, note=""):
            self.done += 1
            if self.done == int(sys.argv[2]):
                os.kill(os.getpid(), signal.SIGKILL)

    partial_results.SECONDS = 0.0
    root = pathlib.Path(sys.argv[1])
    request = Request(Attack(steps=2), root / "study", root, limit=60, batch_size=16)
    evaluate_checkpoint(root / "tiny", request, Killing())
"""


def test_sigkill_during_an_attack_loses_no_stored_part(tmp_path, start_process, contents):
    torch.manual_seed(0)
    spec = ModelSpec("small_cnn", 10, (0.5,), (0.25,), 8)
    weights = write_weights(tmp_path / "tiny", build(spec))
    card = Card("tiny", spec, None, {}, weights, {"dataset": "digits"})
    write_record(tmp_path / "tiny" / "card.json", card)
    killed = start_process(textwrap.dedent(KILLED), tmp_path, 8)
    killed.join(timeout=120)
    assert killed.exitcode == -signal.SIGKILL
    (folder,) = tmp_path.glob("study/runs/tiny/.*.pieces")
    assert re.fullmatch(r"\.attack-digits-\w{12}\.pieces", folder.name)
    request = Request(Attack(steps=2), tmp_path / "study", tmp_path, limit=60, batch_size=16)
    resumed = evaluate_checkpoint(tmp_path / "tiny", request)
    assert resumed.run.provenance.resumed >= 1
    assert not folder.exists()
    assert sorted(os.listdir(folder.parent)) == [
        resumed.path.with_suffix(s).name for s in (".json", ".npz")
    ]
    anew = evaluate_checkpoint(tmp_path / "tiny", replace(request, study=tmp_path / "other"))
    assert not anew.run.provenance.resumed
    assert resumed.run.measurements == anew.run.measurements
    for name, values in contents(anew.run.arrays).items():
        assert np.array_equal(values, contents(resumed.run.arrays)[name])
