"""Which rows of a step's whole batch one process has, and what it must know of the others' rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Rows:
    """Rows `start` to `stop` of a batch of `total`, which several processes have together."""

    start: int
    stop: int
    total: int

    def __len__(self) -> int:
        """How many they are; there may be none."""
        return self.stop - self.start

    @property
    def own(self) -> slice:
        """What picks them out of the whole batch."""
        return slice(self.start, self.stop)

    @property
    def share(self) -> float:
        """Which share of the batch they are."""
        return len(self) / self.total


#: Which rows of a batch of so many images are wanted; None is all of them.
RowsOf = Callable[[int], "Rows | None"]


def whole_batch(total: int) -> Rows | None:
    """All."""
    return None


def even_rows(rank: int, count: int, total: int) -> Rows:
    """The rows of process `rank` of `count`: contiguous, and as even as can be.

    >>> [even_rows(rank, 3, 8).own for rank in range(3)]
    [slice(0, 3, None), slice(3, 6, None), slice(6, 8, None)]
    """
    each, more = divmod(total, count)
    start = rank * each + min(rank, more)
    return Rows(start, start + each + (rank < more), total)


def uniform(
    shape: tuple[int, ...], device: torch.device, generator: Any = None, rows: Rows | None = None
) -> Tensor:
    """Random numbers in [0, 1), the first axis the images that are here.

    Where these are some `rows` of a batch, numbers for all of it are drawn, so that every process
    draws what one process would, and goes on in the same state.
    """
    import torch

    if rows is None:
        return torch.rand(shape, generator=generator, device=device)
    whole = torch.rand((rows.total, *shape[1:]), generator=generator, device=device)
    return whole[rows.own]


def batch_mean(values: Tensor, rows: Rows | None = None) -> Tensor:
    """The mean over the first axis, of the whole batch where these are some `rows` of it."""
    if rows is None:
        return values.mean(dim=0)
    from sdd_eval.training.distributed.sync_batchnorm import all_reduce_sum

    return all_reduce_sum(values.sum(dim=0)) / rows.total
