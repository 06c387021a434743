"""What an attack sees of a network: logits / T, and gradients that a saturated softmax keeps.

An attack's own definition stays as torchattacks wrote it. While it runs, the cross-entropies in
it get another gradient at the logits: the stable one of `gradients.py`, or the margin's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy, one_hot
from torch.overrides import TorchFunctionMode

from sdd_eval.device import full_float32
from sdd_eval.evaluators.adversarial.gradients import is_zero, logit_gradient

LogitGradient = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
#: A prediction whose top two logits are closer than this may differ with the order of a sum.
TIE = 1e-4


class AttackedNetwork(torch.nn.Module):
    """Pixels → logits / T, in eval mode; it counts how often a gradient was asked for."""

    def __init__(self, model: torch.nn.Module, device: str, temperature: float = 1.0) -> None:
        """A network in eval mode, and what its logits are divided by."""
        super().__init__()
        # torchattacks reads the device from the first parameter, and prints where there is none.
        self.device_of = torch.nn.Parameter(torch.empty(0, device=device), requires_grad=False)
        self.model, self.temperature, self.gradients = model, temperature, 0
        self.eval()  # torchattacks would put it back into train mode otherwise

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logits (n, classes)."""
        self.gradients += int(torch.is_grad_enabled() and pixels.requires_grad)
        logits: torch.Tensor = self.model(pixels) / self.temperature
        return logits


class _Sent(torch.autograd.Function):
    """The identity on logits; backwards it sends a given gradient, whatever loss follows."""

    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(gradient)
        return logits.view_as(logits)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return gradient.to(gradients[0].dtype), None


class LossGradient(TorchFunctionMode):
    """While it holds, a cross-entropy sends back this gradient at the logits instead of its own.

    `used` says afterwards whether there was one: whether the attack's loss is the cross-entropy.
    It suits untargeted attacks, which climb the loss.
    """

    def __init__(self, gradient: LogitGradient = logit_gradient) -> None:
        """The gradient (n, classes) of some logits (n, classes) and labels (n,)."""
        super().__init__()
        self.gradient, self.used = gradient, False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Every function of torch comes by here."""
        if func is cross_entropy and args[0].requires_grad:
            self.used = True
            logits, labels, *others = args
            args = (_Sent.apply(logits, self.gradient(logits, labels)), labels, *others)
        return func(*args, **(kwargs or {}))


def margin_gradient(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """∂(max_{j≠y} z_j − z_y)/∂logits (n, classes): nothing in it can saturate.

    Source: Carlini, Wagner (2017), "Towards evaluating the robustness of neural networks".
    """
    label = one_hot(labels, logits.shape[1])
    others = logits.detach().masked_fill(label.bool(), -torch.inf).argmax(dim=1)
    return (one_hot(others, logits.shape[1]) - label).to(logits.dtype)


@contextlib.contextmanager
def seeded(seed: int, device: str) -> Iterator[None]:
    """Torch's and NumPy's global random states start from a seed, and are restored afterwards.

    torchattacks draws from them.
    """
    devices = [torch.device(device)] if device.startswith("cuda") else []
    before = np.random.get_state()
    try:
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)
            yield
    finally:
        np.random.set_state(before)


def different(path: NDArray[Any], plain: NDArray[Any]) -> NDArray[np.bool_]:
    """Where predictions through an attack's own path differ from the plain ones (n,).

    `path` and `plain` are logits (n, classes).

    Raises:
        RuntimeError: one differs although the top two plain logits are 1e-4 or more apart.
    """
    differ: NDArray[np.bool_] = path.argmax(axis=1) != plain.argmax(axis=1)
    top = np.sort(plain, axis=1)[:, -2:]
    wrong = int((differ & (top[:, 1] - top[:, 0] >= TIE)).sum())
    if wrong:
        raise RuntimeError(
            f"{wrong} of {len(plain)} predictions through the attack's own path differ from the "
            "plain ones; its numbers would not be the network's"
        )
    return differ


def path_of_batch(
    network: AttackedNetwork, pixels: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits (n, classes) as an attack gets them, and which images have a gradient of zero (n,).

    The gradients are those of the cross-entropy, as this module forms it and in plain float32.

    Raises:
        RuntimeError: a pixel is outside [0, 1].
    """
    if not bool(((pixels >= 0) & (pixels <= 1)).all()):
        raise RuntimeError("some pixels to attack are outside [0, 1]")
    with torch.enable_grad(), full_float32():
        inputs = pixels.detach().clone().requires_grad_(True)
        logits = network(inputs)
        plain = cross_entropy(logits, labels, reduction="sum")
        (float32,) = torch.autograd.grad(plain, inputs, retain_graph=True)
        with LossGradient():
            stable_loss = cross_entropy(logits, labels, reduction="sum")
        (stable,) = torch.autograd.grad(stable_loss, inputs)
    return logits.detach(), is_zero(stable), is_zero(float32)
