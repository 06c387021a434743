"""Processes that train one network together, as started by `torchrun`; usually there is one.

Each process computes its rows of every batch. Order, augmentation and masks of the whole batch are
those of a single process, batch norms see the whole batch, and gradients are of its mean loss. Only
the first process writes and shows progress. If a process fails, all exit and one reports the error.
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

Result = TypeVar("Result")

#: How long a process waits for another, which may be evaluating many images.
TIMEOUT = datetime.timedelta(hours=6)

#: Seconds for a group's threads to release sent tensors; they take microseconds.
RELEASE_SECONDS = 0.2

#: Words in error messages about a broken connection to another process.
CLOSED = ("gloo", "NCCL", "Connection closed", "Connection reset", "Broken pipe")

#: Counts the training runs of this process, so that none reads the keys of an earlier one.
_TRAININGS = itertools.count()


@dataclass(frozen=True)
class Processes:
    """The current process among those that train together, and its device."""

    device: str
    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Return whether this is the process that writes."""
        return self.rank == 0

    def check_count(self, recipe: Recipe) -> None:
        """Raise InputError if there are too many processes for a batch, or for mixing images."""
        if self.count > 1 and (recipe.mixup or recipe.cutmix):
            raise InputError(
                f"mixup and cutmix mix the images of a whole batch, of which each of {self.count} "
                "processes has a part; train in one process"
            )
        if recipe.batch_size < self.count:
            raise InputError(
                f"batch_size is {recipe.batch_size}, but {self.count} processes train; "
                "each needs an image of a batch"
            )

    def rows(self, total: int) -> Rows | None:
        """Return this process's rows of a batch of `total`; None for a single process."""
        return None if self.count == 1 else even_rows(self.rank, self.count, total)

    def broadcast(self, compute: Callable[[], Result]) -> Result:
        """Call a function in the first process, and return its result in all of them."""
        if self.count == 1:
            return compute()
        results = [compute() if self.first else None]
        dist.broadcast_object_list(results, device=torch.device("cpu"))
        return results[0]  # type: ignore[return-value]

    def summed(self, values: Tensor) -> Tensor:
        """Sum each number over all processes, in place."""
        if self.count > 1:
            dist.all_reduce(values)
        return values

    def purpose(self, name: str) -> str:
        """Return the purpose of random numbers that differ between processes."""
        return name if self.first else f"{name} of process {self.rank}"

    def parallel(self, step: nn.Module) -> nn.Module:
        """Wrap a module whose gradients are averaged over the processes.

        The tensors and the state dict of its submodules stay the same.
        """
        if self.count == 1:
            return step
        synchronise_batch_norms(step)
        with warnings.catch_warnings():  # torch 2.14 suggests a replacement that 2.6 lacks
            warnings.filterwarnings("ignore", ".*broadcast_buffers", FutureWarning)
            return nn.parallel.DistributedDataParallel(
                step,
                broadcast_buffers=False,  # the norms keep the same statistics on their own
                static_graph=True,  # and unused parameters keep no gradient
            )


@contextlib.contextmanager
def join_processes(device: str) -> Iterator[Processes]:
    """Join the processes that `torchrun` started; does nothing for a single process.

    On GPUs, each process uses the one of its `LOCAL_RANK` with NCCL; otherwise Gloo is used. Raise
    InputError if torchrun's environment or the device is invalid, or if a process fails: the first
    that fails raises it, the others raise `ReportedElsewhere`.
    """
    rank, count = _environment()
    if count == 1:
        yield Processes(device)
        return
    local = _local_device(device, count)
    backend = "cpu:gloo,cuda:nccl" if local.startswith("cuda") else "gloo"
    store, rank, count = next(rendezvous("env://", rank, count, timeout=TIMEOUT))
    store = PrefixStore(f"sdd_eval training {next(_TRAININGS)}", store)
    dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=TIMEOUT)
    try:
        with _report_once(store):
            yield Processes(local, rank, count)
            dist.barrier()
    finally:
        # The group's threads release the last received tensors slightly later, and need Python to
        # do so: if the interpreter exits first, the process aborts. Nothing else waits for them.
        time.sleep(RELEASE_SECONDS)
    dist.destroy_process_group()


def is_first() -> bool:
    """Return whether this is the first or only process, without joining the others."""
    return _environment()[0] == 0


def _environment() -> tuple[int, int]:
    count = os.environ.get("WORLD_SIZE", "1")
    rank = os.environ.get("RANK", "0" if count == "1" else "")
    if not (rank.isdigit() and count.isdigit() and int(rank) < int(count)):
        raise InputError(
            f"WORLD_SIZE is {count!r} and RANK {rank!r} in the environment; several processes are "
            "started by torchrun --nproc-per-node N -m sdd_eval train"
        )
    return int(rank), int(count)


def _local_device(device: str, count: int) -> str:
    resolved = resolve_device(device)
    if resolved.type != "cuda":
        return str(resolved)
    if resolved.index is not None:
        raise InputError(f"device is {device!r}, but {count} processes train; give cuda")
    local = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    if local.index >= torch.cuda.device_count():
        raise InputError(
            f"there are {torch.cuda.device_count()} GPUs here, each for one process; give "
            f"torchrun --nproc-per-node {torch.cuda.device_count()}"
        )
    torch.cuda.set_device(local)
    return str(local)


@contextlib.contextmanager
def _report_once(failures: Store) -> Iterator[None]:
    """Raise the error of the first process that fails; the others raise ReportedElsewhere.

    A failed process exits, which breaks the connections the others wait on: none waits forever.
    """
    try:
        yield
    except (InputError, RuntimeError) as error:
        broken = not isinstance(error, InputError)
        closed = isinstance(error, dist.DistError) or any(word in str(error) for word in CLOSED)
        if broken and not closed:
            raise
        failed = 1
        with contextlib.suppress(RuntimeError):  # the store may be gone
            failed = int(failures.add("failed", 1))
        if failed > 1:
            raise ReportedElsewhere("another process of this training reports its error") from error
        if broken:
            raise InputError(
                "another process of this training was killed; the same command resumes after the "
                "last finished epoch"
            ) from error
        raise
