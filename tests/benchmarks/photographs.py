"""Speed of reading photographs: python tests/benchmarks/photographs.py [images]

JPEG files of 500 × 375 are cut, scaled to 224 and mirrored by 0, 1, 2, 4 … workers, up to the
number of cores, and read as for testing by as many threads. Prints images a second, and the ratio
to one process alone. Run it on an idle machine; no test depends on it.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sdd_eval.data.image_folder import FolderImages
from sdd_eval.records import Recipe
from sdd_eval.training.data.batches import epoch_batches, training_set
from sdd_eval.training.methods.ce import CrossEntropy

RECIPE = Recipe(augmentation="resized_crop_flip", batch_size=32)


def written(folder: Path, count: int) -> FolderImages:
    random = np.random.default_rng(0)
    for number in range(count):
        small = random.integers(0, 256, (12, 16, 3), dtype=np.uint8)  # as smooth as photographs
        image = Image.fromarray(small).resize((500, 375), Image.Resampling.BICUBIC)
        image.save(folder / f"{number}.jpg", quality=90)
    files, labels = tuple(f"{number}.jpg" for number in range(count)), np.arange(count) % 5
    return FolderImages("jpeg", folder, files, 224, 3, labels, "", "made here", resize=256)


def trained_on(images: FolderImages, workers: int) -> float:
    """Return the images/s of an epoch without a network."""
    data = training_set(images, torch.device("cpu"), RECIPE.augmentation, workers)
    begun = time.perf_counter()
    seen = sum(len(batch.labels) for batch in epoch_batches(data, RECIPE, CrossEntropy(), 0))
    return seen / (time.perf_counter() - begun)


def tested_on(images: FolderImages, threads: int) -> float:
    """Return the images/s of an evaluation pass without a network."""
    torch.set_num_threads(threads)
    begun = time.perf_counter()
    seen = sum(len(batch) for batch in images.batches(32))
    return seen / (time.perf_counter() - begun)


def main(count: int) -> None:
    cores = os.cpu_count() or 1
    shares = [share for share in (1, 2, 4, 8, 16) if share <= cores]
    with tempfile.TemporaryDirectory() as folder:
        images = written(Path(folder), count)
        trained_on(images, 0)  # imports torchvision
        alone, single = trained_on(images, 0), tested_on(images, 1)
        print(f"{count} images of 500 × 375, {cores} cores")
        print(f"training  0 workers {alone:8.0f} images/s")
        for workers in shares:
            speed = trained_on(images, workers)
            print(f"training {workers:2} workers {speed:8.0f} images/s  × {speed / alone:.2f}")
        for threads in shares:
            speed = tested_on(images, threads)
            print(f"testing  {threads:2} threads {speed:8.0f} images/s  × {speed / single:.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 512)
