"""Settings of a training that the paper does not use; their defaults change nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sdd_eval.validation import ABOVE_0, BELOW_1, FROM_0, FROM_1, MAGNITUDE, SHARE, bounded


@dataclass(frozen=True)
class TrainingOptions:
    """Settings that the paper does not use; with the defaults they change nothing."""

    start_from: str = ""
    """Checkpoint whose weights the network starts from; its last layers stay at their initial
    weights where they have another shape. Default: none."""
    start_sha256: str = ""
    """SHA-256 of these weights; known when the training begins."""
    auto_augment: Literal["none", "rand_augment", "trivial_augment"] = "none"
    """Further augmentation of each image, after crop and mirror: RandAugment (with
    augment_operations and augment_magnitude) or TrivialAugment (one operation, random strength)."""
    augment_operations: int = bounded(2, FROM_1)
    """Operations of RandAugment on each image."""
    augment_magnitude: int = bounded(9, MAGNITUDE)
    """Strength of RandAugment's operations, 0 to 30."""
    random_erasing: float = bounded(0.0, SHARE)
    """Probability with which a random rectangle of an image, 2 to 33 % of it, becomes black."""
    mixup: float = bounded(0.0, FROM_0)
    """α of Mixup: images and labels of a batch are mixed with weights from Beta(α, α); 0: not. With
    cutmix as well, each batch has one of them."""
    cutmix: float = bounded(0.0, FROM_0)
    """α of CutMix: a rectangle of each image, of an area from Beta(α, α), comes from another; 0:
    not."""
    accumulate: int = bounded(1, FROM_1)
    """Batches per update of the weights, whose gradient is the mean over all their images."""
    schedule: Literal["steps", "cosine", "one_cycle"] = "steps"
    """Learning rate: steps (divided at each milestone), cosine (to 0, after the warm-up), or
    one_cycle (from lr/25 to lr in the first 30 % of all steps, then to lr/250,000, by cosines)."""
    lr_divisor: float = bounded(10.0, ABOVE_0)
    """Divisor of the learning rate at each milestone."""
    warmup_epochs: int = bounded(0, FROM_0)
    """Epochs in which the learning rate rises linearly, step by step, to its full value."""
    optimiser: Literal["sgd", "adamw"] = "sgd"
    """sgd, or adamw (β₁ is the momentum, β₂ 0.999), which needs a lower lr, such as 0.001."""
    nesterov: bool = False
    """Use Nesterov's momentum with SGD."""
    weight_decay_on: Literal["all", "weights"] = "all"
    """Parameters with weight decay: all, or weights (none on norms and biases: parameters of one
    dimension)."""
    clip_norm: float | None = bounded(None, ABOVE_0)
    """Largest L2 norm of the gradient, which is scaled down to it; default: none."""
    ema_decay: float = bounded(0.0, BELOW_1)
    """Decay of an exponential moving average of the weights and batch statistics, updated at every
    step, which is exported instead of the weights; 0: no average."""
    validate_every: int = bounded(0, FROM_0)
    """Measure accuracy and NLL on the images of --validation after every N epochs and after the
    last; 0: only at the end."""
    keep: Literal["last", "best"] = "last"
    """Epoch that is exported: the last, or the one of the best validation accuracy (needs
    --validate-every)."""
