"""The checkpoint whose weights a training run starts from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from sdd_eval.checkpoints.checkpoint import Checkpoint
from sdd_eval.checkpoints.folder import find_folder
from sdd_eval.errors import InputError
from sdd_eval.models.layouts import mismatches, report
from sdd_eval.models.network import Network
from sdd_eval.records import Recipe


@dataclass(frozen=True)
class Start:
    """A checkpoint from which networks of its architecture start."""

    checkpoint: Checkpoint

    @classmethod
    def of(cls, recipe: Recipe, folder: Path, *, trust_code: bool) -> Start | None:
        """Open the recipe's `start_from`, a path or a name in a folder; None if it has none.

        Raise InputError if there is no such checkpoint, or it has another architecture.
        """
        if not recipe.start_from:
            return None
        path = find_folder(recipe.start_from, folder)
        checkpoint = Checkpoint.open(path, trust_code=trust_code)
        if checkpoint.spec.arch != recipe.arch:
            raise InputError(
                f"{checkpoint.name} is a {checkpoint.spec.arch}, and arch is {recipe.arch}; train "
                f"with arch {checkpoint.spec.arch} to start from it"
            )
        return cls(checkpoint)

    def identified(self, recipe: Recipe) -> Recipe:
        """Return the recipe with the name of the checkpoint and the SHA-256 of its weights."""
        name, sha256 = self.checkpoint.name, self.checkpoint.weights_sha256
        return replace(recipe, start_from=name, start_sha256=sha256)

    def load(self, network: Network) -> None:
        """Load the weights into a network, except for last layers of another shape.

        Raise InputError if any other weight does not fit.
        """
        own, weights = network.state_dict(), self.checkpoint.network().state_dict()
        last = {name for name in (*own, *weights) if name.startswith("classifier.")}
        head = {name: own[name] for name in last & own.keys()}
        given = {name: weights[name] for name in last & weights.keys()}
        fits = {n: t.shape for n, t in head.items()} == {n: t.shape for n, t in given.items()}
        body = {name: tensor for name, tensor in weights.items() if name not in last}
        problems = mismatches({n: t for n, t in own.items() if n not in last}, body)
        if problems:
            raise InputError(f"{self.checkpoint.name} does not fit the network: {report(problems)}")
        network.load_state_dict({**body, **(given if fits else head)})
