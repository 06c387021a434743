"""Trainings by torchrun on the CPU have the losses of a single process."""

import csv
import dataclasses
import json
import os
import re
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from sdd_eval import store
from sdd_eval.cli import exit_code
from sdd_eval.records import Card, Recipe
from sdd_eval.training import resume
from sdd_eval.training.data.batches import epoch_batches, training_set
from sdd_eval.training.distributed.processes import Processes
from sdd_eval.training.distributed.shard import even_rows
from sdd_eval.training.distributed.sync_batchnorm import synchronise_batch_norms
from sdd_eval.training.methods.ddgsd import DistortionGuided
from sdd_eval.training.methods.sd_dropout import dropped

#: Several command lines in one process, and what is to happen in a process at a moment.
CHILD = """
import importlib, json, os, signal, sys
from sdd_eval.cli import exit_code
from sdd_eval.errors import InputError
from sdd_eval.training import epochs, optimiser
from sdd_eval.training import resume
from torch import distributed

train = importlib.import_module("sdd_eval.training.train")
lines, moment, rank = json.loads(sys.argv[1]), sys.argv[2], int(os.environ["RANK"])
write, read, check = resume.write_state, train.load_training_data, epochs._check_weights
rate = optimiser.learning_rate

def killing_write(folder, state):
    write(folder, state)
    if moment == "after epoch 1" and state.epoch == 1:
        os.kill(os.getpid(), signal.SIGKILL)

def failing_read(recipe, root):
    if moment == "reading" and rank == 1:
        raise InputError("this process cannot read")
    return read(recipe, root)

def failing_check(objective, epoch):
    if moment == "training" and rank == 1:
        raise InputError("this process cannot go on")
    check(objective, epoch)

def interrupting_rate(recipe, epoch, step, steps):
    if moment == "in epoch 2" and epoch == 1:
        distributed.barrier()
        distributed.destroy_process_group()  # for the next line's
        raise KeyboardInterrupt
    return rate(recipe, epoch, step, steps)

resume.write_state, train.load_training_data = killing_write, failing_read
optimiser.learning_rate = interrupting_rate
epochs._check_weights = failing_check
sys.exit(max(exit_code(line) for line in lines))
"""

#: 1,000 images in batches of 127 leave one of 111: neither goes evenly into two.
SHARED = (
    "train --dataset digits --arch small_cnn --standardisation digits --augmentation crop_flip "
    "--batch-size 127 --lr 0.01 --epochs 1 --device cpu --threads 1"
)
PLAIN = f"{SHARED} --name ce"
#: 999 images in batches of 111, and one image by itself: the second process has none of it.
WITH_TERM = f"{SHARED} --name term --sd-dropout 0.5 --batch-size 111"
#: And every method that has another kind of batch, or further parts.
OTHERS = {
    "cs_kd": f"{SHARED} --name cs_kd --method cs-kd --sd-dropout 0.1",
    "ddgsd": f"{SHARED} --name ddgsd --method ddgsd --mmd-weight 50 --sd-dropout 0.1",
    "byot": f"{SHARED} --name byot --method byot --sd-dropout 0.1 --position layer2",
    "dml": f"{SHARED} --name dml --method dml --sd-dropout 0.1",
    "r_drop": f"{SHARED} --name r_drop --method r-drop --probe-epochs 0 1",
}


def torchrun(processes, lines, folder, moment="never"):
    """Run commands one after the other, each in a number of processes."""
    folder.mkdir(exist_ok=True)
    arguments = [[*line.split(), "--checkpoints", str(folder)] for line in lines]
    (folder / "child.py").write_text(CHILD)
    start = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
    start += ["--standalone"]  # a free port of this machine
    return subprocess.run(
        [*start, str(folder / "child.py"), json.dumps(arguments), moment],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def by_hand(start_process, processes, line, folder):
    """Run a command in several processes without torchrun, which starts slowly; return its output.

    The environment of each is that which torchrun would set.
    """
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(processes)}
    outputs = [folder / f"{rank}.txt" for rank in range(processes)]
    children = [
        start_process(
            "import sys; from sdd_eval.cli import exit_code; sys.exit(exit_code(sys.argv[1:]))",
            *(*line.split(), "--checkpoints", folder),
            output=str(output),
            environment={**group, "RANK": str(rank)},
        )
        for rank, output in enumerate(outputs)
    ]
    for child in children:
        child.join(timeout=120)
    assert [child.exitcode for child in children] == [0] * processes
    return "".join(output.read_text() for output in outputs)


def alone(line, folder, code=0):
    assert exit_code([*line.split(), "--checkpoints", str(folder)]) == code


