"""A working folder with a study of one network, its card, and the history of its training."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from sdd_eval import store
from sdd_eval.export import CheckpointNumbers, read_numbers
from sdd_eval.records import Card, Measurement, ModelSpec, Run

NAME = "digits-small_cnn-ce-seed0"
HISTORY = "epoch,lr,loss,kl_cosine@layer1\n1,0.1,2.25,\n2,0.01,1.5,0.25\n"


@pytest.fixture
def accuracy_run(synthetic: ModuleType) -> Callable[..., Run]:
    """Return a function that makes a run whose accuracy has an interval."""
    labels = np.arange(360) % 10
    logits = 4 * np.eye(10, dtype=np.float32)[np.where(labels % 9, labels, 1)]
    text = "largest logit against the label"
    rows = [Measurement("accuracy", 0.8, "fraction", {}, text, 0.755, 0.838, 0.95, "Wilson")]
    arrays = {"labels": labels, "logits": logits}
    net = synthetic.network(0.0, 0)
    return partial(synthetic.run_of, net, "accuracy", rows, arrays=arrays)


@pytest.fixture
def project(
    synthetic: ModuleType,
    accuracy_run: Callable[..., Run],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    net = synthetic.network(0.0, 0)
    runs = [accuracy_run(), synthetic.calibration_run(net), synthetic.ood_run(net)]
    synthetic.write_study(tmp_path / "reports/default", runs)
    spec = ModelSpec("small_cnn", 10, (0.3,), (0.4,), 8)
    card = Card(NAME, spec, net.recipe, {}, runs[0].weights_sha256)
    store.write_record(tmp_path / "checkpoints" / NAME / "card.json", card)
    (tmp_path / "checkpoints" / NAME / "history.csv").write_text(HISTORY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def source(project: Path) -> CheckpointNumbers:
    return read_numbers(NAME, project / "reports/default", project / "checkpoints")
