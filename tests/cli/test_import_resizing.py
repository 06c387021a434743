"""Image files are resized as a library's network was trained."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sdd_eval import store
from sdd_eval.checkpoints import importing as importing_module
from sdd_eval.checkpoints import read_card
from sdd_eval.cli import exit_code
from sdd_eval.models.build import build
from sdd_eval.models.preprocessing import Preprocessing
from sdd_eval.provenance import Resizing
from sdd_eval.records import ModelSpec


def test_files_are_resized_as_the_library_s_network_was_trained(here, monkeypatch, capsys):
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        folder = here / "data" / "pets" / name
        folder.mkdir(parents=True)
        for index in range(3):
            pixels = random.integers(0, 256, (190, 230, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{index}.png")
    constants = ((0.5,) * 3, (0.2,) * 3)
    resized = Resizing(160, "bicubic")
    library = Preprocessing("the library's", *constants, image_size=128, resized=resized)
    monkeypatch.setattr(importing_module, "library_preprocessing", lambda arch: library)
    network = build(ModelSpec("torchvision:resnet18", 2, *constants, 128)).eval()
    torch.save(network.state_dict(), here / "pets.pt")
    flags = "import mine --arch torchvision:resnet18 --weights pets.pt --dataset pets"
    assert exit_code(flags.split()) == 0
    output = capsys.readouterr().out
    assert "image files are resized with the short side to 160 pixels, bicubic\n" in output
    assert "note:" not in output
    assert "pets: 2 classes: cat 3, dog 3\n" in output
    assert read_card("checkpoints/mine").provenance.resizing == resized
    assert exit_code(["accuracy", "mine", "--no-fold"]) == 0
    (path,) = Path("reports/default/runs/mine").glob("*.json")
    run = store.read_run(path)
    assert run.provenance.resizing == resized
    shown = []
    for file in sorted((here / "data" / "pets").glob("*/*.png")):
        image = Image.open(file).resize((160 * 230 // 190, 160), Image.Resampling.BICUBIC)
        left, top = round((image.width - 128) / 2), 16
        shown.append(np.asarray(image.crop((left, top, left + 128, top + 128))))
    pixels = torch.from_numpy(np.stack(shown)).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        expected = network(pixels).numpy()
    assert np.abs(run.arrays["logits"] - expected).max() < 1e-3
    card = json.loads(Path("checkpoints/mine/card.json").read_text())
    card["provenance"]["resizing"] = {"short_side": 160, "interpolation": "cubic"}
    Path("checkpoints/mine/card.json").write_text(json.dumps(card))
    assert exit_code(["accuracy", "mine"]) == 2
    assert "card.json: resizing is {'short_side': 160, " in capsys.readouterr().err
    del card["provenance"]["resizing"]  # the network is then another one
    Path("checkpoints/mine/card.json").write_text(json.dumps(card))
    assert exit_code(["accuracy", "mine", "--no-fold"]) == 0
    runs = map(store.read_run, Path("reports/default/runs/mine").glob("*.json"))
    logits = [one.arrays["logits"] for one in runs]
    assert len(logits) == 2
    assert np.abs(logits[0] - logits[1]).max() > 1e-3
