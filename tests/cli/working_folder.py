"""What tests of commands read and change in the working folder of the fixture `here`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

NAME = "digits-small_cnn-ce-seed0"


def picture(path: Path, side: int = 8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(side)
    Image.fromarray(random.integers(0, 255, (side, side), dtype=np.uint8)).save(path)


def change_card(folder: Path, change) -> None:
    card = folder / "checkpoints" / NAME / "card.json"
    content = json.loads(card.read_text())
    change(content["model"])
    card.write_text(json.dumps(content))


def runs(folder: Path) -> list[Path]:
    return sorted(folder.rglob("runs/*/*.json"))
