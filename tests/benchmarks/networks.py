"""Networks with random weights and batch statistics: frozen, in eval mode."""

from __future__ import annotations

import torch
from torch import nn

from sdd_eval.models.bn_folding import fold
from sdd_eval.models.build import build
from sdd_eval.records import ModelSpec

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


def network(arch: str, device: str, *, folded: bool = False, classes: int = 100) -> nn.Module:
    """Return a network for 32-pixel images, folded as in an evaluation if requested."""
    torch.manual_seed(0)
    model: nn.Module = build(ModelSpec(arch, classes, MEAN, STD, 32))
    for item in model.modules():
        if isinstance(item, nn.BatchNorm2d):
            nn.init.uniform_(item.running_var, 0.5, 2)
            nn.init.normal_(item.running_mean, 0, 0.3)
    model = model.eval().requires_grad_(False).to(device)
    if not folded:
        return model
    result, how = fold(model, pixels(16, device))
    print(f"{arch}: {how.folded} of {how.batch_norms} batch norms folded, {how.difference:.1e} off")
    return result


def pixels(count: int, device: str) -> torch.Tensor:
    """Random images in [0, 1]."""
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(1)).to(device)
