"""Writing of the training state after each epoch, on a GPU in the background."""

import dataclasses
import functools
import threading

import pytest
import torch

from sdd_eval.checkpoints import state as module
from sdd_eval.checkpoints.state import State, background_writer
from sdd_eval.errors import InputError
from sdd_eval.records import Recipe
from sdd_eval.training import epochs as loop


class Disk:
    """Records epoch and tensors of each written state at the time of writing."""

    def __init__(self, *, slow=False):
        self.written, self.tensors, self.threads = [], [], set()
        self.ready = threading.Event()
        if not slow:
            self.ready.set()

    def __call__(self, state):
        self.threads.add(threading.current_thread())
        assert self.ready.wait(10)
        self.written.append(state.epoch)
        momentum = state.optimiser["state"][0]["momentum"]
        self.tensors.append((*state.objective["weight"].tolist(), *momentum.tolist()))


def trained(disk, epochs, *, in_background=True, failure=None):
    """Train some epochs that overwrite the same tensors, then fail."""
    weight, momentum = torch.zeros(1), torch.zeros(1)
    with background_writer(disk, in_background=in_background) as keep:
        for epoch in range(1, epochs + 1):
            weight.fill_(epoch)
            momentum.fill_(-epoch)
            optimiser = {"state": {0: {"momentum": momentum}}}
            keep(
                State(
                    Recipe(epochs=9),
                    "f",
                    1,
                    devices=(),
                    epoch=epoch,
                    objective={"weight": weight},
                    optimiser=optimiser,
                )
            )
        weight.fill_(float("nan"))
        momentum.fill_(float("nan"))
        disk.ready.set()
        if failure:
            raise failure


@pytest.mark.parametrize("in_background", [False, True])
def test_each_state_is_written_as_it_was_after_its_epoch(in_background):
    disk = Disk()
    trained(disk, 3, in_background=in_background)
    assert disk.written == [1, 2, 3]
    assert disk.tensors == [(1, -1), (2, -2), (3, -3)]
    assert (threading.current_thread() in disk.threads) is not in_background


def test_training_continues_while_a_state_is_written():
    disk = Disk(slow=True)
    trained(disk, 1)  # would wait for ever for a disk that becomes ready after it
    assert disk.tensors == [(1, -1)]


@pytest.mark.parametrize("failure", [KeyboardInterrupt, InputError, MemoryError])
def test_the_last_finished_epoch_is_written_after_any_error(failure):
    disk = Disk()
    with pytest.raises(failure):
        trained(disk, 3, failure=failure)
    assert disk.tensors[-1] == (3, -3)


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_full_disk_ends_the_training_with_its_error(epochs):
    calls = []

    def full(state):
        calls.append(state.epoch)
        raise InputError("cannot write state.pt: File too large")

    full.ready = threading.Event()
    with pytest.raises(InputError, match="cannot write"):
        trained(full, epochs)
    assert calls == [1]  # and no epoch is trained on top of one that is lost


def test_without_memory_for_a_copy_training_waits_for_the_write(monkeypatch):
    def exhausted(tensors):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(module.copy, "deepcopy", exhausted)
    disk = Disk()
    trained(disk, 3)
    assert disk.tensors == [(1, -1), (2, -2), (3, -3)]


def written_in_background(writer, keep, in_background):
    """Call the writer in the background on a CPU, too."""
    return writer(keep, in_background=True)


def test_writing_in_the_background_does_not_change_the_weights(data, recipe, tmp_path, monkeypatch):
    from sdd_eval.training.train import train

    recipe = dataclasses.replace(recipe, epochs=3)
    options = {"device": "cpu", "threads": 1}
    whole = train(recipe, tmp_path, name="whole", data=lambda: data, **options)
    always = functools.partial(written_in_background, background_writer)
    monkeypatch.setattr(loop, "background_writer", always)

    class Interrupter:
        left = 2 * 96 + 30

        def start(self, label, total):
            pass

        def advance(self, units=1, note=""):
            self.left -= units
            if self.left < 0:
                raise KeyboardInterrupt

    folder = tmp_path / "tiny"
    with pytest.raises(KeyboardInterrupt):
        train(
            recipe,
            folder.parent,
            name=folder.name,
            data=lambda: data,
            **options,
            progress=Interrupter(),
        )
    assert torch.load(folder / "state.pt", weights_only=True)["epoch"] == 2
    card = train(recipe, folder.parent, name=folder.name, data=lambda: data, **options)
    assert card.weights_sha256 == whole.weights_sha256
