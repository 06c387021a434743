"""The epochs of a training run, from the last saved one to the last, and their mean losses."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from sdd_eval.checkpoints.state import RecipeType, State, background_writer
from sdd_eval.errors import InputError
from sdd_eval.progress import Progress
from sdd_eval.training.distributed.processes import Processes
from sdd_eval.training.distributed.shard import Rows

#: Returns columns of the history after a number of epochs; 0 is before training.
Probe = Callable[[int], Mapping[str, float]]


class Stateful(Protocol):
    """What changes during training besides the trained module and its optimiser."""

    def state_dict(self) -> Mapping[str, Any]:
        """Return the state that a resumed run needs."""

    def load_state_dict(self, state: Mapping[str, Any]) -> Any:
        """Restore what `state_dict` returned."""


def train_epochs(
    state: State[RecipeType],
    trained: nn.Module,
    optimiser: torch.optim.Optimizer,
    train_epoch: Callable[[int], Mapping[str, float]],
    *,
    label: str,
    images: int,
    save: Callable[[State[RecipeType]], None],
    progress: Progress,
    probe: Probe = lambda epoch: {},
    further: Mapping[str, Stateful] = MappingProxyType({}),
) -> State[RecipeType]:
    """Train from a state to the recipe's last epoch.

    `trained`, `optimiser` and the objects in `further` hold the state's tensors.

    `train_epoch` trains one epoch, counted from 0, and returns its `lr` and mean losses, including
    `loss`; `probe` returns further columns of the history. `save` is called after each epoch; on a
    GPU it runs in a thread, on a copy of the state, during the next epoch (`background_writer`).
    Progress counts images; an epoch has `images` of them. Raise InputError if a weight is not
    finite; the last saved state is then that of the previous epoch.
    """
    epochs = state.recipe.epochs
    progress.start(label, epochs * images)
    progress.advance(state.epoch * images)
    state = _restore(state, trained, optimiser, further, probe)
    in_background = any(weights.is_cuda for weights in trained.parameters())
    with background_writer(save, in_background=in_background) as write_state:
        for epoch in range(state.epoch, epochs):
            started = time.perf_counter()
            losses = train_epoch(epoch)
            _check_weights(trained, epoch)
            seconds = time.perf_counter() - started
            row = {"epoch": epoch + 1, **losses, "images_per_second": images / seconds}
            row |= {"seconds": seconds, **probe(epoch + 1)}
            state = replace(
                state,
                epoch=epoch + 1,
                seconds=state.seconds + seconds,
                history=(*state.history, row),
                objective=trained.state_dict(),
                optimiser=optimiser.state_dict(),
                further={name: part.state_dict() for name, part in further.items()},
            )
            write_state(state)
            progress.advance(0, f"epoch {epoch + 1}/{epochs}, loss {row['loss']:.3f}")
    return state


def _restore(
    state: State[RecipeType],
    trained: nn.Module,
    optimiser: torch.optim.Optimizer,
    further: Mapping[str, Stateful],
    probe: Probe,
) -> State[RecipeType]:
    """Load the state's tensors; before the first epoch, add the probe's row to the history."""
    if state.objective is not None and state.optimiser is not None:
        trained.load_state_dict(dict(state.objective))
        optimiser.load_state_dict(dict(state.optimiser))
        for name, values in state.further.items():
            further[name].load_state_dict(values)
    if state.epoch == 0 and (before := probe(0)):
        return replace(state, history=({"epoch": 0, **before},))
    return state


def _check_weights(trained: nn.Module, epoch: int) -> None:
    weights = dict(trained.named_parameters())
    finite = torch.stack([tensor.isfinite().all() for tensor in weights.values()]).tolist()
    for name, is_finite in zip(weights, finite, strict=True):
        if not is_finite:
            raise InputError(
                f"the weights {name!r} are not finite after epoch {epoch + 1}; {advice(epoch)}"
            )


@dataclass
class LossAverage:
    """Mean losses of one epoch, stored on the device so that no step waits for them."""

    epoch: int
    processes: Processes = field(default_factory=lambda: Processes("cpu"))
    names: tuple[str, ...] = ()
    values: list[Tensor] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    checked: int = 0

    def add(self, losses: Mapping[str, Tensor], total: int, rows: Rows | None = None) -> None:
        """Add the mean losses of a step of `total` images, over `rows` of them if not all."""
        self.names = tuple(losses)
        means = torch.stack([value.detach().float() for value in losses.values()])
        if rows is not None:
            means = means * rows.share if len(rows) else torch.zeros_like(means)
        self.values.append(means)
        self.sizes.append(total)

    def check(self) -> None:
        """Sum the latest losses over all processes; raise InputError, in all, if not finite."""
        if self.checked == len(self.values):
            return
        values = self.processes.summed(torch.stack(self.values[self.checked :]))
        self.values[self.checked :] = values
        non_finite = ~values.isfinite().cpu()
        if non_finite.any():
            step, term = non_finite.nonzero()[0].tolist()
            raise InputError(
                f"{self.names[term]} is not finite at step {self.checked + step + 1} of epoch "
                f"{self.epoch + 1}; {advice(self.epoch)}"
            )
        self.checked = len(self.values)

    def means(self) -> dict[str, float]:
        """Return the epoch's mean of each term, weighted by images."""
        sizes = torch.tensor(self.sizes, dtype=torch.float64)
        values = torch.stack(self.values).double().cpu()
        means = (values * sizes[:, None]).sum(dim=0) / sizes.sum()
        return dict(zip(self.names, means.tolist(), strict=True))


def advice(epoch: int) -> str:
    """Return advice for a training run that failed in an epoch."""
    return "the epoch before is saved; try a lower lr" if epoch else "try a lower lr"