def history(folder):
    with (folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    speed = {"seconds", "images_per_second"}
    return [{k: float(v) for k, v in row.items() if k not in speed and v} for row in rows]


def card(folder):
    return store.read_record(folder / "card.json", Card)


def assert_equal(one, other):
    """Check that two trainings have equal losses up to rounding and similar weights."""
    for mine, theirs in zip(history(one), history(other), strict=True):
        assert mine == pytest.approx(theirs, rel=2e-4, abs=1e-6)
    assert card(one).model == card(other).model
    weights = load_file(other / "weights.safetensors")
    for name, tensor in load_file(one / "weights.safetensors").items():
        torch.testing.assert_close(tensor, weights.pop(name), rtol=5e-3, atol=5e-4)
    assert not weights


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one_even_if_one_has_no_image(tmp_path, start_process):
    output = by_hand(start_process, 2, WITH_TERM, tmp_path / "two")
    assert output.count("accuracy") == 2  # one process prints it
    alone(WITH_TERM, tmp_path / "one")
    assert_equal(tmp_path / "one/term", tmp_path / "two/term")
    provenance = card(tmp_path / "two/term").provenance
    assert (provenance.processes, provenance.threads) == ((2,), 1)
    assert provenance.reproducible == "to seed noise"
    assert sorted(path.name for path in (tmp_path / "two/term").iterdir()) == sorted(
        path.name for path in (tmp_path / "one/term").iterdir()
    )


def test_two_processes_have_the_losses_of_one_on_streamed_photographs(
    tmp_path, write_imagenet, start_process
):
    """Train on 12 photographs in batches of 5; the last batch has one row per process."""
    write_imagenet(tmp_path / "data", 18)
    line = (
        "train --dataset imagenet --image-size 32 --augmentation resized_crop_flip --method cs-kd "
        "--sd-dropout 0.1 --arch small_cnn --batch-size 5 --lr 0.01 --epochs 2 --device cpu "
        f"--threads 1 --name photographs --data-root {tmp_path / 'data'}"
    )
    by_hand(start_process, 2, line, tmp_path / "two")
    alone(line, tmp_path / "one")
    assert_equal(tmp_path / "one/photographs", tmp_path / "two/photographs")
    assert card(tmp_path / "two/photographs").recipe.augmentation == "resized_crop_flip"


def test_two_processes_have_the_average_and_the_best_epoch_of_one(tmp_path, start_process):
    line = (
        f"{SHARED} --name options --epochs 2 --schedule cosine --warmup-epochs 1 --clip-norm 0.5 "
        "--weight-decay-on weights --ema-decay 0.9 --validation 100 --validate-every 1 --keep best "
        "--accumulate 3 --auto-augment trivial_augment --random-erasing 0.2"
    )
    by_hand(start_process, 2, line, tmp_path / "two")
    alone(line, tmp_path / "one")
    assert_equal(tmp_path / "one/options", tmp_path / "two/options")
    assert len(history(tmp_path / "two/options")) == 2
    one, two = (card(tmp_path / folder / "options").metrics for folder in ("one", "two"))
    assert one["best_epoch"] == two["best_epoch"]


@pytest.mark.slow
def test_changing_the_number_of_processes_between_epochs_does_not_change_the_losses(
    tmp_path, monkeypatch
):
    """Train epoch 1 by two processes, epoch 2 by one and epoch 3 by two.

    At a lower rate, or what rounding does to DDGSD's squared distance grows over three epochs.
    """
    every = {"ce": PLAIN, **OTHERS}
    lines = {name: f"{line} --epochs 3 --lr 0.002" for name, line in every.items()}
    folder = tmp_path / "both"
    assert torchrun(2, list(lines.values()), folder, "in epoch 2").returncode == 1
    write = resume.write_state

    def interrupting(folder, state):
        write(folder, state)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(resume, "write_state", interrupting)
        for name, line in lines.items():
            alone(line, folder, code=130)
            state = torch.load(folder / name / "state.pt", weights_only=True)
            assert (state["epoch"], state["processes"]) == (2, (2, 1))
    done = torchrun(2, list(lines.values()), folder)
    assert done.returncode == 0, done.stderr
    for name, line in lines.items():
        alone(line, tmp_path / "one")
        assert_equal(tmp_path / "one" / name, folder / name)
        assert len(history(folder / name)) == (4 if name == "r_drop" else 3)
        assert card(folder / name).provenance.processes == (2, 1)


@pytest.mark.slow
def test_a_training_of_killed_processes_resumes_in_a_single_one(tmp_path):
    line = f"{WITH_TERM} --epochs 3"
    assert torchrun(2, [line], tmp_path / "two", "after epoch 1").returncode == 1
    state = torch.load(tmp_path / "two/term/state.pt", weights_only=True)
    assert (state["epoch"], state["processes"]) == (1, (2,))
    alone(line, tmp_path / "two")
    alone(line, tmp_path / "one")
    assert_equal(tmp_path / "one/term", tmp_path / "two/term")
    assert card(tmp_path / "two/term").provenance.processes == (2, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "message"),
    [("reading", "this process cannot read"), ("training", "this process cannot go on")],
)
def test_if_one_process_fails_all_exit_with_one_error_line(moment, message, tmp_path):
    done = torchrun(2, [f"{PLAIN} --epochs 2"], tmp_path / "two", moment)
    assert re.findall(r"^.*sdd-eval: (.*)$", done.stderr, re.MULTILINE) == [message]
    assert done.returncode == 1  # torchrun's own
    assert "exitcode  : 2" in done.stderr
    assert not (tmp_path / "two/ce/card.json").exists()


