"""Weights from elsewhere → a checkpoint folder like any other, without a recipe."""

from __future__ import annotations

import datetime
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from sdd_eval import plugins, store
from sdd_eval.checkpoints import checkpoint
from sdd_eval.checkpoints.export import accuracy
from sdd_eval.data import catalogue
from sdd_eval.data.fingerprints import file_digests
from sdd_eval.data.images import ImageSet
from sdd_eval.data.standardisation import Statistics, channel_statistics
from sdd_eval.errors import InputError
from sdd_eval.models.build import build, check_arch
from sdd_eval.models.layouts import match_weights
from sdd_eval.models.weights_file import read_weights
from sdd_eval.progress import NoProgress, Progress
from sdd_eval.records import Card, ModelSpec
from sdd_eval.validation import parse_json
from sdd_eval.version import __version__

#: Where constants of standardisation are from, if not from images.
GIVEN = "given"


@dataclass(frozen=True)
class ImportSource:
    """Weights of somebody else's, and what there is to say of their network.

    `dataset` names the set whose classes it predicts; its test images tell number of classes, size
    and channels, its training images the constants, unless they are given. Without one, classes,
    size and constants are needed.
    """

    arch: str
    weights: Path
    dataset: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    classes: int | None = None
    image_size: int | None = None
    options: Mapping[str, Any] | None = None
    """Of the architecture; text is read as a number or a boolean where it is one."""


@dataclass(frozen=True)
class ImportPlan:
    """The spec of an imported network, the images that it is tried on, whence its constants."""

    spec: ModelSpec
    dataset: str | None
    images: ImageSet | None
    constants: str


def plan_import(source: ImportSource, root: Path) -> ImportPlan:
    """Settle what is known of a network: from what is given, else from its data set.

    Raises:
        InputError: something is not given and there is no data set that tells it, or the data set
            is unknown, absent or without labels.
    """
    check_arch(source.arch, trust_code=True)
    if (source.mean is None) != (source.std is None):
        raise InputError("--mean and --std go together; give both or none")
    options = {name: parse_json(value) for name, value in (source.options or {}).items()}
    if source.dataset is None:
        return ImportPlan(_told(source, options), None, None, GIVEN)
    name = _name(source.dataset, root)
    channels = None if source.mean is None else len(source.mean)
    images = catalogue.load_images(name, root, image_size=source.image_size, channels=channels)
    if images.labels is None:
        raise InputError(f"{images.name} has no labels, so it does not tell the network's classes")
    classes = source.classes or max(len(images.class_names), int(images.labels.max()) + 1)
    if images.labels.max() >= classes:
        raise InputError(f"{images.name} has more classes than the {classes} of --classes")
    mean, std, constants = source.mean, source.std, GIVEN
    if mean is None or std is None:
        (mean, std), constants = _true_constants(name, root, images)
    spec = ModelSpec(source.arch, classes, mean, std, images.image_size, options)
    return ImportPlan(spec, name, images, constants)


def import_weights(
    source: ImportSource,
    setting: ImportPlan,
    place: Path,
    *,
    device: str = "cpu",
    batch_size: int = 256,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Card:
    """Make the checkpoint `place` of somebody else's weights, and measure its clean accuracy.

    An architecture that is a factory runs its code: whoever names it here trusts it.

    Raises:
        InputError: the weights cannot be read, want to run code or do not fit, or the folder holds
            something else.
    """
    with torch.random.fork_rng(devices=[]):  # the initial weights are thrown away
        network = build(setting.spec, trust_code=True)
    found = read_weights(source.weights)
    network.load_state_dict(match_weights(network, found.tensors, str(source.weights)))
    network = network.eval().requires_grad_(False).to(device)
    with store.locked(place, "importing"):
        card = Card(place.name, setting.spec, None, {}, checkpoint.weights_sha256(network))
        there = _there(place, overwrite)
        if there is not None and _same(there, card, setting.dataset):
            return there
        if there is not None and not overwrite:
            raise InputError(f"{place} holds another checkpoint; take another name or --overwrite")
        if place.is_dir():
            shutil.rmtree(place)
        metrics = {}
        if setting.images is not None:
            metrics["accuracy"] = accuracy(
                network, setting.images, torch.device(device), batch_size, progress or NoProgress()
            )
        checkpoint.write_weights(place, network)
        card = replace(card, metrics=metrics, provenance=_provenance(source, setting, found.below))
        store.write_record(place / checkpoint.CARD, card)
    return card


def _told(source: ImportSource, options: Mapping[str, Any]) -> ModelSpec:
    """The spec of a network for a set that is not here."""
    needed = {
        "--classes": source.classes,
        "--image-size": source.image_size,
        "--mean": source.mean,
        "--std": source.std,
    }
    missing = [flag for flag, value in needed.items() if value is None]
    if missing:
        raise InputError(f"without --dataset the network needs {', '.join(missing)}")
    assert source.classes is not None
    assert source.image_size is not None
    assert source.mean is not None
    assert source.std is not None
    spec = ModelSpec(
        source.arch, source.classes, source.mean, source.std, source.image_size, options
    )
    return spec


def _name(dataset: str, root: Path) -> str:
    """The name by which the set is found again, from any folder."""
    if catalogue.canonical_name(dataset) in plugins.names("datasets"):
        return catalogue.canonical_name(dataset)
    catalogue.dataset(dataset, root)
    if (root / dataset).is_dir():
        return dataset
    return str(Path(dataset).expanduser().resolve())


def _true_constants(name: str, root: Path, images: ImageSet) -> tuple[Statistics, str]:
    """Mean and std over the training images; where there are none, over the test images."""
    shape = {"image_size": images.image_size, "channels": images.channels}
    try:
        training = catalogue.load_images(name, root, "train", **shape)
    except InputError:
        return channel_statistics(images), f"true, of the test images of {images.name}"
    return channel_statistics(training), f"true, of the training images of {images.name}"


def _there(place: Path, overwrite: bool) -> Card | None:
    """The card in a folder; None where none is, or only the weights of an import cut short.

    Raises:
        InputError: something else is in the folder and must stay.
    """
    if (place / checkpoint.CARD).is_file():
        return checkpoint.read_card(place)
    names = {entry.name for entry in place.iterdir()} if place.is_dir() else set()
    others = sorted(name for name in names - {checkpoint.WEIGHTS} if not name.startswith("."))
    if others and not overwrite:
        raise InputError(f"{place} holds {others[0]}; take another name or --overwrite")
    return None


def _same(there: Card, card: Card, dataset: str | None) -> bool:
    """Whether a card is of this very network."""
    ours = (card.model, None, card.weights_sha256, dataset)
    return (there.model, there.recipe, there.weights_sha256, there.dataset) == ours


def _provenance(
    source: ImportSource, plan: ImportPlan, prefix: tuple[str, ...]
) -> Mapping[str, Any]:
    """Where the weights are from, and by what they were imported."""
    return {
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "sdd_eval": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "imported": source.weights.name,
        "imported_sha256": file_digests(source.weights).sha256,
        "imported_below": list(prefix),
        "standardisation": plan.constants,
        "dataset": plan.dataset,
        "data_origin": plan.images.provenance if plan.images else None,
        "data_fingerprint": plan.images.fingerprint if plan.images else None,
        "test_images": len(plan.images) if plan.images else 0,
        **checkpoint.code_of(source.arch),
    }
