"""Evaluate any module in memory, and restore its state."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdd_eval import plugins
from sdd_eval.checkpoints.checkpoint import Checkpoint
from sdd_eval.data import catalogue
from sdd_eval.data.classes import in_network_order
from sdd_eval.data.images import ImageSet, from_arrays
from sdd_eval.data.root import data_root
from sdd_eval.errors import InputError
from sdd_eval.evaluation.request import DataSets, Request, validated, with_sets
from sdd_eval.evaluation.run import run
from sdd_eval.evaluators.evaluator import task_of
from sdd_eval.evaluators.settings import without_runs
from sdd_eval.progress import Progress
from sdd_eval.records import CLASSIFICATION, ModelSpec, Run

if TYPE_CHECKING:
    import torch


def evaluate(
    model: torch.nn.Module,
    evaluator: Any,
    *,
    data: ImageSet | tuple[Any, Any] | str | Path,
    spec: ModelSpec | None = None,
    class_names: Sequence[str] = (),
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

    Afterwards the training mode of each submodule, the device and `requires_grad` of each
    parameter, and torch's random state on the CPU are restored.

    Args:
        model: maps float32 (n, channels, side, side) to logits (n, classes).
        evaluator: an evaluator, or the name of one with its default settings.
        data: an `ImageSet`, the name or folder of one, or arrays (images, labels): uint8 images
            with 1 or 3 channels, first or last, and class indices or None.
        spec: specification of the network; by default the model's own `spec`, or derived from the
            data and one forward pass, with mean 0 and std 1.
        class_names: names of the network's classes, by which labels are matched with those of a
            data set that has class names, such as a folder.
        limit: evaluate only so many images (seeded, balanced by class).
        seed: seed of the subset and of everything random in the evaluator.
        device: where to run; by default the model's device.
        batch_size: images per batch.
        root: folder of data sets; by default as for the command line.
        fold: use a copy with folded batch norms, if that changes no prediction.
        tf32: let a GPU compute in TF32, except for gradients.
        cache: folder in which logits and features are stored for later evaluations.
        progress: receives the progress.

    Raises:
        InputError: invalid data or setting, or a model that does not map such images to logits.
    """
    evaluator = _classifiers_evaluator(evaluator)
    options: dict[str, Any] = {"fold": fold, "tf32": tf32, "cache": cache, "limit": limit}
    options |= {"device": device or _device_of(model), "batch_size": batch_size, "seed": seed}
    request = validated(Request(evaluator, Path(), data_root(root), **options))
    spec = spec or _spec_of(model)
    images = _images(data, request.data_root, spec)
    with _evaluation_mode(model, request.device):
        spec = spec or _derived_spec(model, images, request.device)
        images, warnings = in_network_order(images, class_names, spec.classes)
        network = Checkpoint.in_memory(model, spec)
        return _evaluated(network, images, request, progress, warnings)


def _classifiers_evaluator(evaluator: Any) -> Any:
    """Return an evaluator of classifiers, which may be given by its name."""
    if isinstance(evaluator, str):
        evaluator = plugins.load("evaluators", evaluator)()
    if task_of(evaluator) != CLASSIFICATION:
        raise InputError(f"{evaluator.name} evaluates object detectors, not classifiers")
    return evaluator


def _evaluated(
    network: Checkpoint,
    images: ImageSet,
    request: Request,
    progress: Progress | None,
    warnings: tuple[str, ...] = (),
) -> Run:
    """Evaluate a network, and before it the checkpoints that it is compared with."""
    inputs = with_sets(request, images, DataSets(network, request.data_root))
    inputs = replace(inputs, warnings=(*warnings, *inputs.warnings))
    request = replace(request, limit=inputs.limit(request.limit))
    plain = replace(request, evaluator=without_runs(inputs.evaluator))
    runs = {
        name: _evaluated(other, images, plain, progress) for name, other in inputs.against.items()
    }
    return run(network, inputs.with_runs(runs), request, progress)


@contextlib.contextmanager
def _evaluation_mode(model: torch.nn.Module, device: str) -> Iterator[None]:
    """Put the model in eval mode, frozen and on the device, and restore it afterwards."""
    import torch

    device_before = _device_of(model)
    modes = [(module, module.training) for module in model.modules()]
    trainable = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    with torch.random.fork_rng(devices=[]):
        try:
            model.eval().requires_grad_(False)
            model.to(device)
            yield
        finally:
            model.to(device_before)
            for module, training in modes:
                module.training = training
            for parameter, requires_grad in trainable:
                parameter.requires_grad_(requires_grad)


def _device_of(model: torch.nn.Module) -> str:
    tensors = itertools.chain(model.parameters(), model.buffers())
    return next((str(tensor.device) for tensor in tensors), "cpu")


def _images(data: Any, root: Path, spec: ModelSpec | None) -> ImageSet:
    """Return the test set, in the shape of the network if that is known."""
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


def _spec_of(model: torch.nn.Module) -> ModelSpec | None:
    spec = getattr(model, "spec", None)
    return spec if isinstance(spec, ModelSpec) else None


def _derived_spec(model: torch.nn.Module, images: ImageSet, device: str) -> ModelSpec:
    """Return the spec of another network: its classes; its standardisation is unknown."""
    import numpy as np
    import torch

    name, channels, side = type(model).__name__, images.channels, images.image_size
    first = next(iter(images.batches(1, np.arange(1), device)))
    try:
        with torch.inference_mode():
            logits = model(first.float() / 255)
    except Exception as error:  # any network may raise any error
        cause = " ".join(str(error).split())
        raise InputError(
            f"{name} does not accept images of {channels} × {side} × {side}: {cause}"
        ) from error
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2:
        what = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise InputError(f"{name} returns {what} for one image, not logits (1, classes)")
    return ModelSpec(name, logits.shape[1], (0.0,) * channels, (1.0,) * channels, side)
