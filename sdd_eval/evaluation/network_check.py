"""Checks of a network on a few images before an evaluation, and adapters for its input and output.

Results are only meaningful if the network returns logits, and the logits of an image depend on that
image alone. A network that returns probabilities, or whose outputs are random or depend on the rest
of the batch, would silently produce wrong results.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sdd_eval.data.images import ImageSet
from sdd_eval.device import full_float32
from sdd_eval.errors import InputError, one_line
from sdd_eval.evaluation.request import PROBABILITIES, Outputs
from sdd_eval.evaluators.subject import Subject, check_shape
from sdd_eval.models.network import logits_difference
from sdd_eval.records import ModelSpec

#: Number of images that are checked.
IMAGES = 4
#: Number of batches on which outputs must be in [0, 1] to be taken for sigmoid outputs.
BATCHES = 8
#: Largest accepted difference between an image's logits in two passes, relative to their spread.
#: Rounding in float32 is below 1e-4, the effect of dropout or of batch statistics above 3e-2.
TOLERANCE = 1e-2
#: The same for networks that compute in 16 bits, or whose activations are quantised by batch.
COARSE_TOLERANCE = 5e-2
#: Descriptions of logits that are random or depend on the batch, and what to do about them.
RANDOM = ("from one pass to the next", "switch its randomness off in eval mode")
OF_BATCH = (
    "with the other images of its batch",
    "give it running statistics, or train and evaluate without batch statistics",
)
#: Largest accepted deviation of a sum of probabilities from 1.
SUM_TOLERANCE = 1e-3


class LogProbabilities(nn.Module):
    """The log of a network's probabilities, as logits; 0 becomes the smallest normal number."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.training = model, False

    def forward(self, pixels: Tensor) -> Tensor:
        """Return log probabilities (n, classes)."""
        probabilities: Tensor = self.model(pixels)
        return probabilities.clamp(min=torch.finfo(probabilities.dtype).tiny).log()


class CopiedInput(nn.Module):
    """A network that changes its input in place, run on a copy of it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.training = model, False

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits (n, classes)."""
        logits: Tensor = self.model(pixels.clone())
        return logits


@dataclass(frozen=True)
class NetworkCheck:
    """The check of a network on images of the test set."""

    name: str
    spec: ModelSpec
    images: ImageSet
    device: str
    outputs: Outputs | None = None
    """What the network returns; None means logits, and rejects outputs that look like
    probabilities."""
    warnings: list[str] = field(default_factory=list)
    """Receives the warnings of the check."""

    def __call__(self, model: nn.Module) -> nn.Module:
        """Return the network to evaluate, wrapped in an adapter if needed.

        Raise InputError if the network fails on the images, returns anything other than logits, or
        is not a function of single images. The check takes two passes over a few images.
        """
        check_shape(self.images, self.spec)
        if not len(self.images):
            return model
        pixels = next(self._batches(IMAGES))
        with torch.random.fork_rng(devices=[]), torch.no_grad(), full_float32():
            version = pixels._version
            outputs = outputs_of(model, pixels, self.name, self.spec.classes)
            if pixels._version != version:
                return self(CopiedInput(model))
            if self.outputs != "logits":
                self._check_probabilities(outputs)
            self.warnings.extend(self._sigmoid_warning(model, outputs))
            warning = _check_function(model, pixels, outputs, self.name)
            self.warnings.extend([warning] if warning else [])
        return LogProbabilities(model) if self.outputs == PROBABILITIES else model

    def _batches(self, number: int) -> Iterator[Tensor]:
        """Yield batches of this many evenly spaced images in total; too few images are repeated."""
        rows = np.unique(np.linspace(0, len(self.images) - 1, number).astype(np.int64))
        for pixels in self.images.batches(IMAGES, np.resize(rows, number), self.device):
            yield pixels.float().div_(255)

    def _check_probabilities(self, outputs: Tensor) -> None:
        """Raise InputError for undeclared probabilities, or declared ones that are not."""
        sums = bool(((outputs.double().sum(dim=1) - 1).abs() <= SUM_TOLERANCE).all())
        probabilities = sums and _from_0_to_1(outputs)
        if self.outputs == PROBABILITIES and not probabilities:
            raise InputError(
                f"--outputs is probabilities, but rows of the outputs of {self.name} are not "
                "numbers from 0 to 1 that sum to 1; leave it out"
            )
        if self.outputs is None and probabilities and outputs.shape[1] > 1:
            raise InputError(
                f"{self.name} returns probabilities (rows from 0 to 1 that sum to 1), not logits; "
                "set --outputs probabilities (in Python outputs='probabilities'), which takes "
                "their log, or logits if they are logits"
            )

    def _sigmoid_warning(self, model: nn.Module, outputs: Tensor) -> Iterator[str]:
        """Yield a warning if the outputs of all of several batches are in [0, 1]."""
        constant = bool(outputs.min() == outputs.max())
        if self.outputs is not None or constant or not _from_0_to_1(outputs):
            return
        batches = self._batches(IMAGES * BATCHES)
        if all(_from_0_to_1(outputs_of(model, pixels, self.name)) for pixels in batches):
            yield (
                f"{self.name} returns only numbers from 0 to 1 that do not sum to 1, as after a "
                "sigmoid; taken as logits, its confidences and all that depends on them are wrong: "
                "evaluate it without its last layer, or set --outputs logits if they are logits"
            )


