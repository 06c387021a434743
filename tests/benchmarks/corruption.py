"""Overhead of the corruption evaluator over its passes: python tests/benchmarks/corruption.py

Arguments: [pairs] [images]. Five cells of so many images, mapped from a file as CIFAR-100-C is,
through the whole evaluator, against the same ResNet-18 over pixels that lie ready in memory. Run it
on an idle machine; no test depends on it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from networks import MEAN, STD, network, pixels
from pairs import compare, where

from sdd_eval.data.images import ArrayImages
from sdd_eval.data.readers.cifar_c import open_corrupted_folder
from sdd_eval.evaluators.corruption.corruption import Corruption
from sdd_eval.evaluators.subject import Subject
from sdd_eval.records import ModelSpec

BATCH = 256


def main(pairs: int = 5, images: int = 512) -> None:
    device = where()
    model = network("resnet18", device, folded=True)
    random = np.random.default_rng(0)
    labels = random.integers(0, 100, images)
    clean = random.integers(0, 256, (images, 3, 32, 32), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/fog.npy", random.integers(0, 256, (5 * images, 32, 32, 3), np.uint8))
        np.save(f"{folder}/labels.npy", np.tile(labels, 5))
        subject = Subject(
            model=model,
            spec=ModelSpec("resnet18", 100, MEAN, STD, 32),
            data=ArrayImages("test", clean, labels, "test", "made here"),
            sets={"test_c": open_corrupted_folder("test_c", Path(folder))},
            device=device,
            batch_size=BATCH,
        )
        evaluator = Corruption(corrupted="test_c", corruptions=("fog",))
        ready = pixels(BATCH, device)
        # What else it looks at, such as the clean images, is among the passes that it needs.
        seen = []
        handle = model.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
        evaluator.collect(subject)
        handle.remove()

        def bare() -> None:
            with torch.inference_mode():
                for count in seen:
                    model(ready[:count])

        print(f"{sum(seen):,} images in {len(seen)} passes")
        whole = ("evaluator, data included", lambda: evaluator.collect(subject))
        compare(whole, ("bare passes", bare), pairs)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
