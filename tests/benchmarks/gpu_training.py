"""Training speed on a GPU: python tests/benchmarks/gpu_training.py [--epochs N] [--accuracy]

Measures the GPU's rate of bfloat16 products, trains ResNet-18 with SD-Dropout on CIFAR-100 as the
paper does, but in bf16, channels-last and compiled, and prints images/s, the time for 200 epochs,
and the share of that rate: forward and backward of 50,000 images are about 167 TFLOP. The first
epoch, which compiles, is left out. `--accuracy` trains all epochs in float32 too and compares.
It was written where no GPU is, and has never been run on one.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from sdd_eval.records import Card, Recipe
from sdd_eval.training.train import train

#: Forward and backward of one image by ResNet-18 at 32 pixels.
FLOP = 167e12 / 50_000


def product_rate(side: int = 8192, times: int = 50) -> float:
    """Return the FLOP/s of products of square bfloat16 matrices."""
    matrix = torch.randn(side, side, device="cuda", dtype=torch.bfloat16)
    for _ in range(5):
        matrix @ matrix
    torch.cuda.synchronize()
    begun = time.perf_counter()
    for _ in range(times):
        matrix @ matrix
    torch.cuda.synchronize()
    return 2 * side**3 * times / (time.perf_counter() - begun)


def trained(recipe: Recipe, folder: Path) -> tuple[Card, float]:
    """The card, and the median images/s of all epochs but the first."""
    card = train(recipe, folder, device="cuda", name=recipe.precision)
    with (folder / recipe.precision / "history.csv").open() as file:
        rates = [float(row["images_per_second"]) for row in csv.DictReader(file)]
    return card, statistics.median(rates[1:])


def main(epochs: int, accuracy: bool) -> None:
    rate = product_rate()
    print(f"{torch.cuda.get_device_name()}: {rate / 1e12:.0f} TFLOP/s in bf16 products")
    fast = Recipe(sd_dropout=1.0, epochs=epochs, precision="bf16", channels_last=True, compile=True)
    with tempfile.TemporaryDirectory() as folder:
        card, images = trained(fast, Path(folder))
        print(f"{images:,.0f} images/s; 200 epochs of 50,000 take {200 * 50_000 / images:.0f} s")
        print(f"{100 * images * FLOP / rate:.1f} % of the rate of products")
        if accuracy:
            other, _ = trained(dataclasses.replace(fast, precision="float32"), Path(folder))
            apart = 100 * (card.metrics["accuracy"] - other.metrics["accuracy"])
            print(
                f"accuracy {card.metrics['accuracy']:.4f} in bf16, {apart:+.2f} points on float32"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--accuracy", action="store_true")
    given = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("this measures a GPU, and torch sees none here")
    if given.epochs < 2:
        sys.exit(f"--epochs is {given.epochs}; it must be 2 or more, as the first is left out")
    main(given.epochs, given.accuracy)
