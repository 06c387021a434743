"""What a network makes of its training images: what detectors are fitted on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sdd_eval.data.images import ImageSet
from sdd_eval.errors import InputError
from sdd_eval.evaluators.inference import seen
from sdd_eval.evaluators.ood.detectors.batch import not_linear
from sdd_eval.evaluators.subject import Subject
from sdd_eval.models.features import last_linear

#: How many rows of features are turned to float64 at a time.
ROWS = 16_384


@dataclass(frozen=True)
class Training:
    """All training images, unaugmented, through a network in eval mode.

    `features` (N, width) and `logits` (N, classes) are float32, as the network computes them; what
    is made of them is to be float64, in `pieces`. `weight` (classes, width) and `bias` (classes,)
    of the last linear layer are float64. All are on the device.
    """

    name: str
    features: Tensor
    logits: Tensor
    labels: Tensor | None
    weight: Tensor
    bias: Tensor

    def pieces(self) -> Iterator[tuple[slice, Tensor]]:
        """The features in order as float64, some rows at a time, with the rows that they are."""
        for start in range(0, len(self.features), ROWS):
            rows = slice(start, start + ROWS)
            yield rows, self.features[rows].double()


def look_at(subject: Subject, images: ImageSet) -> Training:
    """Run the network over all images of a training set, whatever the subject's limit.

    Raises:
        InputError: the network does not end in a linear layer, gives NaN, or there are no images.
    """
    total = len(images)
    last = last_linear(subject.model)
    if last is None:
        raise not_linear(subject.model)
    if total == 0:
        raise InputError(f"the training set of {images.name} has no images")
    subject.progress.start(f"{images.name} training", total)
    found = seen(subject, images, np.arange(total), features=True, needed=True)
    features, logits = found.features, found.logits
    if features is None:
        raise not_linear(subject.model)
    broken = int((~torch.isfinite(features)).any(dim=1).sum())
    if broken:
        raise InputError(f"features of {broken} of {total} training images are not finite")
    labels = None if images.labels is None else torch.from_numpy(images.labels)
    weight = last.weight.detach().double()
    bias = weight.new_zeros(len(weight)) if last.bias is None else last.bias.detach().double()
    return Training(
        name=images.name,
        features=features,
        logits=logits,
        labels=None if labels is None else labels.to(subject.device),
        weight=weight,
        bias=bias,
    )
