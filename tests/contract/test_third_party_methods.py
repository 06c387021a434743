"""Methods of a third party that keep state: killed, resumed, and equal in two processes."""

from __future__ import annotations

import csv
import dataclasses
import json
import signal
import socket
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sdd_eval.cli import exit_code

PROJECT = """
    [build-system]
    requires = ["hatchling"]
    build-backend = "hatchling.build"

    [project]
    name = "third_party_methods"
    version = "1.0"

    [project.entry-points."sdd_eval.methods"]
    ps_kd = "third_party_methods:ProgressiveDistillation"
    mixed = "third_party_methods:Mixup"
    mean_teacher = "third_party_methods:MeanTeacher"

    [tool.hatch.build.targets.wheel]
    only-include = ["third_party_methods.py"]
"""
METHODS = ("ps_kd", "mixed", "mean_teacher")
RECIPE = (
    "train --dataset digits --arch small_cnn --standardisation digits --epochs 3 --batch-size 127 "
    "--lr 0.01 --sd-dropout 0.1 --device cpu --threads 1"
)

#: A process that is killed in the middle of the third epoch.
CHILD = """
import os, signal, sys
sys.path.insert(0, sys.argv.pop(1))
from sdd_eval.cli import exit_code
from sdd_eval.training import optimiser

rate = optimiser.learning_rate

def killing_rate(recipe, epoch, step, steps):
    if epoch == 2 and step == steps // 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return rate(recipe, epoch, step, steps)

if os.environ.get("KILLED"):
    optimiser.learning_rate = killing_rate
sys.exit(exit_code(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def site(install) -> Path:
    """A folder with the third party's wheel installed in it, from which it is imported."""
    source = Path(__file__).with_name("third_party_methods.py").read_text(encoding="utf-8")
    folder = install(PROJECT, {"third_party_methods.py": source})
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder
    sys.modules.pop("third_party_methods", None)


@pytest.fixture(scope="module")
def whole(site, tmp_path_factory):
    """The folder of uninterrupted trainings by each method."""
    folder = tmp_path_factory.mktemp("whole")
    for method in METHODS:
        trained(method, folder)
    return folder


def trained(method, folder):
    command = f"{RECIPE} --method {method} --name {method} --checkpoints {folder}"
    assert exit_code(command.split()) == 0


def history(folder):
    with (folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    speed = ("seconds", "images_per_second")
    return [{name: v for name, v in row.items() if name not in speed} for row in rows]


@pytest.mark.parametrize("method", METHODS)
def test_a_method_that_is_killed_resumes_to_the_same_weights(
    method, site, whole, tmp_path, start_process
):
    command = f"{RECIPE} --method {method} --name {method} --checkpoints {tmp_path}".split()
    process = start_process(CHILD, site, *command, environment={"KILLED": "yes"})
    process.join(timeout=300)
    assert process.exitcode == -signal.SIGKILL
    state = torch.load(tmp_path / method / "state.pt", weights_only=True)
    assert state["epoch"] == 2
    trained(method, tmp_path)
    one, other = (folder / method / "weights.safetensors" for folder in (whole, tmp_path))
    assert one.read_bytes() == other.read_bytes()
    assert history(whole / method) == history(tmp_path / method)


def test_the_memory_and_the_teacher_are_saved_and_not_exported(site, tmp_path, start_process):
    command = f"{RECIPE} --method ps_kd --name net --checkpoints {tmp_path}".split()
    start_process(CHILD, site, *command, environment={"KILLED": "yes"}).join(timeout=300)
    state = torch.load(tmp_path / "net/state.pt", weights_only=True)["objective"]
    before = state["memory.before"]
    assert before.sum(dim=1).allclose(torch.ones(len(before)), atol=1e-5)  # of every image
    assert not state["memory.now"].any()


def test_the_targets_of_ps_kd_change_what_is_learned_after_the_first_epoch(whole, tmp_path):
    command = f"{RECIPE} --method ps_kd --final-share 0 --name none --checkpoints {tmp_path}"
    assert exit_code(command.split()) == 0
    with_past, without = history(whole / "ps_kd"), history(tmp_path / "none")
    assert with_past[0]["ps_kd"] == without[0]["ps_kd"]
    assert with_past[2]["ps_kd"] != without[2]["ps_kd"]


def test_the_card_names_method_and_setting_and_only_the_network_is_exported(whole, capsys):
    assert exit_code(["show", "mean_teacher", "--checkpoints", str(whole)]) == 0
    card = json.loads(capsys.readouterr().out)
    assert card["recipe"]["method"] == "mean_teacher"
    assert card["recipe"]["method_options"] == {"decay": 0.9}
    weights = load_file(whole / "mean_teacher" / "weights.safetensors")
    assert not any("teacher" in name for name in weights)


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one(site, whole, tmp_path, start_process):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    for method in ("ps_kd", "mean_teacher"):
        command = f"{RECIPE} --method {method} --name {method} --checkpoints {tmp_path}".split()
        children = [
            start_process(CHILD, site, *command, environment={**group, "RANK": str(rank)})
            for rank in range(2)
        ]
        for child in children:
            child.join(timeout=300)
        assert [child.exitcode for child in children] == [0, 0]
        for one, two in zip(history(whole / method), history(tmp_path / method), strict=True):
            values = {name: float(value) for name, value in one.items()}
            assert values == pytest.approx({n: float(v) for n, v in two.items()}, rel=1e-3)


def test_an_option_with_the_name_of_a_flag_of_train_is_refused(site, monkeypatch, capsys):
    import third_party_methods

    @dataclasses.dataclass(frozen=True)
    class Clashing(third_party_methods.Mixup):
        ema_decay: float = 0.5

    monkeypatch.setattr(third_party_methods, "Mixup", Clashing)
    assert exit_code([*RECIPE.split(), "--method", "mixed"]) == 2
    assert "has an option 'ema_decay', which is a flag of train" in capsys.readouterr().err
