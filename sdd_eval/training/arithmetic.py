"""Arithmetic of a training step: the precision of its recipe, and fast convolutions on a CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from sdd_eval.records import Recipe

#: Largest number of output pixels for which a matrix product is faster than oneDNN's convolution,
#: forward and backward: with AMX it takes a fifth of the time for 512 channels and 2×2 pixels, and
#: as much for 4×4.
FEW_PIXELS = 4


@contextmanager
def arithmetic(recipe: Recipe, device: torch.device) -> Iterator[None]:
    """Compute losses at the precision of a recipe: unchanged, or under autocast to bfloat16."""
    enabled = recipe.precision == "bf16"
    fast = enabled and device.type == "cpu" and not recipe.compile
    with (
        torch.autocast(device.type, torch.bfloat16, enabled=enabled),
        FewPixelConvolutions() if fast else nullcontext(),
    ):
        yield


class FewPixelConvolutions(TorchFunctionMode):
    """Context in which nn.Conv2d computes small outputs as the product of two matrices.

    This applies under autocast on a CPU, to 3×3 kernels with padding 1 and no bias. Results differ
    from those of the convolution only by rounding.
    """

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        """Call a PyTorch function, or compute the product instead."""
        if func is functional.conv2d and len(args) == 7 and torch.is_autocast_enabled("cpu"):
            x, weight, bias, stride, *others = args
            plain = bias is None and others == [(1, 1), (1, 1), 1]
            shape = [-(-side // step) for side, step in zip(x.shape[-2:], stride, strict=True)]
            if plain and weight.shape[2:] == (3, 3) and shape[0] * shape[1] <= FEW_PIXELS:
                return _product(x, weight, stride, shape)
        return func(*args, **(kwargs or {}))


def _product(x: Tensor, weight: Tensor, stride: tuple[int, int], shape: list[int]) -> Tensor:
    """Return the convolution (n, outs, height, width) of images (n, ins, …), padded by 1."""
    dtype = torch.get_autocast_dtype("cpu")
    padded = functional.pad(x.to(dtype).permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    rows, columns = (step * (side - 1) + 1 for step, side in zip(stride, shape, strict=True))
    neighbours = [
        padded[:, i : i + rows : stride[0], j : j + columns : stride[1]]
        for i in range(3)
        for j in range(3)
    ]  # each (n, height, width, ins)
    patches = torch.cat(neighbours, dim=3).flatten(0, 2)
    weights = weight.permute(0, 2, 3, 1).flatten(1).to(dtype)  # no copy in channels_last
    return functional.linear(patches, weights).reshape(len(x), *shape, -1).permute(0, 3, 1, 2)
