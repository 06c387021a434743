"""Open and load checkpoints; write their weights and history."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from sdd_eval import models, store
from sdd_eval.checkpoints.folder import HISTORY, WEIGHTS, read_card
from sdd_eval.data.images import ImageSet
from sdd_eval.errors import InputError
from sdd_eval.models.bn_folding import Folding, fold
from sdd_eval.models.foreign import refuse_code, source_sha256
from sdd_eval.models.layouts import mismatches, report
from sdd_eval.models.network import Network
from sdd_eval.records import CLASSIFICATION, DETECTOR, OBJECT_DETECTION, Card, ModelSpec, Task

#: Number of images, evenly spaced in a set, on which folding is checked.
FOLDING_IMAGES = 16


@dataclass(frozen=True)
class Checkpoint:
    """A network with its card: an opened checkpoint folder, or a module in memory."""

    folder: Path
    card: Card
    """The card with the name of the folder, so that a copy is not mistaken for the original."""
    build: Callable[[], nn.Module] = field(repr=False, compare=False)
    """Returns the network with its weights, in eval mode and without gradients."""
    fold: ImageSet | None = None
    """Images on which the folding of batch norms is checked; None does not fold."""
    adapt: Callable[[nn.Module], nn.Module] = field(
        default=lambda network: network, repr=False, compare=False
    )
    """Checks a loaded network, and returns it, or an adapter of its input or output."""
    foldings: list[Folding] = field(default_factory=list, init=False, repr=False, compare=False)
    """How the loaded networks are folded."""

    @classmethod
    def open(
        cls, path: str | Path, *, trust_code: bool = False, task: Task = CLASSIFICATION
    ) -> Checkpoint:
        """Read and verify the card and the weights of a checkpoint folder, each once.

        `trust_code` allows running the network factory that the card names, if any. Raise
        InputError if there is no checkpoint, it is for another task, its weights are missing,
        truncated or changed, or the card names code that is not trusted.
        """
        folder = Path(path)
        card = dataclasses.replace(read_card(folder), name=folder.resolve().name)
        _require_task(card, task)
        _require_trust(card, trust_code)
        weights = verified_weights(folder, card)
        return cls(folder, card, partial(_network, folder, card, weights, trust_code))

    @classmethod
    def in_memory(cls, model: nn.Module, spec: ModelSpec) -> Checkpoint:
        """Return a module in eval mode as a checkpoint without a folder, named after its class."""
        card = Card(type(model).__name__, spec, None, {}, module_sha256(model))
        return cls(Path(card.name), card, lambda: model)

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self.card.name

    @property
    def spec(self) -> ModelSpec:
        """The specification of the network."""
        return self.card.model

    @property
    def weights_sha256(self) -> str:
        """The SHA-256 of the weights."""
        return self.card.weights_sha256

    @property
    def history(self) -> Path:
        """The training history, a CSV file with a row per epoch; the file may be missing."""
        return self.folder / HISTORY

    def network(self, device: str = "cpu") -> nn.Module:
        """Load the network onto a device, in eval mode, without gradients, folded and adapted.

        Raise InputError if the weights do not match the card, or `adapt` refuses the network.
        """
        network = self.build().to(device)
        folding = Folding()
        if self.fold is not None:
            rows = np.unique(np.linspace(0, len(self.fold) - 1, FOLDING_IMAGES).astype(np.int64))
            batch = next(iter(self.fold.batches(FOLDING_IMAGES, rows, device)))
            network, folding = fold(network, batch.float().div_(255))
        self.foldings.append(folding)
        return self.adapt(network)


def load(checkpoint: str | Path, device: str = "cpu", *, trust_code: bool = False) -> Network:
    """Load a classifier: pixels in [0, 1] → logits, in eval mode, without gradients.

    Raise InputError as `Checkpoint.open` and `Checkpoint.network` do.
    """
    return cast(Network, Checkpoint.open(checkpoint, trust_code=trust_code).network(device))


def _require_task(card: Card, task: Task) -> None:
    if card.model.task == task:
        return
    if task == CLASSIFICATION:
        raise InputError(
            f"{card.name} is an object detector, not a classifier; sdd-eval detection measures it"
        )
    raise InputError(
        f"{card.name} is a classifier, not an object detector; train a detector on it with "
        f"`sdd-eval train-detector --from {card.name}`"
    )


def _require_trust(card: Card, trust_code: bool) -> None:
    """Raise InputError for code of a card that is untrusted or has changed."""
    arch = card.model.arch.removeprefix(DETECTOR)
    refuse_code(arch, trust_code)
    recorded = card.provenance.code_sha256
    if recorded is not None and source_sha256(arch) != recorded:
        raise InputError(
            f"{card.name}: the code of arch {arch!r} has changed since the card was "
            "written; import or train it again"
        )


def verified_weights(folder: Path, card: Card) -> bytes:
    """Read the weights file; raise InputError if it is missing or its SHA-256 is not the card's."""
    path = folder / WEIGHTS
    if path.exists() and not path.is_file():  # reading a pipe would block
        raise InputError(f"cannot read {path}: it is not a regular file")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    actual, expected = hashlib.sha256(content).hexdigest(), card.weights_sha256
    if actual != expected:
        raise InputError(
            f"{path} is truncated or changed: its sha256 is {actual[:12]}…, "
            f"the card says {expected[:12]}…; restore the file, or train again with --overwrite"
        )
    return content