def _from_0_to_1(outputs: Tensor) -> bool:
    return bool(((outputs >= 0) & (outputs <= 1 + SUM_TOLERANCE)).all())


def outputs_of(model: nn.Module, pixels: Tensor, name: str, classes: int | None = None) -> Tensor:
    """Return the network's outputs (n, classes) for pixels (n, channels, side, side).

    Raise InputError if it fails or returns anything else; torch's out-of-memory errors propagate.
    """
    shape = " × ".join(map(str, pixels.shape[1:]))
    try:
        outputs = model(pixels)
    except (InputError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # any network may raise any error
        raise InputError(f"{name} does not accept images of {shape}: {one_line(error)}") from error
    size = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
    if not isinstance(outputs, Tensor) or outputs.ndim != 2 or len(outputs) != len(pixels):
        number = "one image" if len(pixels) == 1 else f"{len(pixels)} images"
        raise InputError(f"{name} returns {size} for {number}, not logits ({len(pixels)}, classes)")
    if not outputs.is_floating_point():
        raise InputError(f"{name} returns {outputs.dtype}, not logits in floating point")
    if classes is not None and outputs.shape[1] != classes:
        raise InputError(f"{name} returns {outputs.shape[1]} logits; its spec has {classes}")
    return outputs


def _check_function(model: nn.Module, pixels: Tensor, outputs: Tensor, name: str) -> str:
    """Raise InputError if logits differ in a second pass with different batches.

    Return a warning if a small difference has a known cause, else an empty string.
    """
    by_batch = any("quantized.dynamic" in type(module).__module__ for module in model.modules())
    coarse = by_batch or outputs.dtype in (torch.float16, torch.bfloat16)
    tolerance = COARSE_TOLERANCE if coarse else TOLERANCE
    others = torch.cat([1 - pixels[-1:], pixels[:-1]])
    difference = logits_difference(outputs_of(model, others, name)[1:], outputs[:-1])
    if difference > tolerance:
        random = logits_difference(outputs_of(model, pixels, name), outputs) > tolerance
        changes, advice = RANDOM if random else OF_BATCH
        raise InputError(
            f"{name} is not a function of one image: the logits of an image change {changes}"
            f"{_culprit(model, pixels, others)}; {advice}"
        )
    if by_batch and difference > 0:
        return (
            f"{name} scales activations by the largest of the batch, so its numbers depend on the "
            "batch size"
        )
    return ""


def _culprit(model: nn.Module, pixels: Tensor, others: Tensor) -> str:
    """Describe the innermost module whose output differs for the same input."""
    try:
        calls = [_activations(model, batch) for batch in (pixels, others)]
    except Exception:  # TorchScript modules do not support hooks
        return ""
    for (path, before, output), (_, before_again, again) in zip(*calls, strict=False):
        if not _differ(before, before_again) and _differ(output, again):
            return f" (module {path})" if path else " (in its forward, outside of all modules)"
    return ""


def _activations(model: nn.Module, pixels: Tensor) -> list[tuple[str, Any, Any]]:
    """Return path, input and output of all modules in the order in which they finish."""
    calls: list[tuple[str, Any, Any]] = []

    def record(path: str, _: Any, inputs: Any, output: Any) -> None:
        calls.append((path, inputs[0] if inputs else None, output))

    with contextlib.ExitStack() as hooks:
        for path, module in model.named_modules():
            name = f"{path} ({type(module).__name__})" if path else ""
            hooks.callback(module.register_forward_hook(partial(record, name)).remove)
        model(pixels)
    return calls


def _differ(first: Any, second: Any) -> bool:
    """Return whether the activations differ for the images that both batches contain."""
    if not (isinstance(first, Tensor) and isinstance(second, Tensor)) or not first.ndim:
        return False
    one, other = first[:-1].double(), second[1:].double()
    if one.shape != other.shape:
        return True
    return bool((one - other).abs().max() > 1e-3 * one.abs().max())


@contextlib.contextmanager
def explain_missing_gradients(subject: Any) -> Iterator[None]:
    """Turn an error into an InputError if the subject's network does not provide gradients."""
    try:
        yield
    except (RuntimeError, NotImplementedError) as error:
        out_of_memory = isinstance(error, torch.OutOfMemoryError)
        if out_of_memory or not isinstance(subject, Subject) or _gives_gradients(subject):
            raise
        raise InputError(
            "the evaluator needs gradients of the logits with respect to the pixels, which the "
            "network does not give, as it is quantised, runs without gradients or detaches its "
            "logits; use an evaluator without gradients"
        ) from error


def _gives_gradients(subject: Subject) -> bool:
    pixels = next(subject.pixels()).requires_grad_(True)
    try:
        with torch.enable_grad():
            total = subject.model(pixels).sum()
        (gradient,) = torch.autograd.grad(total, pixels, allow_unused=True)
    except (RuntimeError, NotImplementedError):
        return False
    return gradient is not None
