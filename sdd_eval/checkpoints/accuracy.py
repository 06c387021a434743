"""Logits and accuracy of a network on a set of images, for the card of a checkpoint."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from sdd_eval.data.images import ImageSet
from sdd_eval.models.network import Network
from sdd_eval.progress import Progress, Silent

#: Pixels of one channel in a batch at most: 167 images of 224 × 224.
PIXELS_AT_A_TIME = 1 << 23


def accuracy(
    network: Network,
    images: ImageSet,
    device: torch.device,
    batch_size: int = 1024,
    progress: Progress | None = None,
) -> float:
    """Return the share of labelled images that the network classifies correctly."""
    found = logits_of(network, images, device, batch_size, progress)
    return float(np.mean(found.argmax(axis=1) == images.labels))


def logits_of(
    network: Network,
    images: ImageSet,
    device: torch.device,
    batch_size: int = 1024,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Return the logits (n, classes) of all images."""
    progress = progress or Silent()
    progress.start(images.name, len(images))
    network.eval()
    found = []
    with torch.inference_mode():
        fitting = max(1, min(batch_size, PIXELS_AT_A_TIME // images.image_size**2))
        for batch in images.batches(fitting, device=str(device)):
            found.append(network(batch.float() / 255).float().cpu().numpy())
            progress.advance(len(batch))
    return np.concatenate(found)