def _network(folder: Path, card: Card, weights: bytes, trust_code: bool) -> nn.Module:
    """Build the network of a card and load its weights."""
    try:
        tensors = safetensors.torch.load(weights)
    except safetensors.SafetensorError as error:
        raise InputError(f"{folder / WEIGHTS} is not a safetensors file: {error}") from error
    if ":" not in card.model.arch:  # before memory is allocated for a network of any size
        with torch.device("meta"):
            _require_fit(folder, models.build(card.model), tensors)
    build = models.build_detector if card.model.task == OBJECT_DETECTION else models.build
    with torch.random.fork_rng(devices=[]):  # the initial weights are discarded
        network: nn.Module = build(card.model, trust_code=trust_code)
    _require_fit(folder, network, tensors)
    network.load_state_dict(tensors)
    return network.eval().requires_grad_(False)


def _require_fit(folder: Path, network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Raise InputError unless the tensors have the names and shapes of the network's."""
    problems = mismatches(network.state_dict(), tensors)
    if problems:
        raise InputError(f"{folder}: the card does not fit the weights: {report(problems)}")


def write_weights(folder: Path, network: nn.Module) -> str:
    """Write the network's weights atomically, and return their SHA-256."""
    content = _content(network)
    store.write_bytes(folder / WEIGHTS, content)
    return hashlib.sha256(content).hexdigest()


def weights_sha256(network: nn.Module) -> str:
    """Return the SHA-256 of the file that `write_weights` would write."""
    return hashlib.sha256(_content(network)).hexdigest()


def module_sha256(module: nn.Module) -> str:
    """Return `weights_sha256`, also of a module whose state is not a mapping of tensors.

    Weights of quantised modules are packed, and those of frozen ones are constants of their code.
    """
    state = module.state_dict()
    packed = any(not isinstance(v, torch.Tensor) or v.is_quantized for v in state.values())
    frozen = isinstance(module, torch.jit.ScriptModule) and not state
    if not packed and not frozen:
        return weights_sha256(module)
    content = io.BytesIO()
    if frozen:
        code, constants = cast(Any, module).code_with_constants
        torch.save((code, constants.const_mapping), content)
    else:
        torch.save(state, content)
    return hashlib.sha256(content.getvalue()).hexdigest()


def _content(network: nn.Module) -> bytes:
    # Cloned: a network may share one tensor under two names, which safetensors rejects.
    state = network.state_dict()
    tensors = {name: tensor.cpu().contiguous().clone() for name, tensor in state.items()}
    return safetensors.torch.save(tensors)


def write_history(folder: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Write one row per epoch as CSV, atomically; missing values are left empty."""
    text = io.StringIO()
    columns = dict.fromkeys(name for row in (*rows[-1:], *rows) for name in row)
    writer = csv.DictWriter(text, fieldnames=list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in rows)
    store.write_text(folder / HISTORY, text.getvalue())
