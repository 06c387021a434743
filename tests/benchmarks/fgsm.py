"""FGSM compared with torchattacks: python tests/benchmarks/fgsm.py [pairs] [images]

Images of one size by both. Ours form the gradient so that it does not saturate, which costs next
to nothing; evaluations run them on the folded network. Run it on an idle machine; no test depends
on it.
"""

from __future__ import annotations

import sys

import torch
import torchattacks
from networks import network, pixels
from pairs import compare, where

from sdd_eval.evaluators.adversarial.fgsm_attack import StableFgsm


def main(pairs: int = 15, images: int = 128) -> None:
    device = where()
    batch = pixels(images, device)
    labels = torch.arange(images, device=device) % 100
    size = torch.full((1, 1, 1, 1, 1), 8 / 255, device=device)
    plain, folded = network("resnet18", device), network("resnet18", device, folded=True)
    theirs = ("torchattacks.FGSM", lambda: torchattacks.FGSM(plain, eps=8 / 255)(batch, labels))
    for name, model in (("on the same network", plain), ("folded", folded)):
        attack = StableFgsm(model, device)
        ours = (f"sdd_eval, {name}", lambda a=attack: a(batch, labels, size, 1.0))
        compare(ours, theirs, pairs)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