@pytest.mark.slow
def test_an_error_of_all_processes_is_reported_once(tmp_path):
    done = torchrun(2, [f"{PLAIN} --lr 1e30"], tmp_path / "two")
    (line,) = re.findall(r"^.*sdd-eval: (.*)$", done.stderr, re.MULTILINE)
    assert "is not finite" in line


def test_other_commands_are_refused_under_torchrun(monkeypatch, capsys):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, message in (("0", "sdd-eval: torchrun is for train; run data without it\n"),
                       ("1", "")):  # fmt: skip
        monkeypatch.setenv("RANK", rank)
        assert exit_code(["data", "list"]) == 2
        assert capsys.readouterr().err == message


@pytest.mark.parametrize(("rank", "count"), [(None, "2"), ("2", "2"), ("x", "2")])
def test_an_environment_without_a_rank_gives_one_line(rank, count, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", count)
    if rank is not None:
        monkeypatch.setenv("RANK", rank)
    assert exit_code([*PLAIN.split(), "--checkpoints", str(tmp_path)]) == 2
    assert "started by torchrun --nproc-per-node" in capsys.readouterr().err


def test_a_batch_of_fewer_images_than_processes_is_refused():
    from sdd_eval.errors import InputError

    with pytest.raises(InputError, match="batch_size is 3, but 4 processes train"):
        Processes("cpu", 1, 4).check_count(Recipe(batch_size=3))


def test_shards_of_a_batch_concatenate_to_the_batch(data):
    """Views and masks of two processes concatenate to those of one."""
    method, recipe = DistortionGuided(), Recipe(batch_size=21, augmentation="crop_flip")
    data = training_set(data.train, torch.device("cpu"))
    whole = list(epoch_batches(data, recipe, method, 0))
    parts = [
        list(epoch_batches(data, recipe, method, 0, Processes("cpu", rank, 2).rows))
        for rank in range(2)
    ]
    for batch, *shares in zip(whole, *parts, strict=True):
        assert [share.total for share in shares] == [len(batch.labels)] * 2
        for view in range(2):
            stacked = torch.cat([share.views[view] for share in shares])
            assert torch.equal(stacked, batch.views[view])
        assert torch.equal(torch.cat([share.labels for share in shares]), batch.labels)
        ones = torch.ones(len(batch.labels), 7)
        masks = [
            dropped(ones[: len(share.labels)], 0.5, torch.Generator().manual_seed(3), share.rows)
            for share in shares
        ]
        expected = dropped(ones, 0.5, torch.Generator().manual_seed(3))
        assert torch.equal(torch.cat(masks), expected)


@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize("total", [1, 2, 7, 8, 128])
def test_shards_cover_the_batch_and_differ_by_at_most_one_row(count, total):
    rows = [even_rows(rank, count, total) for rank in range(count)]
    assert [row for item in rows for row in range(total)[item.indices]] == list(range(total))
    assert max(map(len, rows)) - min(map(len, rows)) <= 1
    assert sum(item.share for item in rows) == pytest.approx(1)


@pytest.fixture
def group(tmp_path):
    """Start a process group of this process alone."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("group")
@pytest.mark.parametrize("momentum", [0.1, None])
def test_a_synchronised_norm_equals_the_norm_of_torch_in_value_gradient_and_statistics(momentum):
    torch.manual_seed(0)
    norms = [nn.BatchNorm2d(3, momentum=momentum).double() for _ in range(2)]
    nn.init.normal_(norms[0].weight)
    norms[1].load_state_dict(norms[0].state_dict())
    both = [nn.Sequential(norm) for norm in norms]
    synchronise_batch_norms(both[1])
    images = [torch.randn(4, 3, 5, 5).double().add(50).requires_grad_() for _ in range(1)]
    images.append(images[0].detach().clone().requires_grad_())
    for net, pixels in zip(both, images, strict=True):
        net(pixels).pow(3).sum().backward()
        net(pixels)
    torch.testing.assert_close(images[1].grad, images[0].grad)
    torch.testing.assert_close(norms[1].weight.grad, norms[0].weight.grad)
    torch.testing.assert_close(dict(both[1].state_dict()), dict(both[0].state_dict()))
    for net in both:
        net.eval()
    torch.testing.assert_close(both[1](images[0]), both[0](images[0]))
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        both[1].train()(torch.ones(1, 3, 1, 1).double())


def test_a_third_party_loss_can_be_weighted_by_the_share_of_rows():
    rows = even_rows(0, 3, 8)
    assert dataclasses.asdict(rows) == {"start": 0, "stop": 3, "total": 8}
    assert np.isclose(rows.share, 3 / 8)
