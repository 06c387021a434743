"""Checkpoint folders: `card.json`, `weights.safetensors`, `history.csv`.

The card is written last: a folder with a card is a complete checkpoint.
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
from sdd_eval.errors import InputError
from sdd_eval.models.build import build
from sdd_eval.models.foreign import refuse_code, source_sha256
from sdd_eval.models.network import Network
from sdd_eval.records import DETECTOR, FORMAT, Card, ModelSpec

CARD = "card.json"
WEIGHTS = "weights.safetensors"
HISTORY = "history.csv"

#: Key of a card's provenance: SHA-256 of the file whose factory builds the network.
CODE = "code_sha256"


def load(checkpoint: str | Path, device: str = "cpu", *, trust_code: bool = False) -> Network:
    """Load a checkpoint's network: pixels in [0, 1] → logits, in eval mode, without gradients.

    `trust_code` allows running the network factory that the card names, if it names one. Raise
    InputError if there is no checkpoint, its weights are truncated or changed or do not match its
    card, or the card names code that is not trusted.
    """
    folder = Path(checkpoint)
    card = read_card(folder)
    require_trust(card, trust_code)
    tensors = read_weights(folder, card)
    with torch.random.fork_rng(devices=[]):  # the initial weights are discarded
        network = build(card.model, trust_code=trust_code)
    load_weights(network, tensors, str(folder))
    return network.eval().requires_grad_(False).to(device)


def read_card(checkpoint: str | Path) -> Card:
    """Read the card of a checkpoint; raise InputError if there is none that this version reads."""
    path = Path(checkpoint) / CARD
    if not path.is_file():
        raise InputError(f"{checkpoint} is not a checkpoint: it has no {CARD}")
    card = store.read_record(path, Card)
    if card.format != FORMAT:
        raise InputError(f"{path} has format {card.format}; this version reads format {FORMAT}")
    return card


def require_trust(card: Card, trust_code: bool) -> None:
    """Raise InputError for a detector, or for code of a card that is untrusted or has changed."""
    if card.model.arch.startswith(DETECTOR):
        raise InputError(
            f"{card.name} is an object detector, not a classifier; sdd-eval detection measures it"
        )
    refuse_code(card.model.arch, trust_code)
    recorded = card.provenance.get(CODE)
    if recorded is not None and source_sha256(card.model.arch) != recorded:
        raise InputError(
            f"{card.name}: the code of arch {card.model.arch!r} has changed since the card was "
            "written; import or train it again"
        )


def code_of(arch: str) -> dict[str, str]:
    """Return the provenance of the code that builds a network; empty for built-in networks."""
    sha256 = source_sha256(arch)
    return {} if sha256 is None else {CODE: sha256}


def verify(checkpoint: str | Path, card: Card) -> None:
    """Check the weights against the card; raise InputError if missing, truncated or changed."""
    _verified(Path(checkpoint) / WEIGHTS, card.weights_sha256)


def write_weights(folder: Path, network: nn.Module) -> str:
    """Write the network's weights atomically, and return their SHA-256."""
    content = _content(network)
    store.write_atomically(folder / WEIGHTS, lambda file: file.write(content))
    return hashlib.sha256(content).hexdigest()


def weights_sha256(network: nn.Module) -> str:
    """Return the SHA-256 of the file that `write_weights` would write."""
    return hashlib.sha256(_content(network)).hexdigest()


def _content(network: nn.Module) -> bytes:
    # Cloned: a network may share one tensor under two names, which safetensors rejects.
    state = network.state_dict()
    tensors = {name: tensor.cpu().contiguous().clone() for name, tensor in state.items()}
    return safetensors.torch.save(tensors)


def read_weights(folder: Path, card: Card) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint; raise InputError if the weights are missing or changed."""
    path = folder / WEIGHTS
    try:
        return dict(safetensors.torch.load(_verified(path, card.weights_sha256)))
    except safetensors.SafetensorError as error:
        raise InputError(f"{path} is not a safetensors file: {error}") from error


def write_history(folder: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Write one row per epoch as CSV, atomically; missing values are left empty."""
    text = io.StringIO()
    columns = dict.fromkeys(name for row in (*rows[-1:], *rows) for name in row)
    writer = csv.DictWriter(text, fieldnames=list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in rows)
    store.write_text(folder / HISTORY, text.getvalue())


def load_weights(network: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Load tensors into a network; raise InputError, naming the first that does not fit."""
    expected = network.state_dict()
    for name, tensor in expected.items():
        if name not in tensors:
            raise InputError(f"{where}: the card does not fit the weights, which lack {name!r}")
        if tensors[name].shape != tensor.shape:
            theirs, ours = tuple(tensors[name].shape), tuple(tensor.shape)
            raise InputError(
                f"{where}: the card does not fit the weights: {name!r} is {theirs}, not {ours}"
            )
    for name in tensors:
        if name not in expected:
            raise InputError(
                f"{where}: the card does not fit the weights: its network has no {name!r}"
            )
    network.load_state_dict(dict(tensors))


def _verified(path: Path, sha256: str) -> bytes:
    """Return the content of a weights file after checking its SHA-256."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    actual = hashlib.sha256(content).hexdigest()
    if actual != sha256:
        raise InputError(
            f"{path} is truncated or changed: its sha256 is {actual[:12]}…, "
            f"the card says {sha256[:12]}…; restore the file, or train again with --overwrite"
        )
    return content


@dataclass(frozen=True)
class LazyCheckpoint:
    """A checkpoint's folder and what its card says; the network is loaded on call."""

    folder: Path
    name: str
    spec: ModelSpec
    weights_sha256: str
    trust_code: bool = False

    def network(self, device: str) -> nn.Module:
        """Load the network onto a device, in eval mode, without gradients."""
        return load(self.folder, device, trust_code=self.trust_code)


def find_checkpoint(
    name: str, parent: Path | None = None, *, trust_code: bool = False
) -> LazyCheckpoint:
    """Find a checkpoint by its folder, or by its name in `parent`, and verify its weights.

    Raise InputError if there is none, its weights are missing or changed, or its code is untrusted.
    """
    folders = [Path(name), *([parent / name] if parent else [])]
    for folder in folders:
        if (folder / CARD).is_file():
            card = read_card(folder)
            require_trust(card, trust_code)
            verify(folder, card)
            name = folder.resolve().name
            return LazyCheckpoint(folder, name, card.model, card.weights_sha256, trust_code)
    raise InputError(f"no checkpoint {name!r} to compare with at {' or '.join(map(str, folders))}")
