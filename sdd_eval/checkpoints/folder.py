"""Files of a checkpoint folder: `card.json`, `weights.safetensors`, `history.csv`.

The card is written last: a folder with a card is a complete checkpoint.
"""

from __future__ import annotations

from pathlib import Path

from sdd_eval import store
from sdd_eval.errors import InputError, unknown_name
from sdd_eval.records import Card
from sdd_eval.type_errors import shown

CARD = "card.json"
WEIGHTS = "weights.safetensors"
HISTORY = "history.csv"

#: Provenance fields that affect the numbers of the network, or the code that it may run.
NEEDED = {"class_names", "code_sha256", "resizing", "warnings"}


def is_checkpoint(folder: Path) -> bool:
    """Return whether a folder is a complete checkpoint."""
    return (folder / CARD).is_file()


def checkpoint_folders(parent: Path) -> list[Path]:
    """Return the sorted checkpoint folders in a folder."""
    return sorted(path.parent for path in parent.glob(f"*/{CARD}"))


def find_folder(name: str, parent: Path | None = None) -> Path:
    """Return a checkpoint's folder, given its path, its card's path, or its name in `parent`.

    Raise InputError if there is none.
    """
    path = Path(name)
    if path.name == CARD and path.is_file():
        return path.parent
    for folder in (path, *([parent / name] if parent else [])):
        if is_checkpoint(folder):
            return folder
    known = [folder.name for folder in checkpoint_folders(parent)] if parent else []
    raise unknown_name("checkpoint", name, known)


def read_card(checkpoint: str | Path) -> Card:
    """Read the card of a checkpoint; raise InputError if there is none that this version reads."""
    path = Path(checkpoint) / CARD
    if not path.is_file():
        raise InputError(f"{checkpoint} is not a checkpoint: it has no {CARD}")
    card = store.read_record(path, Card)
    for name in sorted(NEEDED & card.provenance.extra.keys()):  # those of another type
        raise InputError(
            f"{path}: {name} is {shown(card.provenance.extra[name])}; restore the file"
        )
    return card
