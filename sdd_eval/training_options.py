"""Training settings that the paper does not use; their defaults change nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sdd_eval.validation import ABOVE_0, BELOW_1, FROM_0, FROM_1, MAGNITUDE, SHARE, bounded


@dataclass(frozen=True)
class TrainingOptions:
    """Settings that the paper does not use; with the defaults they change nothing."""

    start_from: str = ""
    """Checkpoint whose weights the network starts from; last layers with a different shape keep
    their initial weights. Default: none."""
    start_sha256: str = ""
    """SHA-256 of these weights; known when the training begins."""
    auto_augment: Literal["none", "rand_augment", "trivial_augment"] = "none"
    """Additional augmentation of each image, after cropping and mirroring: RandAugment (with
    augment_operations and augment_magnitude) or TrivialAugment (one operation, random strength)."""
    augment_operations: int = bounded(2, FROM_1)
    """Number of RandAugment operations on each image."""
    augment_magnitude: int = bounded(9, MAGNITUDE)
    """Magnitude of RandAugment operations, 0 to 30."""
    random_erasing: float = bounded(0.0, SHARE)
    """Probability of blacking out a random rectangle that covers 2 to 33 % of an image."""
    mixup: float = bounded(0.0, FROM_0)
    """α of Mixup: images and labels of a batch are mixed with weights from Beta(α, α); 0: off.
    Combined with cutmix, each batch uses one of the two."""
    cutmix: float = bounded(0.0, FROM_0)
    """α of CutMix: a rectangle of each image, with an area from Beta(α, α), is replaced by that of
    another image; 0: off."""
    accumulate: int = bounded(1, FROM_1)
    """Number of batches per weight update; the gradient is averaged over all their images."""
    schedule: Literal["steps", "cosine", "one_cycle"] = "steps"
    """Learning rate schedule: steps (divided at each milestone), cosine (to 0, after the warm-up),
    or one_cycle (cosines from lr/25 to lr in the first 30 % of all steps, then to lr/250,000)."""
    lr_divisor: float = bounded(10.0, ABOVE_0)
    """Divisor of the learning rate at each milestone."""
    warmup_epochs: int = bounded(0, FROM_0)
    """Epochs over which the learning rate increases linearly, step by step, to its full value."""
    optimiser: Literal["sgd", "adamw"] = "sgd"
    """sgd, or adamw (β₁ is the momentum, β₂ 0.999), which needs a lower lr, such as 0.001."""
    nesterov: bool = False
    """Use Nesterov momentum with SGD."""
    weight_decay_on: Literal["all", "weights"] = "all"
    """Parameters with weight decay: all, or weights (not norms and biases, which are
    one-dimensional)."""
    clip_norm: float | None = bounded(None, ABOVE_0)
    """Maximum L2 norm of the gradient, to which larger gradients are scaled down; default: none."""
    ema_decay: float = bounded(0.0, BELOW_1)
    """Decay of an exponential moving average of weights and batch statistics, which is updated at
    every step and exported instead of the weights; 0: no average."""
    validate_every: int = bounded(0, FROM_0)
    """Measure accuracy and NLL on the images of --validation after every N epochs and after the
    last; 0: only at the end."""
    keep: Literal["last", "best"] = "last"
    """Epoch to export: the last, or the one with the best validation accuracy (needs
    --validate-every)."""
