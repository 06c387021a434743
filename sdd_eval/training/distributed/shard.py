"""One process's rows of a step's whole batch, and random numbers and means over them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdd_eval.training import distributed

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Rows:
    """Rows `start` to `stop` of a batch of `total` that several processes share."""

    start: int
    stop: int
    total: int

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def indices(self) -> slice:
        """Return the slice of these rows in the whole batch."""
        return slice(self.start, self.stop)

    @property
    def share(self) -> float:
        """Return the fraction of the batch that these rows make up."""
        return len(self) / self.total


#: Maps the size of a batch to the rows to load; None loads all.
RowsOf = Callable[[int], "Rows | None"]


def even_rows(rank: int, count: int, total: int) -> Rows:
    """Return the rows of process `rank` of `count`: contiguous and as even as possible.

    >>> [even_rows(rank, 3, 8).indices for rank in range(3)]
    [slice(0, 3, None), slice(3, 6, None), slice(6, 8, None)]
    """
    size, remainder = divmod(total, count)
    start = rank * size + min(rank, remainder)
    return Rows(start, start + size + (rank < remainder), total)


def uniform(
    shape: tuple[int, ...], device: torch.device, generator: Any = None, rows: Rows | None = None
) -> Tensor:
    """Return uniform random numbers in [0, 1) for the images of this process, on the first axis.

    With `rows`, numbers for the whole batch are drawn, so that every process draws what a single
    process would and its generator ends in the same state.
    """
    import torch

    if rows is None:
        return torch.rand(shape, generator=generator, device=device)
    whole = torch.rand((rows.total, *shape[1:]), generator=generator, device=device)
    return whole[rows.indices]


def batch_mean(values: Tensor, rows: Rows | None = None) -> Tensor:
    """Return the mean over the first axis of the whole batch; `values` are those of its `rows`."""
    if rows is None:
        return values.mean(dim=0)
    return distributed.all_reduce_sum(values.sum(dim=0)) / rows.total
