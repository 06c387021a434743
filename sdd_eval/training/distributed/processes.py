"""Several processes that train one network, as `torchrun` starts them; one process is the rule.

Each has its own rows of every batch and all else is as in one process: the order, the augmentation
and the masks of the whole batch, batch norms over it, gradients of its mean loss. The first process
alone writes, and shows how far it is. Where one fails all end, and one of them says why.
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
import os
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from sdd_eval.device import resolve_device
from sdd_eval.errors import InputError, ReportedElsewhere
from sdd_eval.records import Recipe
from sdd_eval.training.distributed.shard import Rows, even_rows
from sdd_eval.training.distributed.sync_batchnorm import synchronise_batch_norms
from sdd_eval.training.methods.method import Batch, Losses
from sdd_eval.training.objective import Objective

Found = TypeVar("Found")

#: How long a process waits for another, which may be testing a network on many images.
PATIENCE = datetime.timedelta(hours=6)

#: Seconds that a group's threads have to let go of what they sent; they take microseconds.
LETTING_GO = 0.2

#: Numbers for the trainings of this process, which the others count alike: a group leaves its words
#: in the store, and the next one must not read them.
_TRAININGS = itertools.count()


@dataclass(frozen=True)
class Processes:
    """This process, of all that train together, and the device that it works on."""

    device: str
    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def refuse_too_many(self, recipe: Recipe) -> None:
        """Refuse batches that do not go round.

        Raises:
            InputError: a whole batch has fewer images than there are processes.
        """
        if recipe.batch_size < self.count:
            raise InputError(
                f"batch_size is {recipe.batch_size}, but {self.count} processes train; "
                "each needs an image of a batch"
            )

    def rows(self, total: int) -> Rows | None:
        """Its rows of a batch of so many; None where it has all, being alone."""
        return None if self.count == 1 else even_rows(self.rank, self.count, total)

    def first_finds(self, look: Callable[[], Found]) -> Found:
        """What the first process finds, in all of them; the others wait for it."""
        if self.count == 1:
            return look()
        found = [look() if self.first else None]
        dist.broadcast_object_list(found, device=torch.device("cpu"))
        return found[0]  # type: ignore[return-value]

    def summed(self, values: Tensor) -> Tensor:
        """The sum of each number over all processes; the tensor is overwritten."""
        if self.count > 1:
            dist.all_reduce(values)
        return values

    def purpose(self, name: str) -> str:
        """Of random numbers that each process draws for its own rows."""
        return name if self.first else f"{name} of process {self.rank}"

    def step(self, objective: Objective) -> nn.Module:
        """The objective as `Step`, gradients averaged and batch norms taken over all processes.

        The state dict of the objective stays what it is, and its tensors are what is trained.
        """
        step = Step(objective, self.count)
        if self.count == 1:
            return step
        synchronise_batch_norms(step)
        with warnings.catch_warnings():  # of torch 2.14; what it wants instead is not in 2.6
            warnings.filterwarnings("ignore", ".*broadcast_buffers", FutureWarning)
            return nn.parallel.DistributedDataParallel(
                step,
                broadcast_buffers=False,  # the norms keep the same statistics by themselves
                static_graph=True,  # and parameters that nothing uses keep no gradient
            )


class Step(nn.Module):
    """A batch → what is minimised, and the losses that it is made of.

    A process's mean loss weighs as much as it has rows of the batch, so that the mean over
    processes is the whole batch's. The scalar stands apart: of what a module gives,
    DistributedDataParallel finds only tensors in tuples, lists and dictionaries.
    """

    def __init__(self, objective: Objective, count: int) -> None:
        """The objective, and how many processes there are."""
        super().__init__()
        self.objective = objective
        self.count = count

    def forward(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Losses]:
        """The loss whose gradient is wanted, and all terms over the rows that are here."""
        losses: Losses = self.objective(batch, generator)
        if batch.rows is None:
            return losses.total, losses
        return losses.total * (batch.rows.share * self.count), losses


@contextlib.contextmanager
def join_processes(device: str) -> Iterator[Processes]:
    """Join the processes that `torchrun` started beside this one; alone, do nothing.

    With GPUs each process has that of its `LOCAL_RANK`, and NCCL joins them; else Gloo does.

    Raises:
        InputError: what torchrun says or the device will not do, or a process failed: raised by
            the first that fails, in the others as `ReportedElsewhere`.
    """
    rank, count = _environment()
    if count == 1:
        yield Processes(device)
        return
    own = _own_device(device, count)
    backend = "cpu:gloo,cuda:nccl" if own.startswith("cuda") else "gloo"
    store, rank, count = next(rendezvous("env://", rank, count, timeout=PATIENCE))
    store = PrefixStore(f"sdd_eval training {next(_TRAININGS)}", store)
    dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=PATIENCE)
    with _ending_together(store):
        yield Processes(own, rank, count)
        dist.barrier()
    _leave()


def _leave() -> None:
    """Leave the group, once its threads have let go of the tensors that came last.

    They do so a moment after these have come, and need Python for it: where that is ending by then
    the whole process aborts. Gloo cannot be asked whether they have, nor do its threads end while
    DistributedDataParallel holds the group, so Python is left to them for a while.
    """
    time.sleep(LETTING_GO)
    dist.destroy_process_group()


def is_first() -> bool:
    """Whether this is the first process, or alone; without joining the others."""
    return _environment()[0] == 0


def _environment() -> tuple[int, int]:
    """This process's rank and how many there are, as torchrun tells them."""
    count = os.environ.get("WORLD_SIZE", "1")
    rank = os.environ.get("RANK", "0" if count == "1" else "")
    if not (rank.isdigit() and count.isdigit() and int(rank) < int(count)):
        raise InputError(
            f"WORLD_SIZE is {count!r} and RANK {rank!r} in the environment; several processes are "
            "started by torchrun --nproc-per-node N -m sdd_eval train"
        )
    return int(rank), int(count)


