"""The losses of one epoch: summed without waiting for the device, refused where not finite."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sdd_eval.errors import InputError
from sdd_eval.training.distributed.processes import Processes
from sdd_eval.training.distributed.shard import Rows


@dataclass
class Tally:
    """The losses of one epoch, left on the device so that no step waits for them."""

    epoch: int
    processes: Processes = field(default_factory=lambda: Processes("cpu"))
    names: tuple[str, ...] = ()
    values: list[Tensor] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    checked: int = 0

    def add(self, named: Mapping[str, Tensor], total: int, rows: Rows | None = None) -> None:
        """Note the means of one step over a batch of so many images, or over some rows of it."""
        self.names = tuple(named)
        means = torch.stack([value.detach().float() for value in named.values()])
        self.values.append(means if rows is None else _shared(means, rows))
        self.sizes.append(total)

    def check(self) -> None:
        """Refuse a term that is not finite, naming the first; from here on means are all images'.

        Every process finds the same, and so refuses the same.

        Raises:
            InputError: one is not finite.
        """
        if self.checked == len(self.values):
            return
        values = self.processes.summed(torch.stack(self.values[self.checked :]))
        self.values[self.checked :] = values
        broken = ~values.isfinite().cpu()
        if broken.any():
            step, term = broken.nonzero()[0].tolist()
            raise InputError(
                f"{self.names[term]} is not finite at step {self.checked + step + 1} of epoch "
                f"{self.epoch + 1}; {advice(self.epoch)}"
            )
        self.checked = len(self.values)

    def means(self) -> dict[str, float]:
        """The epoch's mean of each term, by images."""
        sizes = torch.tensor(self.sizes, dtype=torch.float64)
        values = torch.stack(self.values).double().cpu()
        means = (values * sizes[:, None]).sum(dim=0) / sizes.sum()
        return dict(zip(self.names, means.tolist(), strict=True))


def advice(epoch: int) -> str:
    """What is left of a training that broke in an epoch, and what to try."""
    return "the epoch before is kept: try a lower lr" if epoch else "try a lower lr"


def _shared(means: Tensor, rows: Rows) -> Tensor:
    """What means over some rows of a batch add to the means over all; nothing where none are."""
    return means * rows.share if len(rows) else torch.zeros_like(means)
