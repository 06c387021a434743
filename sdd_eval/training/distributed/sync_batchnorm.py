"""Sums over all processes that train together, and batch norms that see all of their images."""

from __future__ import annotations

import functools
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.modules.batchnorm import _BatchNorm

#: What torch's own synchronised norm, which needs a GPU, can stand for.
PLAIN = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class _Summed(Function):
    """Not `torch.distributed.nn.functional.all_reduce`, of which torch 2.14 warns."""

    @staticmethod
    def forward(context: Any, mine: Tensor) -> Tensor:
        """The sum."""
        return _over_all(mine)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        """What is asked of the sum by every process is asked of each summand."""
        return _over_all(gradient)


def all_reduce_sum(values: Tensor) -> Tensor:
    """The sum of each number over all processes; gradients are summed over them as well."""
    found: Tensor = _Summed.apply(values)
    return found


def synchronise_batch_norms(module: nn.Module) -> None:
    """Have each batch norm in a module take its statistics from the images of all processes.

    The module's parameters, buffers and their names stay as they are, and in eval mode nothing
    changes. On a GPU plain norms become torch's `SyncBatchNorm`; on a CPU, which that refuses, and
    for norms with an activation of their own (timm's), theirs is the arithmetic of `_normalised`.
    """
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if not isinstance(child, _BatchNorm) or isinstance(child, nn.SyncBatchNorm):
                continue
            if type(child) in PLAIN and _on_gpu(child):
                setattr(parent, name, nn.SyncBatchNorm.convert_sync_batchnorm(child))  # type: ignore[no-untyped-call]
            else:
                object.__setattr__(child, "forward", functools.partial(_normalised, child))


def _on_gpu(norm: _BatchNorm) -> bool:
    return norm.running_mean is not None and norm.running_mean.is_cuda


def _normalised(norm: _BatchNorm, values: Tensor) -> Tensor:
    """The norm of values (n, channels, …), n perhaps 0, by mean and variance over all processes.

    Sums are in float32 at least, and the variance is that of the centred values: a mean of squares
    less a squared mean would lose digits.

    Raises:
        ValueError: all processes together have one value per channel.
    """
    if not norm.training:
        found: Tensor = type(norm).forward(norm, values)
        return found
    precise = values.float() if values.element_size() < 4 else values
    axes, shape = [0, *range(2, values.ndim)], (1, -1) + (1,) * (values.ndim - 2)
    count = precise.new_tensor([values.numel() / values.shape[1]])
    sums = all_reduce_sum(torch.cat([precise.sum(axes), count]))
    number = sums[-1].detach()
    mean = sums[:-1] / number
    centred = precise - mean.view(shape)
    variance = all_reduce_sum(centred.square().sum(axes)) / number
    _remember(norm, mean.detach(), variance.detach(), number)
    found = centred * (variance + norm.eps).rsqrt().view(shape)
    if norm.affine:
        found = found * norm.weight.view(shape) + norm.bias.view(shape)
    found = found.to(values.dtype)
    if hasattr(norm, "act"):
        found = cast("nn.Module", norm.act)(cast("nn.Module", norm.drop)(found))
    return found


def _remember(norm: _BatchNorm, mean: Tensor, variance: Tensor, number: Tensor) -> None:
    """Move the running statistics towards a batch's, as torch does."""
    if not number.is_cuda and number.item() <= 1:
        raise ValueError("Expected more than 1 value per channel when training")
    if norm.running_mean is None or norm.running_var is None or norm.num_batches_tracked is None:
        return
    norm.num_batches_tracked.add_(1)
    momentum = norm.momentum
    if momentum is None:
        momentum = 1.0 / float(norm.num_batches_tracked.item())
    with torch.no_grad():
        norm.running_mean.mul_(1 - momentum).add_(mean, alpha=momentum)
        unbiased = variance * (number / (number - 1))
        norm.running_var.mul_(1 - momentum).add_(unbiased, alpha=momentum)


def _over_all(values: Tensor) -> Tensor:
    total = values.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total
