"""Import weights from elsewhere into a checkpoint folder, without a recipe."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from msgspec import structs
from torch import Tensor

from sdd_eval import store
from sdd_eval.checkpoints import checkpoint
from sdd_eval.checkpoints.alternatives import Alternative, with_constants, with_other_options
from sdd_eval.checkpoints.export import accuracy, logits_of, software
from sdd_eval.checkpoints.folder import CARD, HISTORY, WEIGHTS, is_checkpoint, read_card
from sdd_eval.checkpoints.import_source import ImportSource
from sdd_eval.checkpoints.state import STATE_FILE
from sdd_eval.data import catalogue
from sdd_eval.data.classes import numeric_order, relabelled, text_order_warning
from sdd_eval.data.fingerprints import file_digests
from sdd_eval.data.image_folder import INTERPOLATION, LARGE_SIDE, resize_side, with_resizing
from sdd_eval.data.images import ImageSet
from sdd_eval.data.standardisation import Statistics, channel_statistics
from sdd_eval.errors import InputError
from sdd_eval.models.build import build, check_arch
from sdd_eval.models.foreign import source_sha256
from sdd_eval.models.layouts import Match, match_weights
from sdd_eval.models.network import Network, Standardisation
from sdd_eval.models.preprocessing import Preprocessing, library_preprocessing
from sdd_eval.models.weights_file import read_weights
from sdd_eval.progress import Progress
from sdd_eval.provenance import CardProvenance, Resizing
from sdd_eval.records import Card, ModelSpec
from sdd_eval.validation import parse_json

#: Origin of standardisation constants that do not come from images.
GIVEN = "given"


@dataclass(frozen=True)
class ImportPlan:
    """An imported network, the test images, and the origin of its constants."""

    network: Network
    """The network with its weights."""
    match: Match
    """How the file's tensors match those of the network."""
    constants: str
    """The origin of mean and std."""
    dataset: str | None = None
    images: ImageSet | None = None
    preprocessing: Preprocessing | None = None
    """The preprocessing of a library's network, if mean and std come from it."""
    alternatives: tuple[Alternative, ...] = ()
    """Networks with the same weights whose accuracy is also measured: with the mean and std of the
    images, if the constants are the library's, and with options that the weights do not reveal."""

    warnings: tuple[str, ...] = ()
    """Warnings about the classes, repeated in every run of the network."""

    @property
    def spec(self) -> ModelSpec:
        """The specification of the network."""
        return self.network.spec

    @property
    def resizing(self) -> Resizing | None:
        """How image files are resized for the network; None for the default."""
        return _resizing(self.preprocessing, self.spec.image_size)


@dataclass(frozen=True)
class Imported:
    """The card of an imported network."""

    card: Card
    other_accuracies: tuple[float, ...] = ()
    """Those of the alternatives; empty if the folder already has the checkpoint."""


def plan_import(source: ImportSource, root: Path, *, trust_code: bool = False) -> ImportPlan:
    """Read weights into the given network, and determine its standardisation.

    Raise InputError if something is missing or unknown, the architecture is code that is not
    trusted, or the weights cannot be read, would run code or do not match the network.
    """
    check_arch(source.arch, trust_code=trust_code)
    _check_constants(source)
    weights = read_weights(source.weights)
    library = library_preprocessing(source.arch) if source.mean is None else None
    if source.dataset is None:
        return _plan_without_data(source, weights, library, trust_code)
    dataset = catalogue.dataset(source.dataset, root)
    images = _test_images(source, dataset, library)
    spec = _spec(source, _classes(source, images), images.image_size, images.channels)
    network, match = _network(spec, source, weights, trust_code)
    library = library if library and len(library.mean) == images.channels else None
    constants, origin = (spec.mean, spec.std), GIVEN
    if library is not None:
        constants, origin = (library.mean, library.std), library.origin
    elif source.mean is None:
        constants, origin = _true_constants(dataset, images)
    _set_constants(network, constants)
    others = list(with_other_options(network))
    if library is not None:
        others.append(with_constants(network, *_true_constants(dataset, images)))
    warnings = tuple(text_order_warning(images)) if source.class_order is None else ()
    return ImportPlan(
        network, match, origin, dataset.reference, images, library, tuple(others), warnings
    )


