"""ODIN compared with pytorch-ood: python tests/benchmarks/odin.py [pairs] [images] [ARCH…]

Scores of a batch by both, each from pixels, on the same frozen network; ours as evaluations run
it, folded where that goes. Needs pytorch-ood. Run it on an idle machine; no test depends on it.
"""

from __future__ import annotations

import sys

from networks import network, pixels
from pairs import compare, where
from pytorch_ood.detector import ODIN

from sdd_eval.evaluators.batch import Batch
from sdd_eval.evaluators.ood.detectors.odin import Odin

ARCHS = ("resnet18", "resnet56", "densenet_bc_100_12", "wrn_28_10")


def main(pairs: int, images: int, archs: tuple[str, ...]) -> None:
    device = where()
    batch, detector = pixels(images, device), Odin()
    for arch in archs:
        model, folded = network(arch, device), network(arch, device, folded=True)
        theirs = ODIN(model, eps=detector.epsilon, temperature=detector.temperature)
        compare(
            (f"{arch}, sdd_eval", lambda net=folded: detector.scores(Batch(net, batch))),
            (f"{arch}, pytorch-ood", lambda odin=theirs: odin.predict(batch.clone())),
            pairs,
        )


if __name__ == "__main__":
    given = [int(each) for each in sys.argv[1:3]]
    pairs, images = given + [9, 64][len(given) :]
    main(pairs, images, tuple(sys.argv[3:]) or ARCHS)