def _own_device(device: str, count: int) -> str:
    """The GPU of this process on its machine, or the CPU.

    Raises:
        InputError: there are fewer GPUs than processes, or one GPU is named for all.
    """
    kind = resolve_device(device)
    if kind.type != "cuda":
        return str(kind)
    if kind.index is not None:
        raise InputError(f"device is {device!r}, but {count} processes train; give cuda")
    own = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    if own.index >= torch.cuda.device_count():
        raise InputError(
            f"there are {torch.cuda.device_count()} GPUs here, each for one process; give "
            f"torchrun --nproc-per-node {torch.cuda.device_count()}"
        )
    torch.cuda.set_device(own)
    return str(own)


@contextlib.contextmanager
def _ending_together(failures: Store) -> Iterator[None]:
    """The first process that fails raises its error; the others, that it is said elsewhere.

    A failed process leaves, whereupon what the others wait for breaks: no process waits forever.

    Raises:
        InputError: this process failed, or another ended without saying why.
    """
    try:
        yield
    except (InputError, RuntimeError) as error:
        broken = not isinstance(error, InputError)
        if broken and not _of_a_connection(error):
            raise
        if _counted(failures) > 1:
            raise ReportedElsewhere(
                "another process of this training says why it failed"
            ) from error
        if broken:
            raise InputError(
                "another process of this training was ended; the same command goes on from the "
                "last finished epoch"
            ) from error
        raise


def _counted(failures: Store) -> int:
    """How many processes have failed, this one included; none where nobody counts any more."""
    try:
        return int(failures.add("failed", 1))
    except RuntimeError:
        return 0


def _of_a_connection(error: Exception) -> bool:
    """Whether a process waited for another in vain."""
    words = ("gloo", "NCCL", "Connection closed", "Connection reset", "Broken pipe")
    return isinstance(error, dist.DistError) or any(word in str(error) for word in words)