def _check_constants(source: ImportSource) -> None:
    if (source.mean is None) != (source.std is None):
        raise InputError("--mean and --std go together; give both or none")
    if source.class_order == "numeric" and source.dataset is None:
        raise InputError("--class-order numeric needs --dataset, which has the class names")
    if source.mean and max(source.mean) > 1:
        raise InputError(
            f"--mean is {' '.join(f'{m:g}' for m in source.mean)}, but pixels are in [0, 1]; "
            "divide --mean and --std by 255"
        )


def _test_images(
    source: ImportSource, dataset: catalogue.Dataset, library: Preprocessing | None
) -> ImageSet:
    """Return the labelled test images; if of any size, at the size of a library's network."""
    channels = None if source.mean is None else len(source.mean)
    images = dataset.images(image_size=source.image_size, channels=channels)
    if library and not source.image_size and images.image_size > library.image_size:
        with contextlib.suppress(InputError):  # they have a fixed size
            images = dataset.images(image_size=library.image_size, channels=channels)
    images = with_resizing(images, _resizing(library, images.image_size))
    if images.labels is None:
        raise InputError(
            f"{images.name} has no labels; give --classes and --image-size instead of --dataset"
        )
    return relabelled(images, numeric_order(images)) if source.class_order == "numeric" else images


def _resizing(library: Preprocessing | None, image_size: int) -> Resizing | None:
    """Return how a library's network resizes files; None if that is the default.

    Images that are much smaller than the network's own are not cropped.
    """
    default = Resizing(resize_side(image_size), INTERPOLATION)
    if library is None or (resizing := library.resizing(image_size)) == default:
        return None
    if image_size < LARGE_SIDE:
        resizing = Resizing(default.short_side, resizing.interpolation)
    return None if resizing == default else resizing


def _classes(source: ImportSource, images: ImageSet) -> int:
    """Return the given number of classes, else that of the images."""
    assert images.labels is not None
    largest = int(images.labels.max())
    classes = source.classes or max(len(images.class_names), largest + 1)
    if largest >= classes:
        raise InputError(f"{images.name} has more classes than the {classes} of --classes")
    return classes


def _spec(source: ImportSource, classes: int, image_size: int, channels: int) -> ModelSpec:
    """Return the spec with the given constants, or 0 and 1 as placeholders."""
    mean, std = source.mean or (0.0,) * channels, source.std or (1.0,) * channels
    options = {name: parse_json(value) for name, value in source.options.items()}
    return ModelSpec(source.arch, classes, mean, std, image_size, options)


def _network(
    spec: ModelSpec, source: ImportSource, weights: Mapping[str, Tensor], trust_code: bool
) -> tuple[Network, Match]:
    with torch.random.fork_rng(devices=[]):  # the initial weights are discarded
        network = build(spec, trust_code=trust_code)
    state, match = match_weights(network, weights, str(source.weights), source.weights_key or "")
    network.load_state_dict(state)
    return network.eval().requires_grad_(False), match


def _set_constants(network: Network, constants: Statistics) -> None:
    mean, std = constants
    network.spec = replace(network.spec, mean=mean, std=std)
    network.standardise = Standardisation(mean, std)


def _plan_without_data(
    source: ImportSource,
    weights: Mapping[str, Tensor],
    library: Preprocessing | None,
    trust_code: bool,
) -> ImportPlan:
    classes, image_size, mean, std = source.classes, source.image_size, source.mean, source.std
    constants = GIVEN
    if library is not None:
        mean, std, constants = library.mean, library.std, library.origin
        image_size = image_size or library.image_size
    required = {"--classes": classes, "--image-size": image_size, "--mean": mean, "--std": std}
    missing = [flag for flag, value in required.items() if value is None]
    if classes is None or image_size is None or mean is None or std is None:
        raise InputError(f"without --dataset, give {', '.join(missing)}")
    spec = replace(_spec(source, classes, image_size, len(mean)), mean=mean, std=std)
    network, match = _network(spec, source, weights, trust_code)
    return ImportPlan(network, match, constants, preprocessing=library)


