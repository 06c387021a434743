"""The epochs of a training, whatever is trained: from the last that was kept to the last of all."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from sdd_eval.checkpoints.state import Kind, State, background_writer
from sdd_eval.errors import InputError
from sdd_eval.progress import Progress
from sdd_eval.training.distributed.processes import Processes
from sdd_eval.training.distributed.shard import Rows

#: What is measured after so many epochs, 0 before the first, for the history.
Probe = Callable[[int], Mapping[str, float]]


def train_epochs(
    state: State[Kind],
    trained: nn.Module,
    optimiser: torch.optim.Optimizer,
    train_epoch: Callable[[int], Mapping[str, float]],
    *,
    label: str,
    images: int,
    keep: Callable[[State[Kind]], None],
    progress: Progress,
    probe: Probe = lambda epoch: {},
) -> State[Kind]:
    """Train from a state to the recipe's last epoch; `keep` is called after each epoch.

    On a GPU a thread calls it, with a copy, while the next epoch runs (`keeping`).

    Args:
        state: where to go on; its tensors are loaded into `trained` and `optimiser`.
        trained: whose tensors the state holds.
        optimiser: of these.
        train_epoch: trains one, counted from 0; gives its `lr` and its mean losses, `loss` among
            them.
        label: what is trained, for the progress.
        images: of an epoch.
        keep: takes the state of each finished epoch, also when this fails thereafter.
        progress: who is told, in images; `train_epoch` tells of those inside an epoch.
        probe: what else the history says.

    Raises:
        InputError: a weight is no longer finite; what was kept is the epoch before.
    """
    epochs = state.recipe.epochs
    progress.start(label, epochs * images)
    progress.advance(state.epoch * images)
    state = _taken_up(state, trained, optimiser, probe)
    aside = any(weights.is_cuda for weights in trained.parameters())
    with background_writer(keep, aside=aside) as keep_aside:
        for epoch in range(state.epoch, epochs):
            started = time.perf_counter()
            losses = train_epoch(epoch)
            _refuse_broken_weights(trained, epoch)
            seconds = time.perf_counter() - started
            row = {"epoch": epoch + 1, **losses, "images_per_second": images / seconds}
            row |= {"seconds": seconds, **probe(epoch + 1)}
            state = _after_epoch(state, trained, optimiser, row)
            keep_aside(state)
            progress.advance(0, f"epoch {epoch + 1}/{epochs}, loss {row['loss']:.3f}")
    return state


def _taken_up(
    state: State[Kind], trained: nn.Module, optimiser: torch.optim.Optimizer, probe: Probe
) -> State[Kind]:
    """The state with its tensors loaded; before the first epoch, with what is measured there."""
    if state.objective is not None and state.optimiser is not None:
        trained.load_state_dict(dict(state.objective))
        optimiser.load_state_dict(dict(state.optimiser))
    if state.epoch == 0 and (before := probe(0)):
        return replace(state, history=({"epoch": 0, **before},))
    return state


def _after_epoch(
    state: State[Kind],
    trained: nn.Module,
    optimiser: torch.optim.Optimizer,
    row: Mapping[str, float],
) -> State[Kind]:
    """The state one epoch on, with the epoch's row of the history."""
    return replace(
        state,
        epoch=state.epoch + 1,
        seconds=state.seconds + row["seconds"],
        history=(*state.history, row),
        objective=trained.state_dict(),
        optimiser=optimiser.state_dict(),
    )


def _refuse_broken_weights(trained: nn.Module, epoch: int) -> None:
    """Refuse weights that are not finite, before they are kept."""
    named = dict(trained.named_parameters())
    finite = torch.stack([tensor.isfinite().all() for tensor in named.values()]).tolist()
    for name, whole in zip(named, finite, strict=True):
        if not whole:
            raise InputError(
                f"the weights {name!r} are not finite after epoch {epoch + 1}; {advice(epoch)}"
            )


@dataclass
class LossAverage:
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
