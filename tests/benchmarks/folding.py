"""Speed-up of a ResNet-18 by folding: python tests/benchmarks/folding.py [pairs] [images]

The forward pass of the network as it was trained against that of the folded one, in turn. Run it
with OMP_NUM_THREADS=1 on an idle machine for one core; no test depends on it.
"""

from __future__ import annotations

import sys

import torch
from networks import network, pixels
from pairs import compare, where


def main(pairs: int = 15, images: int = 128) -> None:
    device = where()
    plain, folded = network("resnet18", device), network("resnet18", device, folded=True)
    batch = pixels(images, device)
    with torch.inference_mode():
        compare(("folded", lambda: folded(batch)), ("as trained", lambda: plain(batch)), pairs)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