def _true_constants(dataset: catalogue.Dataset, images: ImageSet) -> tuple[Statistics, str]:
    """Return mean and std of the training images, or of the test images if there are none."""
    shape = {"image_size": images.image_size, "channels": images.channels}
    try:
        training = dataset.images("train", **shape)
    except InputError:
        return channel_statistics(images), f"true, of the test images of {images.name}"
    return channel_statistics(training), f"true, of the training images of {images.name}"


def import_weights(
    source: ImportSource,
    plan: ImportPlan,
    folder: Path,
    *,
    device: str = "cpu",
    batch_size: int = 256,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Imported:
    """Write a checkpoint of imported weights, with the accuracy on its test images.

    Files in the folder that do not belong to a checkpoint are kept. Raise InputError if it contains
    something else, unless `overwrite`.
    """
    card = Card(folder.name, plan.spec, None, {}, checkpoint.weights_sha256(plan.network))
    with store.locked(folder, "importing"):
        existing = _existing_card(folder, overwrite)
        if existing is not None:
            old = (existing.model, existing.recipe, existing.weights_sha256, existing.dataset)
            same_resizing = existing.provenance.resizing == plan.resizing
            if same_resizing and old == (card.model, None, card.weights_sha256, plan.dataset):
                return Imported(existing)
            if not overwrite:
                raise InputError(
                    f"{folder} contains another checkpoint; choose another name or --overwrite"
                )
        accuracies = list(_accuracies(plan, device, batch_size, progress))
        for name in (CARD, HISTORY, STATE_FILE):  # the card first: without it, no checkpoint
            (folder / name).unlink(missing_ok=True)
        checkpoint.write_weights(folder, plan.network)
        metrics = {"accuracy": accuracies[0]} if accuracies else {}
        provenance = structs.replace(
            _provenance(source, plan), warnings=tuple(_warnings(plan, accuracies)) or None
        )
        card = replace(card, metrics=metrics, provenance=provenance)
        store.write_record(folder / CARD, card)
    return Imported(card, tuple(accuracies[1:]))


def _warnings(plan: ImportPlan, accuracies: Sequence[float]) -> Iterator[str]:
    """Yield the warnings of the plan, and one about each alternative of higher accuracy."""
    yield from plan.warnings
    for other, value in zip(plan.alternatives, accuracies[1:], strict=False):
        if value > accuracies[0]:
            yield (
                f"imported with {other.flags}, the network's accuracy was {100 * value:.2f} %, "
                f"not {100 * accuracies[0]:.2f} %"
            )


def _accuracies(
    plan: ImportPlan, device: str, batch_size: int, progress: Progress | None
) -> Iterator[float]:
    """Yield the accuracy of the network and of each alternative, if there are test images."""
    for network in (plan.network, *(other.network for other in plan.alternatives)):
        if plan.images is not None:
            network = network.to(device)
            logits = logits_of(network, plan.images, torch.device(device), batch_size, progress)
            yield accuracy(logits, plan.images.labels)


def _existing_card(folder: Path, overwrite: bool) -> Card | None:
    """Return the card in a folder; None without a card or a complete import."""
    if is_checkpoint(folder):
        with contextlib.suppress(*[InputError] * overwrite):  # a damaged card is replaced
            return read_card(folder)
        return None
    names = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    others = sorted(name for name in names - {WEIGHTS} if not name.startswith("."))
    if others and not overwrite:
        raise InputError(f"{folder} contains {others[0]}; choose another name or --overwrite")
    return None


def _provenance(source: ImportSource, plan: ImportPlan) -> CardProvenance:
    return CardProvenance(
        **software(),
        imported=source.weights.name,
        imported_sha256=file_digests(source.weights).sha256,
        imported_below=tuple(filter(None, plan.match.key.split("."))),
        imported_without=plan.match.left_out or None,
        standardisation=plan.constants,
        resizing=plan.resizing,
        dataset=plan.dataset,
        data_origin=plan.images.provenance if plan.images else None,
        data_fingerprint=plan.images.fingerprint if plan.images else None,
        class_names=tuple(plan.images.class_names) or None if plan.images else None,
        test_images=len(plan.images) if plan.images else 0,
        code_sha256=source_sha256(source.arch),
    )
