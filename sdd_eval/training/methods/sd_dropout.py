"""Self-knowledge distillation via dropout: the term that goes with any method.

Lee, Park, Seo, Kang, "Self-Knowledge Distillation via Dropout", equations 3, 4, 6 and 7, with the
constants of the authors' code where the paper is silent (T = 3, T² in front, inverted scaling).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from sdd_eval.training.distributed.shard import Rows, uniform
from sdd_eval.training.methods.distillation_losses import kl, log_softmax

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Direction = Literal["both", "forward", "reverse"]


def sd_dropout_loss(
    features: Tensor,
    classifier: Callable[[Tensor], Tensor],
    *,
    drop_rate: float = 0.5,
    temperature: float = 3.0,
    direction: Direction = "both",
    generator: torch.Generator | None = None,
    others: Tensor | None = None,
    rows: Rows | None = None,
) -> Tensor:
    """T² · [KL(p_u‖p_v) + KL(p_v‖p_u)], batch mean, of the logits under two dropout masks u, v.

    `features` are (n, width), or maps (n, channels, h, w) whose channels are dropped whole;
    `classifier` makes logits (n, classes) of them. `others`, if given, are what mask v falls on.
    The value is the same in each direction, the gradient is not: "forward" detaches the first
    argument of each divergence (the reference), "reverse" the second, "both" neither.

    Args:
        drop_rate: probability β of a zero; what is left is scaled by 1 / (1 − β).
        temperature: T of both softmaxes.
        generator: of the masks, on the features' device.
        rows: which rows of the whole batch these are, where other processes have the others.
    """
    u = dropped(features, drop_rate, generator, rows)
    v = dropped(features if others is None else others, drop_rate, generator, rows)
    log_u, log_v = (log_softmax(logits, temperature) for logits in _both(classifier, u, v))
    divergence = _directed_kl(log_u, log_v, direction) + _directed_kl(log_v, log_u, direction)
    return temperature**2 * divergence


def dropped(
    features: Tensor,
    drop_rate: float,
    generator: torch.Generator | None = None,
    rows: Rows | None = None,
) -> Tensor:
    """Features (n, width), or maps whose channels fall as one, under a fresh inverted mask."""
    shape = features.shape[:2] + (1,) * (features.ndim - 2)
    drawn = uniform(shape, features.device, generator, rows)
    return features * ((drawn >= drop_rate).to(features.dtype) / (1 - drop_rate))


def _both(classifier: Callable[[Tensor], Tensor], u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of both: features in one stacked product, maps one by one.

    The layers between a map and the classifier may hold batch norms, whose statistics the authors'
    code takes of each masked map by itself.
    """
    import torch

    if u.ndim > 2:
        return classifier(u), classifier(v)
    logits = classifier(torch.cat([u, v]))
    return logits[: len(u)], logits[len(u) :]


def _directed_kl(reference: Tensor, other: Tensor, direction: Direction) -> Tensor:
    """KL(reference‖other), batch mean, of log-probabilities."""
    if direction == "forward":
        reference = reference.detach()
    if direction == "reverse":
        other = other.detach()
    return kl(reference, other)
