"""Self-knowledge distillation via dropout: a loss term that can be added to any method.

Lee, Park, Seo, Kang, "Self-Knowledge Distillation via Dropout", equations 3, 4, 6 and 7, with the
constants of the authors' code where the paper gives none (T = 3, factor T², inverted scaling).
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
    """Return T² · [KL(p_u‖p_v) + KL(p_v‖p_u)], batch mean, under two dropout masks u and v.

    The value does not depend on `direction`, but the gradient does: "forward" detaches the first
    argument of each divergence (the reference), "reverse" the second, "both" neither.

    Args:
        features: (n, width), or maps (n, channels, h, w) whose channels are dropped as a whole.
        classifier: maps features to logits (n, classes).
        drop_rate: probability β of a zero; the rest is scaled by 1 / (1 − β).
        temperature: T of both softmaxes.
        direction: which arguments of the divergences receive gradients.
        generator: draws the masks, on the features' device.
        others: features under mask v, if they differ from those under mask u.
        rows: this process's rows of the whole batch, if several processes train.
    """
    logits = masked_logits(features, classifier, drop_rate, generator, others, rows)
    log_u, log_v = (log_softmax(masked, temperature) for masked in logits)
    return temperature**2 * symmetric_kl(log_u, log_v, direction)


def dropped(
    features: Tensor,
    drop_rate: float,
    generator: torch.Generator | None = None,
    rows: Rows | None = None,
) -> Tensor:
    """Apply a fresh inverted dropout mask to features (n, width) or to whole channels of maps."""
    shape = features.shape[:2] + (1,) * (features.ndim - 2)
    drawn = uniform(shape, features.device, generator, rows)
    return features * ((drawn >= drop_rate).to(features.dtype) / (1 - drop_rate))


def masked_logits(
    features: Tensor,
    classifier: Callable[[Tensor], Tensor],
    drop_rate: float,
    generator: torch.Generator | None = None,
    others: Tensor | None = None,
    rows: Rows | None = None,
) -> tuple[Tensor, Tensor]:
    """Return logits (n, classes) under mask u and under mask v; arguments of `sd_dropout_loss`.

    Features go through the classifier in one stacked product, maps one by one: the layers between a
    map and the classifier may contain batch norms, which compute their statistics for each masked
    map separately.
    """
    import torch

    u = dropped(features, drop_rate, generator, rows)
    v = dropped(features if others is None else others, drop_rate, generator, rows)
    if u.ndim > 2:
        return classifier(u), classifier(v)
    logits = classifier(torch.cat([u, v]))
    return logits[: len(u)], logits[len(u) :]


def symmetric_kl(log_u: Tensor, log_v: Tensor, direction: Direction) -> Tensor:
    """Return KL(p_u‖p_v) + KL(p_v‖p_u) of log-probabilities, batch mean.

    "forward" detaches the first argument of each, "reverse" the second.
    """
    fixed_u, fixed_v = log_u.detach(), log_v.detach()
    if direction == "forward":
        return kl(fixed_u, log_v) + kl(fixed_v, log_u)
    if direction == "reverse":
        return kl(log_u, fixed_v) + kl(log_v, fixed_u)
    return kl(log_u, log_v) + kl(log_v, log_u)
