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

from sdd_eval.evaluators.adversarial.fgsm_attack import Space
from sdd_eval.evaluators.gradients import input_gradients, stable_loss


def main(pairs: int = 15, images: int = 128) -> None:
    device = where()
    batch = pixels(images, device)
    labels = torch.arange(images, device=device) % 100
    space = Space((0.5,) * 3, (0.25,) * 3, device)
    plain, folded = network("resnet18", device), network("resnet18", device, folded=True)
    theirs = ("torchattacks.FGSM", lambda: torchattacks.FGSM(plain, eps=8 / 255)(batch, labels))
    for name, model in (("on the same network", plain), ("folded", folded)):

        def attack(model: torch.nn.Module = model) -> torch.Tensor:
            (gradient,) = input_gradients(model, batch, [(stable_loss, 1.0)], labels)
            return space.step("pixel", batch, gradient, [8 / 255])

        compare((f"sdd_eval, {name}", attack), theirs, pairs)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
