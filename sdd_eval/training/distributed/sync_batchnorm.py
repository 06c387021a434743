"""Differentiable sums over processes, and batch normalisation over the images of all processes."""

from __future__ import annotations

import functools
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.modules.batchnorm import _BatchNorm

#: Norms that torch's `SyncBatchNorm`, which needs a GPU, can replace.
PLAIN = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class _AllReduceSum(Function):
    """Replaces `torch.distributed.nn.functional.all_reduce`, which is deprecated in torch 2.14."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        """Return the sum over all processes."""
        total = values.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        """Return the sum of the gradients of all processes."""
        return all_reduce_sum(gradient)


def all_reduce_sum(values: Tensor) -> Tensor:
    """Return the sum of each number over all processes; gradients are summed as well."""
    total: Tensor = _AllReduceSum.apply(values)
    return total


def synchronise_batch_norms(module: nn.Module) -> None:
    """Make each batch norm of a module take its statistics from the images of all processes.

    Parameters, buffers and their names do not change, nor does eval mode. On a GPU, standard norms
    become torch's `SyncBatchNorm`. On a CPU, which it does not support, and for norms with a
    built-in activation (timm's), `_normalised` is used.
    """
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if not isinstance(child, _BatchNorm) or isinstance(child, nn.SyncBatchNorm):
                continue
            on_gpu = child.running_mean is not None and child.running_mean.is_cuda
            if type(child) in PLAIN and on_gpu:
                setattr(parent, name, nn.SyncBatchNorm.convert_sync_batchnorm(child))  # type: ignore[no-untyped-call]
            else:
                object.__setattr__(child, "forward", functools.partial(_normalised, child))


def _normalised(norm: _BatchNorm, values: Tensor) -> Tensor:
    """Normalise values (n, channels, …) by mean and variance over all processes; n may be 0.

    Sums use at least float32. The variance is computed from centred values, because the difference
    of mean square and squared mean loses precision.
    """
    if not norm.training:
        return type(norm).forward(norm, values)
    precise = values.float() if values.element_size() < 4 else values
    axes, shape = [0, *range(2, values.ndim)], (1, -1) + (1,) * (values.ndim - 2)
    count = precise.new_tensor([values.numel() / values.shape[1]])
    sums = all_reduce_sum(torch.cat([precise.sum(axes), count]))
    number = sums[-1].detach()
    mean = sums[:-1] / number
    centred = precise - mean.view(shape)
    variance = all_reduce_sum(centred.square().sum(axes)) / number
    _update_statistics(norm, mean.detach(), variance.detach(), number)
    normalised = centred * (variance + norm.eps).rsqrt().view(shape)
    if norm.affine:
        normalised = normalised * norm.weight.view(shape) + norm.bias.view(shape)
    normalised = normalised.to(values.dtype)
    if hasattr(norm, "act"):
        normalised = cast("nn.Module", norm.act)(cast("nn.Module", norm.drop)(normalised))
    return normalised


def _update_statistics(norm: _BatchNorm, mean: Tensor, variance: Tensor, number: Tensor) -> None:
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
