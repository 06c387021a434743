"""Evaluate any module in memory, and restore its state."""

from __future__ import annotations

import contextlib
import copy
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
from sdd_eval.device import resolve_device
from sdd_eval.errors import InputError
from sdd_eval.evaluation.network_check import outputs_of
from sdd_eval.evaluation.request import DataSets, Outputs, Request, validated, with_sets
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
    outputs: Outputs | None = None,
    tf32: bool = False,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Run:
    """Evaluate in memory any module that maps pixels in [0, 1] to logits.

    Scripted, frozen, exported and quantised modules also work, unless an evaluator needs gradients
    that they do not provide; for a compiled module, the original module is evaluated. Afterwards
    the training mode of each submodule, the device and `requires_grad` of each parameter, and
    torch's random state on the CPU are restored.

    Args:
        model: maps float32 (n, channels, side, side) to logits (n, classes).
        evaluator: an evaluator, or the name of one, which then has its default settings.
        data: an `ImageSet`, its name or folder, or arrays (images, labels): uint8 images with 1 or
            3 channels (first or last dimension), and class indices or None.
        spec: specification of the network; by default the model's own `spec`, or derived from the
            data and one forward pass, with mean 0 and std 1.
        class_names: names of the network's classes, by which labels are matched with those of a
            data set that has class names, such as a folder.
        limit: evaluate at most this many images (seeded, balanced by class).
        seed: seed of the subset and of all randomness in the evaluator.
        device: where to run; by default the model's device.
        batch_size: images per batch.
        root: folder of data sets; same default as on the command line.
        fold: use a copy with folded batch norms if this changes no prediction.
        outputs: what the model returns: "logits", or "probabilities", of which the log is taken; by
            default logits, with an error if they look like probabilities.
        tf32: allow TF32 on a GPU, except for gradients.
        cache: folder in which logits and features are stored for later evaluations.
        progress: receives progress updates.

    Raises:
        InputError: invalid data or settings, or a model that does not map such images to logits,
            returns different logits for an image in another pass or batch, or lacks gradients.
    """
    evaluator = _classifiers_evaluator(evaluator)
    options: dict[str, Any] = {"fold": fold, "outputs": outputs, "tf32": tf32, "cache": cache}
    options |= {"device": str(resolve_device(device)) if device else _device_of(model)}
    options |= {"limit": limit, "batch_size": batch_size, "seed": seed}
    request = validated(Request(evaluator, Path(), data_root(root), **options))
    spec = spec or _spec_of(model)
    images = _images(data, request.data_root, spec)
    model = _changeable(getattr(model, "_orig_mod", model))  # the module that torch.compile wraps
    with _evaluation_mode(model, request.device):
        spec = spec or _derived_spec(model, images, request.device)
        images, warnings = in_network_order(images, class_names, spec.classes)
        network = Checkpoint.in_memory(model, spec)
        return _evaluated(network, images, request, progress, warnings)


def _classifiers_evaluator(evaluator: Any) -> Any:
    """Return an evaluator of classifiers, given as an instance or by name."""
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
    """Evaluate a network, after the checkpoints that it is compared with."""
    inputs = with_sets(request, images, DataSets(network, request.data_root))
    inputs = replace(inputs, warnings=(*warnings, *inputs.warnings))
    request = replace(request, limit=inputs.limit(request.limit))
    plain = replace(request, evaluator=without_runs(inputs.evaluator))
    runs = {
        name: _evaluated(other, images, plain, progress) for name, other in inputs.against.items()
    }
    return run(network, inputs.with_runs(runs), request, progress)


def _changeable(model: torch.nn.Module) -> torch.nn.Module:
    """Return the model, or a copy if its tensors were made under `torch.inference_mode`."""
    tensors = [*model.parameters(), *model.buffers()]
    if any(tensor.is_meta for tensor in tensors):
        raise InputError(f"{type(model).__name__} is on the meta device, so it has no weights")
    if any(tensor.is_inference() for tensor in tensors):
        return copy.deepcopy(model)
    return model


@contextlib.contextmanager
def _evaluation_mode(model: torch.nn.Module, device: str) -> Iterator[None]:
    """Put the model in eval mode, frozen and on the device, and restore it afterwards."""
    import torch

    device_before = _device_of(model)
    modes = [(m, m.training) for m in model.modules() if hasattr(m, "training")]
    trainable = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    with torch.random.fork_rng(devices=[]):
        try:
            if any(training for _, training in modes):
                with contextlib.suppress(NotImplementedError):  # exported programs have no modes
                    model.eval()
            for parameter, _ in trainable:
                parameter.requires_grad_(False)
            if device != device_before:
                model.to(device)
            yield
        finally:
            if device != device_before:
                model.to(device_before)
            for module, training in modes:
                module.training = training
            for parameter, requires_grad in trainable:
                parameter.requires_grad_(requires_grad)


def _device_of(model: torch.nn.Module) -> str:
    tensors = itertools.chain(model.parameters(), model.buffers())
    return next((str(tensor.device) for tensor in tensors), "cpu")


def _images(data: Any, root: Path, spec: ModelSpec | None) -> ImageSet:
    """Return the test set, in the shape of the network's input if known."""
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
    """Return the spec of another network: its classes are known, its standardisation is not."""
    import numpy as np
    import torch

    name, channels = type(model).__name__, images.channels
    first = next(iter(images.batches(1, np.arange(1), device)))
    with torch.no_grad():
        logits = outputs_of(model, first.float() / 255, name)
    return ModelSpec(name, logits.shape[1], (0.0,) * channels, (1.0,) * channels, images.image_size)
