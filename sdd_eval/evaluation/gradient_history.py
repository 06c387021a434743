"""A checkpoint that was probed while it was trained brings that into every study that it enters."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sdd_eval import store
from sdd_eval.records import Card, Run, encode

#: What such a run is called; no plugin is: nothing is evaluated, it was seen in training.
HISTORY = "history"


def bring_history(checkpoint: Path, card: Card, study: Path) -> Path | None:
    """File a checkpoint's gradient study as a run of the study; None where it has none.

    Raises:
        InputError: its history cannot be read, or the study's folder not be written.
    """
    from sdd_eval.checkpoints.checkpoint import HISTORY as NAME
    from sdd_eval.checkpoints.history import gradient_study

    path = checkpoint / NAME
    measurements = tuple(gradient_study(path))
    if not measurements or card.recipe is None:
        return None
    content = hashlib.sha256(path.read_bytes()).hexdigest()
    key = store.key_of({"evaluator": HISTORY, "weights": card.weights_sha256, "history": content})
    dataset = card.recipe.dataset
    place = study / "runs" / card.name / f"{HISTORY}-{dataset.replace('/', '_')}-{key}.json"
    if not place.exists():
        told = card.provenance
        fingerprint = str(told.get("data_fingerprint", ""))
        origin = {"origin": told.get("data_origin", "unknown"), "fingerprint": fingerprint}
        run = Run(
            checkpoint=card.name,
            weights_sha256=card.weights_sha256,
            dataset=dataset,
            data_fingerprint=fingerprint,
            evaluator=HISTORY,
            evaluator_version=1,
            settings={},
            limit=None,
            n=card.recipe.probe_images,
            measurements=measurements,
            provenance={
                "card": encode(card.recipe),
                "model": encode(card.model),
                "data": {dataset: origin},
                "versions": {name: told[name] for name in ("python", "torch") if name in told},
                "created": told.get("created", ""),
            },
        )
        store.write_run(place, run)
    return place
