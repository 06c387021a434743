"""The training loop, to be read from top to bottom. It knows no method by name."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from sdd_eval.errors import InputError
from sdd_eval.progress import Progress
from sdd_eval.randomness import generator
from sdd_eval.training.batches import TrainingSet, epoch_batches
from sdd_eval.training.methods.method import Batch, Losses
from sdd_eval.training.objective import Objective
from sdd_eval.training.processes import Processes
from sdd_eval.training.rows import Rows
from sdd_eval.training.schedule import learning_rate
from sdd_eval.training.state import State
from sdd_eval.training.surroundings import seed_layers


def fit(
    objective: Objective,
    data: TrainingSet,
    state: State,
    *,
    keep: Callable[[State], None],
    progress: Progress,
    probe: Callable[[int], Mapping[str, float]] = lambda epoch: {},
    processes: Processes | None = None,
) -> State:
    """Train from a state to the recipe's last epoch; `keep` is called after each epoch.

    What `probe` says after so many epochs, 0 before the first, goes into the history. Of several
    processes all do the same, each on its rows of every batch.

    Raises:
        InputError: a loss or a weight is no longer finite; what was kept is the epoch before.
    """
    recipe, device = state.recipe, data.device
    processes = processes or Processes(str(device))
    optimiser = torch.optim.SGD(
        objective.parameters(),
        recipe.lr,
        recipe.momentum,
        weight_decay=recipe.weight_decay,
        fused=True if device.type == "cuda" else None,
    )
    if state.objective is not None and state.optimiser is not None:
        objective.load_state_dict(dict(state.objective))
        optimiser.load_state_dict(dict(state.optimiser))
    step = processes.step(objective)
    progress.start(f"{recipe.method} on {recipe.dataset}", recipe.epochs * len(data))
    progress.advance(state.epoch * len(data))
    if state.epoch == 0 and (before := probe(0)):
        state = replace(state, history=({"epoch": 0, **before},))

    for epoch in range(state.epoch, recipe.epochs):
        started = time.perf_counter()
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(recipe, epoch)
        seed_layers(recipe.seed, processes.purpose("layers"), epoch)
        draws = generator(recipe.seed, "masks", epoch, device.type)
        tally = Tally(epoch, processes)

        step.train()
        batches = epoch_batches(data, recipe, objective.method, epoch, processes.rows)
        for batch in _finite(batches, tally):
            optimiser.zero_grad(set_to_none=True)
            with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
                loss, losses = step(batch, draws)
            loss.backward()
            optimiser.step()
            tally.add(losses, batch)
            progress.advance(batch.total)

        _refuse_broken_weights(objective, epoch)
        seconds = time.perf_counter() - started
        row = {"epoch": epoch + 1, "lr": learning_rate(recipe, epoch), **tally.means()}
        row |= {"images_per_second": len(data) / seconds, "seconds": seconds, **probe(epoch + 1)}
        state = replace(
            state,
            epoch=epoch + 1,
            seconds=state.seconds + seconds,
            history=(*state.history, row),
            objective=objective.state_dict(),
            optimiser=optimiser.state_dict(),
        )
        keep(state)
        progress.advance(0, f"epoch {epoch + 1}/{recipe.epochs}, loss {row['loss']:.3f}")
    return state


@dataclass
class Tally:
    """The losses of one epoch, left on the device so that no step waits for them."""

    epoch: int
    processes: Processes
    names: tuple[str, ...] = ()
    rows: list[Tensor] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    checked: int = 0

    def add(self, losses: Losses, batch: Batch) -> None:
        """Note the terms of one step and how many images were classified rightly."""
        right = (losses.logits.argmax(dim=1) == batch.labels).float().mean()
        named = {**losses.terms, "loss": losses.total, "train_accuracy": right}
        self.names = tuple(named)
        row = torch.stack([value.detach().float() for value in named.values()])
        self.rows.append(row if batch.rows is None else _shared(row, batch.rows))
        self.sizes.append(batch.total)

    def check(self) -> None:
        """Refuse a term that is not finite, naming the first; from here on rows are all images'.

        Every process finds the same, and so refuses the same.
        """
        if self.checked == len(self.rows):
            return
        rows = self.processes.summed(torch.stack(self.rows[self.checked :]))
        self.rows[self.checked :] = rows
        broken = ~rows.isfinite().cpu()
        if broken.any():
            step, term = broken.nonzero()[0].tolist()
            raise InputError(
                f"{self.names[term]} is not finite at step {self.checked + step + 1} of epoch "
                f"{self.epoch + 1}; the epoch before is kept: try a lower lr"
            )
        self.checked = len(self.rows)

    def means(self) -> dict[str, float]:
        """The epoch's mean of each term, by images."""
        sizes = torch.tensor(self.sizes, dtype=torch.float64)
        rows = torch.stack(self.rows).double().cpu()
        means = (rows * sizes[:, None]).sum(dim=0) / sizes.sum()
        return dict(zip(self.names, means.tolist(), strict=True))


def _finite(batches: Iterator[Batch], tally: Tally) -> Iterator[Batch]:
    """The batches; looks at the losses now and then, as each look waits for the device."""
    for step, batch in enumerate(batches):
        alone_on_cpu = batch.rows is None and batch.labels.device.type == "cpu"
        if step % 50 == 0 or alone_on_cpu:
            tally.check()
        yield batch
    tally.check()


def _shared(row: Tensor, rows: Rows) -> Tensor:
    """What means over some rows of a batch add to the means over all; nothing where none are."""
    return row * rows.share if len(rows) else torch.zeros_like(row)


def _refuse_broken_weights(objective: Objective, epoch: int) -> None:
    """Refuse weights that are not finite, before they are kept."""
    named = dict(objective.named_parameters())
    finite = torch.stack([tensor.isfinite().all() for tensor in named.values()]).tolist()
    for name, whole in zip(named, finite, strict=True):
        if not whole:
            raise InputError(
                f"the weights {name!r} are not finite after epoch {epoch + 1}; the epoch before "
                "is kept: try a lower lr"
            )
