"""Weight normalisation in files: its names before and since PyTorch 2.0, and its removal."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

_ORIGINAL = re.compile(r"parametrizations\.(\w+)\.original([01])$")


def canonical(name: str) -> str:
    """Return a tensor's name, with parametrisations spelt as by `torch.nn.utils.weight_norm`.

    >>> canonical("fc.parametrizations.weight.original0"), canonical("fc.bias")
    ('fc.weight_g', 'fc.bias')
    """
    if not name.endswith(("0", "1")):
        return name
    return _ORIGINAL.sub(lambda match: f"{match[1]}_{'gv'[int(match[2])]}", name)


def without_weight_norm(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors with each pair of magnitude and direction replaced by their weight.

    The magnitude has the size of the direction along the axes that it normalises, and 1 along the
    others; without axes it is that of the whole tensor.
    """
    names = {canonical(name): name for name in tensors}
    plain = dict(tensors)
    for name in names:
        direction = names.get(f"{name.removesuffix('_g')}_v")
        if not (name.endswith("_g") and direction):
            continue
        g, v = tensors[names[name]], tensors[direction]
        axes = [axis for axis in range(v.ndim) if g.ndim == 0 or g.shape[axis : axis + 1] == (1,)]
        if axes and v.is_floating_point():
            del plain[names[name]], plain[direction]
            norm = torch.linalg.vector_norm(v, dim=axes, keepdim=True)
            plain[name.removesuffix("_g")] = v * (g / norm)
    return plain
