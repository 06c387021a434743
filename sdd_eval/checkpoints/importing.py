"""Import weights from elsewhere into a checkpoint folder, without a recipe."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from sdd_eval import store
from sdd_eval.checkpoints import checkpoint
from sdd_eval.checkpoints.export import accuracy, logits_of, software
from sdd_eval.checkpoints.folder import CARD, WEIGHTS, is_checkpoint, read_card
from sdd_eval.checkpoints.import_source import ImportSource
from sdd_eval.data import catalogue
from sdd_eval.data.classes import numeric_order, relabelled
from sdd_eval.data.fingerprints import file_digests
from sdd_eval.data.images import ImageSet
from sdd_eval.data.standardisation import Statistics, channel_statistics
from sdd_eval.errors import InputError
from sdd_eval.models.build import build, check_arch
from sdd_eval.models.foreign import source_sha256
from sdd_eval.models.layouts import match_weights
from sdd_eval.models.weights_file import read_weights
from sdd_eval.progress import Progress
from sdd_eval.provenance import CardProvenance
from sdd_eval.records import Card, ModelSpec
from sdd_eval.validation import parse_json

#: Origin of standardisation constants that do not come from images.
GIVEN = "given"


@dataclass(frozen=True)
class ImportPlan:
    """The spec of an imported network, the test images, and the origin of its constants."""

    spec: ModelSpec
    dataset: str | None
    images: ImageSet | None
    constants: str


def plan_import(source: ImportSource, root: Path) -> ImportPlan:
    """Determine a network's spec from what is given and its data; InputError if unknown."""
    check_arch(source.arch, trust_code=True)
    if (source.mean is None) != (source.std is None):
        raise InputError("--mean and --std go together; give both or none")
    options = {name: parse_json(value) for name, value in source.options.items()}
    if source.dataset is None:
        return ImportPlan(_spec_without_data(source, options), None, None, GIVEN)
    dataset = catalogue.dataset(source.dataset, root)
    channels = None if source.mean is None else len(source.mean)
    images = dataset.images(image_size=source.image_size, channels=channels)
    if images.labels is None:
        raise InputError(
            f"{images.name} has no labels; give --classes and --image-size instead of --dataset"
        )
    if source.class_order == "numeric":
        images = relabelled(images, numeric_order(images))
    assert images.labels is not None
    classes = source.classes or max(len(images.class_names), int(images.labels.max()) + 1)
    if images.labels.max() >= classes:
        raise InputError(f"{images.name} has more classes than the {classes} of --classes")
    mean, std, constants = source.mean, source.std, GIVEN
    if mean is None or std is None:
        (mean, std), constants = _true_constants(dataset, images)
    spec = ModelSpec(source.arch, classes, mean, std, images.image_size, options)
    return ImportPlan(spec, dataset.reference, images, constants)


def import_weights(
    source: ImportSource,
    plan: ImportPlan,
    folder: Path,
    *,
    device: str = "cpu",
    batch_size: int = 256,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Card:
    """Write a checkpoint of imported weights, with the accuracy on its test images.

    An architecture that is a factory runs its code: naming it here means trusting it. Raise
    InputError if the weights cannot be read, would run code or do not match the network, or the
    folder contains something else.
    """
    with torch.random.fork_rng(devices=[]):  # the initial weights are discarded
        network = build(plan.spec, trust_code=True)
    loaded = read_weights(source.weights)
    network.load_state_dict(match_weights(network, loaded.tensors, str(source.weights)))
    network = network.eval().requires_grad_(False).to(device)
    with store.locked(folder, "importing"):
        card = Card(folder.name, plan.spec, None, {}, checkpoint.weights_sha256(network))
        existing = _existing_card(folder, overwrite)
        if existing is not None:
            old = (existing.model, existing.recipe, existing.weights_sha256, existing.dataset)
            if old == (card.model, None, card.weights_sha256, plan.dataset):
                return existing
            if not overwrite:
                raise InputError(
                    f"{folder} contains another checkpoint; choose another name or --overwrite"
                )
        if folder.is_dir():
            shutil.rmtree(folder)
        metrics = {}
        if plan.images is not None:
            logits = logits_of(network, plan.images, torch.device(device), batch_size, progress)
            metrics["accuracy"] = accuracy(logits, plan.images.labels)
        checkpoint.write_weights(folder, network)
        card = replace(card, metrics=metrics, provenance=_provenance(source, plan, loaded.prefix))
        store.write_record(folder / CARD, card)
    return card


def _spec_without_data(source: ImportSource, options: Mapping[str, Any]) -> ModelSpec:
    classes, image_size, mean, std = source.classes, source.image_size, source.mean, source.std
    required = {"--classes": classes, "--image-size": image_size, "--mean": mean, "--std": std}
    missing = [flag for flag, value in required.items() if value is None]
    if classes is None or image_size is None or mean is None or std is None:
        raise InputError(f"without --dataset, give {', '.join(missing)}")
    return ModelSpec(source.arch, classes, mean, std, image_size, options)


def _true_constants(dataset: catalogue.Dataset, images: ImageSet) -> tuple[Statistics, str]:
    """Return mean and std of the training images, or of the test images if there are none."""
    shape = {"image_size": images.image_size, "channels": images.channels}
    try:
        training = dataset.images("train", **shape)
    except InputError:
        return channel_statistics(images), f"true, of the test images of {images.name}"
    return channel_statistics(training), f"true, of the training images of {images.name}"


def _existing_card(folder: Path, overwrite: bool) -> Card | None:
    """Return the card in a folder; None without a card or a complete import."""
    if is_checkpoint(folder):
        return read_card(folder)
    names = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    others = sorted(name for name in names - {WEIGHTS} if not name.startswith("."))
    if others and not overwrite:
        raise InputError(f"{folder} contains {others[0]}; choose another name or --overwrite")
    return None


def _provenance(source: ImportSource, plan: ImportPlan, prefix: tuple[str, ...]) -> CardProvenance:
    return CardProvenance(
        **software(),
        imported=source.weights.name,
        imported_sha256=file_digests(source.weights).sha256,
        imported_below=prefix,
        standardisation=plan.constants,
        dataset=plan.dataset,
        data_origin=plan.images.provenance if plan.images else None,
        data_fingerprint=plan.images.fingerprint if plan.images else None,
        class_names=tuple(plan.images.class_names) or None if plan.images else None,
        test_images=len(plan.images) if plan.images else 0,
        code_sha256=source_sha256(source.arch),
    )
