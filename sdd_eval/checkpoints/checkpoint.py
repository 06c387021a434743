"""The folder of a checkpoint: `card.json`, `weights.safetensors`, `history.csv`.

The card is written last: where it is, the checkpoint is whole.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from sdd_eval import store
from sdd_eval.checkpoints import checkpoint
from sdd_eval.errors import InputError
from sdd_eval.models.build import build
from sdd_eval.models.foreign import refuse_code, source_sha256
from sdd_eval.models.network import Network
from sdd_eval.records import DETECTOR, FORMAT, Card, ModelSpec

CARD = "card.json"
WEIGHTS = "weights.safetensors"
HISTORY = "history.csv"

#: In a card's provenance: sha256 of the file whose factory makes the network.
CODE = "code_sha256"


def load(checkpoint: str | Path, device: str = "cpu", *, trust_code: bool = False) -> Network:
    """A checkpoint's network, pixels in [0, 1] → logits, in eval mode, its parameters frozen.

    Args:
        checkpoint: the folder with `card.json` and `weights.safetensors`.
        device: where the network goes.
        trust_code: run the code that the card names as its network's factory, if it names one.

    Raises:
        InputError: there is no checkpoint, its weights are truncated or changed, its card does
            not fit them, or it names code that is not trusted.
    """
    folder = Path(checkpoint)
    card = read_card(folder)
    require_trust(card, trust_code)
    tensors = read_weights(folder, card)
    with torch.random.fork_rng(devices=[]):  # the initial weights are thrown away
        network = build(card.model, trust_code=trust_code)
    load_weights(network, tensors, str(folder))
    return network.eval().requires_grad_(False).to(device)


def read_card(checkpoint: str | Path) -> Card:
    """The card of a checkpoint's folder.

    Raises:
        InputError: there is none, or this version cannot read it.
    """
    path = Path(checkpoint) / CARD
    if not path.is_file():
        raise InputError(f"{checkpoint} is not a checkpoint: there is no {CARD} in it")
    card = store.read_record(path, Card)
    if card.format != FORMAT:
        raise InputError(f"{path} has format {card.format}; this version reads {FORMAT}")
    return card


def require_trust(card: Card, trust_code: bool) -> None:
    """Refuse a card whose network is made by code that comes with it, unless that is trusted.

    Raises:
        InputError: it is not, or the code's file is not the one that the card was made with; or
            the card is a detector's, which is no classifier.
    """
    if card.model.arch.startswith(DETECTOR):
        raise InputError(
            f"{card.name} is an object detector, not a classifier; sdd-eval detection measures it"
        )
    refuse_code(card.model.arch, trust_code)
    noted = card.provenance.get(CODE)
    if noted is not None and source_sha256(card.model.arch) != noted:
        raise InputError(
            f"{card.name}: the code of arch {card.model.arch!r} has changed since the card was "
            "written; import or train it again"
        )


def code_of(arch: str) -> dict[str, str]:
    """What a card's provenance notes of the code that makes its network; empty where none does."""
    found = source_sha256(arch)
    return {} if found is None else {CODE: found}


def verify(checkpoint: str | Path, card: Card) -> None:
    """Check the weights against the card without building the network.

    Raises:
        InputError: they are missing, truncated or changed.
    """
    _verified(Path(checkpoint) / WEIGHTS, card.weights_sha256)


def write_weights(folder: Path, network: nn.Module) -> str:
    """Write the network's weights atomically.

    Returns:
        Their sha256.
    """
    content = _content(network)
    store.write_atomically(folder / WEIGHTS, lambda file: file.write(content))
    return hashlib.sha256(content).hexdigest()


def weights_sha256(network: nn.Module) -> str:
    """What `write_weights` would return."""
    return hashlib.sha256(_content(network)).hexdigest()


def _content(network: nn.Module) -> bytes:
    """The network's state as a file of weights."""
    # Cloned: a stranger's network may use one tensor under two names, which the format refuses.
    state = network.state_dict()
    tensors = {name: tensor.cpu().contiguous().clone() for name, tensor in state.items()}
    content: bytes = safetensors.torch.save(tensors)
    return content


def read_weights(folder: Path, card: Card) -> dict[str, Tensor]:
    """The tensors of a checkpoint's weights.

    Raises:
        InputError: they are missing, truncated or changed.
    """
    path = folder / WEIGHTS
    try:
        return dict(safetensors.torch.load(_verified(path, card.weights_sha256)))
    except safetensors.SafetensorError as error:
        raise InputError(f"{path} is not a safetensors file: {error}") from error


def write_history(folder: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Write one row an epoch as CSV, atomically; what a row does not have is left empty."""
    text = io.StringIO()
    named = dict.fromkeys(name for row in (*rows[-1:], *rows) for name in row)
    writer = csv.DictWriter(text, fieldnames=list(named), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in rows)
    store.write_text(folder / HISTORY, text.getvalue())


def load_weights(network: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Pour tensors into a network.

    Raises:
        InputError: naming the first that is missing, left over or of another shape.
    """
    wanted = network.state_dict()
    for name, tensor in wanted.items():
        if name not in tensors:
            raise InputError(f"{where}: the card does not fit the weights, which lack {name!r}")
        if tensors[name].shape != tensor.shape:
            theirs, ours = tuple(tensors[name].shape), tuple(tensor.shape)
            raise InputError(
                f"{where}: the card does not fit the weights: {name!r} is {theirs}, not {ours}"
            )
    for name in tensors:
        if name not in wanted:
            raise InputError(
                f"{where}: the card does not fit the weights: its network has no {name!r}"
            )
    network.load_state_dict(dict(tensors))


def _verified(path: Path, sha256: str) -> bytes:
    """The content of a file of weights, if its sha256 is this."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise InputError(
            f"{path} is truncated or changed: its sha256 is {found[:12]}…, "
            f"the card says {sha256[:12]}…; restore the file, or train again with --overwrite"
        )
    return content


@dataclass(frozen=True)
class LazyCheckpoint:
    """A checkpoint's folder and card, its weights checked against the card."""

    folder: Path
    card: Card
    trust_code: bool = False

    @property
    def name(self) -> str:
        """What its folder is called."""
        return self.folder.resolve().name

    @property
    def spec(self) -> ModelSpec:
        """What its network is."""
        return self.card.model

    @property
    def weights_sha256(self) -> str:
        """Which weights it has."""
        return self.card.weights_sha256

    def network(self, device: str) -> torch.nn.Module:
        """Its network on a device, in eval mode, its parameters frozen."""
        return checkpoint.load(self.folder, device, trust_code=self.trust_code)


def find_checkpoint(
    name: str, beside: Path | None = None, *, trust_code: bool = False
) -> LazyCheckpoint:
    """A checkpoint by its folder, or by its name in the folder that another one lies in.

    Raises:
        InputError: there is none, its weights are missing or changed, or it names code that is not
            trusted.
    """
    places = [Path(name), *([beside / name] if beside else [])]
    for folder in places:
        if (folder / checkpoint.CARD).is_file():
            card = checkpoint.read_card(folder)
            checkpoint.require_trust(card, trust_code)
            checkpoint.verify(folder, card)
            return LazyCheckpoint(folder, card, trust_code)
    raise InputError(f"no checkpoint {name!r} to compare with at {' or '.join(map(str, places))}")
