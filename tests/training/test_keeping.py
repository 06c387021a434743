"""A state is written as often as that costs next to nothing, and an ordinary end loses none."""

import dataclasses

import pytest
import torch

from sdd_eval.errors import InputError
from sdd_eval.records import Recipe
from sdd_eval.training import keeping as module
from sdd_eval.training.keeping import SHARE, keeping
from sdd_eval.training.state import State


class Disk:
    """A disk on which a write takes so many seconds."""

    def __init__(self, monkeypatch, seconds):
        self.seconds, self.now, self.written = seconds, 0.0, []
        monkeypatch.setattr(module, "perf_counter", lambda: self.now)

    def __call__(self, state):
        self.now += self.seconds
        self.written.append(state.epoch)
        self.weight = state.objective["weight"].clone()
        self.momentum = state.optimiser["state"][0]["momentum"].clone()


def state_after(epoch, epochs, seconds, tensors=None):
    weight, momentum = tensors or (torch.zeros(2), torch.zeros(2))
    return State(
        Recipe(epochs=epochs),
        "f",
        1,
        devices=(),
        epoch=epoch,
        seconds=epoch * seconds,
        objective={"weight": weight},
        optimiser={"state": {0: {"momentum": momentum}}},
    )


def trained(disk, epochs, seconds):
    with keeping(disk) as keep:
        for epoch in range(1, epochs + 1):
            keep(state_after(epoch, epochs, seconds))
    return disk.written


def ended(disk, epochs, failure):
    """So many epochs of a second, and a failure in the next one."""
    weight, momentum = torch.zeros(2), torch.zeros(2)
    with keeping(disk) as keep:
        for epoch in range(1, epochs + 1):
            weight.fill_(epoch)
            momentum.fill_(-epoch)
            keep(state_after(epoch, 9, 1.0, (weight, momentum)))
        weight.fill_(float("nan"))
        momentum.fill_(float("nan"))
        raise failure


def test_epochs_that_take_long_are_all_written(monkeypatch):
    assert trained(Disk(monkeypatch, 0.3), 5, seconds=16.0) == [1, 2, 3, 4, 5]


def test_of_short_epochs_writing_takes_a_fixed_share_and_first_and_last_are_written(monkeypatch):
    disk = Disk(monkeypatch, 0.3)
    written = trained(disk, 200, seconds=0.75)
    assert written[:3] == [1, 21, 41]  # every 15 seconds, 50 times as long as a write
    assert written[-1] == 200
    assert disk.now <= SHARE * 200 * 0.75 + 2 * 0.3


@pytest.mark.parametrize("failure", [KeyboardInterrupt, InputError, MemoryError])
def test_an_ordinary_end_writes_the_last_finished_epoch_as_it_was(failure, monkeypatch):
    disk = Disk(monkeypatch, 10.0)
    with pytest.raises(failure):
        ended(disk, 3, failure)
    assert disk.written == [1, 3]
    assert disk.weight.tolist() == [3, 3]
    assert disk.momentum.tolist() == [-3, -3]


def test_nothing_is_written_twice(monkeypatch):
    disk = Disk(monkeypatch, 0.0)
    with pytest.raises(KeyboardInterrupt):
        ended(disk, 1, KeyboardInterrupt)
    assert disk.written == [1]


def test_a_disk_that_is_full_is_what_is_said(monkeypatch):
    def full(state):
        raise InputError("cannot write state.pt: File too large")

    with pytest.raises(InputError, match="cannot write"), keeping(full) as keep:
        keep(state_after(1, 9, 1.0))


def test_a_training_with_a_slow_disk_goes_on_from_its_last_finished_epoch(
    material, recipe, tmp_path, monkeypatch
):
    from sdd_eval.training import making
    from sdd_eval.training.train import train_on

    recipe = dataclasses.replace(recipe, epochs=4)
    whole = train_on(lambda: material, recipe, tmp_path / "whole", device="cpu", threads=1)
    written, write = [], making.write_state

    def slow(place, state):
        written.append(state.epoch)
        clock[0] += 1000.0
        write(place, state)

    class Interrupter:
        left = 3 * 96 + 30

        def start(self, label, total):
            pass

        def advance(self, units=1, note=""):
            self.left -= units
            if self.left < 0:
                raise KeyboardInterrupt

    clock = [0.0]
    place = tmp_path / "tiny"
    with monkeypatch.context() as patch:
        patch.setattr(making, "write_state", slow)
        patch.setattr(module, "perf_counter", lambda: clock[0])
        with pytest.raises(KeyboardInterrupt):
            train_on(
                lambda: material, recipe, place, device="cpu", threads=1, progress=Interrupter()
            )
    assert written == [1, 3]
    assert torch.load(place / "state.pt", weights_only=True)["epoch"] == 3
    card = train_on(lambda: material, recipe, place, device="cpu", threads=1)
    assert card.weights_sha256 == whole.weights_sha256


def test_where_the_device_has_no_room_for_a_copy_the_epoch_is_written(monkeypatch):
    def exhausted(tensors):
        raise torch.OutOfMemoryError("CUDA out of memory")

    disk = Disk(monkeypatch, 10.0)
    monkeypatch.setattr(module.copy, "deepcopy", exhausted)
    assert trained(disk, 3, seconds=1.0) == [1, 2, 3]
