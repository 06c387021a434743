"""The weights that a training run exports: last or best, optionally averaged over steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sdd_eval.checkpoints.export import logits_of
from sdd_eval.data.images import ImageSet
from sdd_eval.metrics.classification import confidence_and_correct, nll
from sdd_eval.models.network import Network
from sdd_eval.records import Recipe


class ExportedWeights:
    """The average of a network's weights and those of its best epoch, if the recipe uses them.

    Both are part of the saved training state.
    """

    def __init__(
        self, network: Network, recipe: Recipe, validation: ImageSet | None = None
    ) -> None:
        """Start from the network's weights; without validation images nothing is validated."""
        self.network, self.recipe, self.validation = network, recipe, validation
        self.average: AveragedModel | None = None
        self.best: dict[str, Any] = {}
        if recipe.ema_decay:
            update = get_ema_multi_avg_fn(recipe.ema_decay)  # type: ignore[no-untyped-call]
            self.average = AveragedModel(network, multi_avg_fn=update, use_buffers=True)

    @property
    def current(self) -> Network:
        """The network that would be exported now if no earlier epoch were better."""
        return self.network if self.average is None else cast(Network, self.average.module)

    def update(self) -> None:
        """Update the average with the network's weights after a step."""
        if self.average is not None:
            self.average.update_parameters(self.network)

    def validate(self, epoch: int) -> dict[str, float]:
        """Return accuracy and NLL on the validation images if due, and keep the best weights.

        Among epochs with equal accuracy, the first is the best.
        """
        every = self.recipe.validate_every
        due = every and epoch and (epoch % every == 0 or epoch == self.recipe.epochs)
        if self.validation is None or not due:
            return {}
        device = next(self.network.parameters()).device
        logits = logits_of(self.current, self.validation, device)
        accuracy = float(confidence_and_correct(logits, self.validation.labels)[1].mean())
        if self.recipe.keep == "best" and accuracy > self.best.get("accuracy", -1.0):
            weights = {name: value.clone() for name, value in self.current.state_dict().items()}
            self.best = {"epoch": epoch, "accuracy": accuracy, "weights": weights}
        return {
            "validation_accuracy": accuracy,
            "validation_nll": nll(logits, self.validation.labels),
        }

    def export(self) -> tuple[Network, int | None]:
        """Return the network to export, and its epoch if it is the best one."""
        if not self.best:
            return self.current, None
        self.current.load_state_dict(self.best["weights"])
        return self.current, self.best["epoch"]

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resumed run needs."""
        average = {} if self.average is None else self.average.state_dict()
        return {"average": average, "best": self.best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.best = state["best"]
