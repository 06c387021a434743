"""Evaluate any module in memory, and give it back as it was."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdd_eval import plugins
from sdd_eval.data import catalogue
from sdd_eval.data.images import ImageSet, from_arrays
from sdd_eval.data.root import data_root
from sdd_eval.errors import InputError
from sdd_eval.evaluation.inputs import Inputs, with_sets
from sdd_eval.evaluation.request import Request, checked
from sdd_eval.evaluation.run import Examined, run
from sdd_eval.evaluators.settings import alone
from sdd_eval.progress import Progress
from sdd_eval.records import ModelSpec, Run

if TYPE_CHECKING:
    import torch


def evaluate(
    model: torch.nn.Module,
    evaluator: Any,
    *,
    data: ImageSet | tuple[Any, Any] | str | Path,
    spec: ModelSpec | None = None,
    limit: int | None = None,
    seed: int = 0,
    device: str | None = None,
    batch_size: int = 256,
    root: Path | None = None,
    fold: bool = True,
    tf32: bool = False,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Run:
    """Evaluate any module from pixels in [0, 1] to logits, in memory.

    The module is lent: afterwards every part of it is in the mode, and every parameter on the
    device and as trainable as before; so are torch's random numbers on the CPU.

    Args:
        model: maps float32 (n, channels, side, side) to logits (n, classes).
        evaluator: an evaluator, or the name of one with its default settings.
        data: an `ImageSet`, the name or folder of one, or arrays (images, labels): uint8 images
            with 1 or 3 channels, first or last, and class indices or None.
        spec: what the network is; by default read from the model's own `spec`, or found from the
            data and one forward pass, with mean 0 and std 1.
        limit: look only at so many images (seeded, balanced by class).
        seed: of the subset and of everything random in the evaluator.
        device: where to run; by default where the model is.
        batch_size: images a step.
        root: where data sets lie; by default as for the command line.
        fold: look through a copy whose batch norms are folded, where that changes no number.
        tf32: let a GPU compute in TF32 where no gradient is formed.
        cache: folder in which logits and features are kept for later evaluations; None keeps none.
        progress: who is told how far it is.

    Raises:
        InputError: the data or a setting is wrong, or the model does not take such images or
            gives something else than logits.
    """
    if isinstance(evaluator, str):
        evaluator = plugins.load("evaluators", evaluator)()
    device = device or _home(model)
    request = checked(
        Request(
            evaluator=evaluator,
            study=Path(),
            data_root=data_root(root),
            limit=limit,
            seed=seed,
            device=device,
            batch_size=batch_size,
            fold=fold,
            tf32=tf32,
            cache=cache,
        )
    )
    images = _images(data, request.data_root, spec or _own_spec(model))
    with _lent(model, device):
        spec = spec or _own_spec(model) or _found_spec(model, images, device)
        inputs = with_sets(request, images, spec)
        request = replace(request, limit=inputs.limit(request.limit))
        inputs = inputs.with_runs(_runs_against(inputs, request, progress))
        examined = Examined(model, spec, type(model).__name__, _weights_sha256(model))
        return run(examined, inputs, request, progress)


def _runs_against(inputs: Inputs, request: Request, progress: Progress | None) -> dict[str, Run]:
    """What each checkpoint that the model is scored against makes of the same images."""
    return {
        name: evaluate(
            other.network(request.device),
            alone(inputs.evaluator),
            data=inputs.data,
            spec=other.spec,
            limit=request.limit,
            seed=request.seed,
            device=request.device,
            batch_size=request.batch_size,
            root=request.data_root,
            fold=request.fold,
            tf32=request.tf32,
            cache=request.cache,
            progress=progress,
        )
        for name, other in inputs.against.items()
    }


@contextlib.contextmanager
def _lent(model: torch.nn.Module, device: str) -> Iterator[None]:
    """The model in eval mode, frozen and on the device; as it was again, however this ends."""
    import torch

    home = _home(model)
    modes = [(module, module.training) for module in model.modules()]
    trainable = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    with torch.random.fork_rng(devices=[]):
        try:
            model.eval().requires_grad_(False)
            model.to(device)
            yield
        finally:
            model.to(home)
            for module, training in modes:
                module.training = training
            for parameter, requires_grad in trainable:
                parameter.requires_grad_(requires_grad)


def _home(model: torch.nn.Module) -> str:
    """The device that a model is on; a model without parameters or buffers is on the CPU."""
    tensors = itertools.chain(model.parameters(), model.buffers())
    return next((str(tensor.device) for tensor in tensors), "cpu")


def _images(data: Any, root: Path, spec: ModelSpec | None) -> ImageSet:
    """The test set out of what `evaluate` is given, in the shape of the network if that is known.

    Raises:
        InputError: it is no set of images.
    """
    if isinstance(data, tuple) and len(data) == 2:
        return from_arrays(*data)
    if isinstance(data, str | Path):
        side, channels = (spec.image_size, spec.channels) if spec else (None, None)
        return catalogue.load_images(str(data), root, image_size=side, channels=channels)
    if isinstance(data, ImageSet):
        return data
    raise InputError(
        f"data is a {type(data).__name__}, not a name, an ImageSet or (images, labels)"
    )


def _own_spec(model: torch.nn.Module) -> ModelSpec | None:
    """The spec that a network of this package carries."""
    found = getattr(model, "spec", None)
    return found if isinstance(found, ModelSpec) else None


def _found_spec(model: torch.nn.Module, images: ImageSet, device: str) -> ModelSpec:
    """What can be told of a stranger's network: its classes; its standardisation stays unknown."""
    import numpy as np
    import torch

    called, channels, side = type(model).__name__, images.channels, images.image_size
    first = next(iter(images.batches(1, np.arange(1), device)))
    try:
        with torch.inference_mode():
            logits = model(first.float() / 255)
    except Exception as error:  # a stranger's network may raise anything
        cause = " ".join(str(error).split())
        raise InputError(
            f"{called} does not take images of {channels} × {side} × {side}: {cause}"
        ) from error
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2:
        what = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise InputError(f"{called} gives {what} for one image, not logits (1, classes)")
    return ModelSpec(called, logits.shape[1], (0.0,) * channels, (1.0,) * channels, side)


def _weights_sha256(model: torch.nn.Module) -> str:
    """sha256 over the names and bytes of a module's state, in order."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
